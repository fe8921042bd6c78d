"""Unit vectors of invented writers, for tests of comparisons, metrics and calibration; and an equal error rate."""

import functools
import itertools
from pathlib import Path

import numpy as np

from trainer.artifact.similarity import Cosine
from trainer.artifact.verification import Verifier
from trainer.corpora import Sample
from trainer.evaluation import calibration
from trainer.evaluation.protocol import Comparisons, GroundTruth, compare, make_trials

DIM = 32
SPREAD = 0.35  # of a writer's signatures, on average
LABELS = ("genuine", "forged")


def make_writers(count, genuine=14, forged=10, seed=0, skill=0.75, corpus_id="here") -> tuple[np.ndarray, list[Sample]]:
    """Draw vectors ``float32 [N, DIM]`` of ``count`` writers, and their samples.

    Genuine vectors lie near the writer's centre, forged ones near a point that is ``skill`` times as far.
    """
    rng = np.random.default_rng(seed)
    vectors, samples = [], []
    for writer in range(count):
        centre, spread = rng.normal(size=DIM), SPREAD * rng.uniform(0.7, 1.4)
        for number in range(genuine + forged):
            is_genuine = number < genuine
            aim = centre if is_genuine else skill * centre + 0.6 * rng.normal(size=DIM)
            vectors.append(aim + spread * rng.normal(size=DIM))
            label = "genuine" if is_genuine else "forged"
            samples.append(Sample(Path(), f"{writer}/{number}", label, f"w{writer:03d}", corpus_id))
    return normalise(np.stack(vectors)), samples


def normalise(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors ``[N, D]`` to length 1, in float32."""
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_targets(samples: list[Sample]) -> dict[str, np.ndarray]:
    """Return the targets that records of these samples have."""
    truth = GroundTruth.from_samples(samples)
    return {"label": np.where(truth.genuine, 0, 1), "writer": truth.writer, "corpus_index": truth.corpus_index}


@functools.cache
def fit_verifier() -> Verifier:
    """Fit the decision of 120 writers, once for all tests."""
    vectors, samples = make_writers(120, seed=1)
    return calibration.fit_verifier(LABELS, vectors, make_targets(samples), Cosine())


def make_comparisons(vectors: np.ndarray, truth: GroundTruth, reference_count: int, verifier: Verifier) -> Comparisons:
    """Make the comparisons of the protocol as a verifier scores them."""
    return compare(make_trials(vectors, truth, reference_count, verifier.measure.compare), verifier.log_odds)


def brute_force_eer(scores: np.ndarray, genuine: np.ndarray) -> float:
    """Return the equal error rate in percent by trying every threshold, interpolated between neighbours."""
    points = []
    for threshold in [np.inf, *sorted(set(scores.tolist()), reverse=True)]:
        accepted = scores >= threshold
        points.append((np.mean(accepted[~genuine]), np.mean(~accepted[genuine])))
    for (far, frr), (next_far, next_frr) in itertools.pairwise(points):
        if next_far >= next_frr:
            share = (frr - far) / ((frr - far) + (next_far - next_frr))
            return 100 * (far + share * (next_far - far))
    raise AssertionError
