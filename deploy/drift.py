"""Compare what a deployed model saw with a baseline: which signals moved, by how much, and how sure that is.

Pure, NumPy only. A signal has moved if its population stability index (PSI; Siddiqi 2006, Credit Risk Scorecards, ch.
9, whose limit is 0.1) or the Kolmogorov-Smirnov distance (KS) of the two distributions exceeds 0.1 for certain; a share
of answers or warnings has, if it differs by more than 5 points for certain. Certain means: with 95 % for all
comparisons of a report together (Bonferroni). Next: ``trainer/artifact/monitoring.py`` declares the signals,
``observed.py`` reads what was seen.
"""

import dataclasses
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from trainer.artifact.monitoring import SIGNALS, Distributions

LIMIT = 0.1  # of PSI and KS
SHARE_LIMIT = 0.05  # of the difference of two shares
MIN_SHARE = 0.05  # of the baseline in each bucket for the PSI; smaller ones are merged with their neighbours
MIN_IMAGES = 200  # seen, and in the baseline; with fewer, nothing is certain
CONFIDENCE = 0.95  # of all comparisons of a model together
RESAMPLES = 2000
SEED = 5  # of the bootstrap, so that a report can be repeated


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A ``value`` with its interval ``low`` to ``high``."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclasses.dataclass(frozen=True)
class SignalShift:
    """How far the distribution of the signal ``name`` is from its baseline, and what that means if it has moved."""

    name: str
    psi: Estimate
    ks: Estimate
    meaning: str

    @property
    def has_moved(self) -> bool:
        return max(self.psi.low, self.ks.low) > LIMIT


@dataclasses.dataclass(frozen=True)
class ShareShift:
    """The share of a ``name`` among answers or warnings (``kind``) in the baseline and seen, and the difference."""

    kind: str
    name: str
    before: float
    live: float
    difference: Estimate

    @property
    def has_moved(self) -> bool:
        return self.difference.low > SHARE_LIMIT or self.difference.high < -SHARE_LIMIT


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was seen beside a baseline, of so many images each; no shifts where they are too few to tell."""

    baseline_images: int
    live_images: int
    signals: tuple[SignalShift, ...]
    shares: tuple[ShareShift, ...]

    @property
    def has_enough(self) -> bool:
        return min(self.baseline_images, self.live_images) >= MIN_IMAGES

    def list_moved(self) -> list[str]:
        """Say what moved, one sentence for each."""
        moved = [f"{shift.name}: {shift.meaning}" for shift in self.signals if shift.has_moved]
        return moved + [
            f"{shift.kind} {shift.name}: {100 * shift.live:.1f} %, {100 * shift.before:.1f} % in the baseline"
            for shift in self.shares
            if shift.has_moved
        ]


def compare(baseline: Distributions, live: Distributions) -> Comparison:
    """Compare what was seen with the baseline; signals that only one of them has are left out."""
    if min(baseline.images, live.images) < MIN_IMAGES:
        return Comparison(baseline.images, live.images, (), ())
    names = [name for name in SIGNALS if _has_values(baseline, name) and _has_values(live, name)]
    kinds = {"answer": (baseline.answers, live.answers), "warning": (baseline.warnings, live.warnings)}
    shares = [(kind, name) for kind, (first, second) in kinds.items() for name in sorted({*first, *second})]
    level = 1 - (1 - CONFIDENCE) / max(1, 2 * len(names) + len(shares))
    generator = np.random.default_rng(SEED)
    signals = tuple(
        _compare_signal(name, np.array(baseline.signals[name]), np.array(live.signals[name]), level, generator)
        for name in names
    )
    return Comparison(
        baseline.images,
        live.images,
        signals,
        tuple(
            _compare_share(kind, name, kinds[kind][0][name], baseline.images, kinds[kind][1][name], live.images, level)
            for kind, name in shares
        ),
    )


def _has_values(distributions: Distributions, name: str) -> bool:
    return sum(distributions.signals.get(name, ())) >= MIN_IMAGES


def _compare_signal(
    name: str, baseline: np.ndarray, live: np.ndarray, level: float, generator: np.random.Generator
) -> SignalShift:
    merged = merge_buckets(baseline)
    psi = _bootstrap(compute_psi, _merge(baseline, merged), _merge(live, merged), level, generator)
    ks = _bootstrap(compute_ks, baseline, live, level, generator)
    positions = np.arange(len(baseline))
    rises = (positions * live).sum() / live.sum() > (positions * baseline).sum() / baseline.sum()
    return SignalShift(name, psi, ks, SIGNALS[name].rises if rises else SIGNALS[name].falls)


def merge_buckets(baseline: np.ndarray) -> np.ndarray:
    """Return the number of the merged bucket of each bucket, ``int [B]``: each holds ``MIN_SHARE`` of the baseline."""
    numbers, number, share = [], 0, 0.0
    shares = baseline / baseline.sum()
    for position, each in enumerate(shares):
        numbers.append(number)
        share += each
        if share >= MIN_SHARE and shares[position + 1 :].sum() >= MIN_SHARE:
            number, share = number + 1, 0.0
    return np.array(numbers)


def _merge(counts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.bincount(numbers, weights=counts)


def compute_psi(baseline: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Compute the sum of (q - p) ln (q / p) over buckets from counts ``[..., B]``; half a count is added to each."""
    p, q = ((counts + 0.5) / (counts + 0.5).sum(axis=-1, keepdims=True) for counts in (baseline, live))
    return ((q - p) * np.log(q / p)).sum(axis=-1)


def compute_ks(baseline: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Compute the largest difference of the cumulative shares at the edges of the buckets, from counts ``[..., B]``.

    At most the distance of the distributions themselves, which may differ more within a bucket.
    """
    p, q = (np.cumsum(counts, axis=-1) / counts.sum(axis=-1, keepdims=True) for counts in (baseline, live))
    return np.abs(q - p).max(axis=-1)


def _bootstrap(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    baseline: np.ndarray,
    live: np.ndarray,
    level: float,
    generator: np.random.Generator,
) -> Estimate:
    """Estimate a distance of two distributions, at least 0, with the bias of finite samples taken off.

    The bias is what resampling adds (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 10).
    """
    value = float(measure(baseline, live))
    resampled = measure(*(_resample(counts, generator) for counts in (baseline, live)))
    bias = float(resampled.mean()) - value
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - 2 * bias
    return Estimate(max(0.0, value - bias), max(0.0, float(low)), max(0.0, float(high)))


def _resample(counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    total = int(counts.sum())
    return generator.multinomial(total, counts / counts.sum(), size=RESAMPLES).astype(np.float64)


def _compare_share(
    kind: str, name: str, before: int, baseline_images: int, live: int, live_images: int, level: float
) -> ShareShift:
    """Compare two shares; the interval of their difference is Newcombe's (1998, doi:10.1002/sim.779, method 10)."""
    first, second = before / baseline_images, live / live_images
    first_low, first_high = _compute_wilson(first, baseline_images, level)
    second_low, second_high = _compute_wilson(second, live_images, level)
    difference = second - first
    low = difference - np.hypot(second - second_low, first_high - first)
    high = difference + np.hypot(second_high - second, first - first_low)
    return ShareShift(kind, name, first, second, Estimate(difference, float(low), float(high)))


def _compute_wilson(share: float, count: int, level: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of ``count`` (1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre, spread = share + z * z / (2 * count), z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return float((centre - spread) / scale), float((centre + spread) / scale)


def format_comparison(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of a table for people."""
    if not comparison.has_enough:
        yield f"  too few to tell: at least {MIN_IMAGES} images of each are needed"
        return
    yield f"  {'signal':<22}{'PSI':<24}{'KS':<24}"
    for shift in comparison.signals:
        result = f"moved: {shift.meaning}" if shift.has_moved else ""
        yield f"  {shift.name:<22}{shift.psi!s:<24}{shift.ks!s:<24}{result}".rstrip()
    yield f"  {'share':<30}{'baseline':>10}{'seen':>10}   difference, points"
    for share in comparison.shares:
        points = Estimate(*(100 * number for number in dataclasses.astuple(share.difference)))
        interval = f"{points.value:+.1f} ({points.low:+.1f} to {points.high:+.1f})"
        row = f"  {share.kind + ' ' + share.name:<30}{share.before:>10.1%}{share.live:>10.1%}   {interval:<26}"
        yield f"{row}{'moved' if share.has_moved else ''}".rstrip()
