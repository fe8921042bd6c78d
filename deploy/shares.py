"""How traffic is divided among deployments, in whole percent. Pure; knows nothing of versions."""

from collections.abc import Mapping


def blend(traffic: Mapping[str, int], id: str, share: int, room: int = 100) -> dict[str, int]:
    """Give ``id`` its share; the others keep theirs of the rest. Sums to ``room``; nobody with nothing is named."""
    others = {other: old for other, old in traffic.items() if other != id and old}
    rest, whole = room - share, sum(others.values())
    if not whole:
        return {id: room} if room else {}
    exact = {other: old * rest / whole for other, old in others.items()}
    split = {other: int(value) for other, value in exact.items()}
    by_remainder = sorted(exact, key=lambda other: (split[other] - exact[other], other))
    for other in by_remainder[: rest - sum(split.values())]:
        split[other] += 1
    return {other: new for other, new in {**split, id: share}.items() if new}
