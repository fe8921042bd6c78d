"""Find the threshold of a verifier for a false acceptance rate and a number of references, among the stored ones.

NumPy only. Next: ``trainer/evaluation/thresholds.py`` fits what is stored, ``verification.py`` decides by it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

EQUAL_ERROR = "eer"  # the name of the threshold that is no false acceptance rate
ByCount = Mapping[str, float]  # by number of references, such as "5"


class UnsupportedRequest(ValueError):
    """The model cannot answer this request; the message says what it can answer."""


def has_counts(stored: object) -> bool:
    """Return whether every value of a mapping is a mapping that is not empty, by numbers of references."""
    return isinstance(stored, Mapping) and all(
        isinstance(by_count, Mapping) and by_count and all(map(str.isdigit, by_count)) for by_count in stored.values()
    )


def list_rates(stored: Iterable[str]) -> dict[float, str]:
    """Return the names of the stored false acceptance rates by rate, the smallest first."""
    return dict(sorted((float(name), name) for name in stored if name != EQUAL_ERROR))


def interpolate_count(by_count: ByCount, references: int) -> float:
    """Interpolate values linearly in the logarithm of the number of references; the ends hold beyond them."""
    stored = sorted((math.log(int(count)), value) for count, value in by_count.items())
    log_counts, values = zip(*stored, strict=True)
    return float(np.interp(math.log(references), np.array(log_counts), np.array(values)))


def interpolate_threshold(thresholds: Mapping[str, ByCount], far: float, references: int) -> float:
    """Interpolate thresholds linearly in the logarithm of the false acceptance rate, 0 to 1.

    A lower rate has no lower threshold. Raises ``UnsupportedRequest`` for a rate outside the stored ones.
    """
    names = list_rates(thresholds)
    rates = list(names)
    if not rates or not rates[0] <= far <= rates[-1]:
        available = f"{rates[0]:g} to {rates[-1]:g} are possible" if rates else "none is stored"
        raise UnsupportedRequest(f"this model has no threshold for far {far:g}; {available}")
    values = np.array([interpolate_count(thresholds[name], references) for name in names.values()])
    return float(np.interp(math.log(far), np.log(rates), np.maximum.accumulate(values[::-1])[::-1]))


def interpolate_interval(
    intervals: Mapping[str, Mapping[str, Sequence[float]]], far: float, references: int
) -> list[float]:
    """Interpolate intervals ``[low, high]`` of false acceptance rates in the way of their thresholds."""
    names = list_rates(intervals)
    ends = []
    for end in (0, 1):
        values = [
            interpolate_count({count: interval[end] for count, interval in intervals[name].items()}, references)
            for name in names.values()
        ]
        ends.append(float(np.interp(math.log(far), np.log(list(names)), values)))
    return ends
