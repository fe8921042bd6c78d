"""Copies of copies: what is connected by pairs is one family, whoever was compared with whom."""

from collections.abc import Iterable


def leaders(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The smallest number of everybody's family, for ``count`` members (union-find with path halving)."""
    leader = list(range(count))

    def find(member: int) -> int:
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    for one, other in pairs:
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    return [find(member) for member in range(count)]
