"""How traffic is divided among deployed models, in whole percent. Pure."""

from collections.abc import Mapping


def rebalance(traffic_split: Mapping[str, int], id: str, percentage: int, total: int = 100) -> dict[str, int]:
    """Return the split in which ``id`` has ``percentage`` and the others divide the rest in their old proportions.

    The split sums to ``total`` and has no entry of 0; the remainders of rounding go to the largest fractions. Without
    other traffic, ``id`` gets everything.
    """
    others = {other: old for other, old in traffic_split.items() if other != id and old}
    rest, old_sum = total - percentage, sum(others.values())
    if not old_sum:
        return {id: total} if total else {}
    exact = {other: old * rest / old_sum for other, old in others.items()}
    split = {other: int(value) for other, value in exact.items()}
    by_remainder = sorted(exact, key=lambda other: (split[other] - exact[other], other))
    for other in by_remainder[: rest - sum(split.values())]:
        split[other] += 1
    return {other: new for other, new in {**split, id: percentage}.items() if new}
