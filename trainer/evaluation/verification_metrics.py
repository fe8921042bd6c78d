"""The metrics of verification: error rates with intervals, at thresholds, by corpus and by writer, and calibration.

docs/report.md lists them. NumPy only; works on comparisons and a decision, not images. Next: ``verification.py`` makes
tables and plots of the metrics.
"""

from typing import Any

import numpy as np

from trainer.artifact.similarity import Similarity
from trainer.artifact.verification import Verifier
from trainer.corpora import Sample
from trainer.evaluation.metrics import RankedScores, calibration_curve, compute_error_rates, draw_bootstrap
from trainer.evaluation.protocol import (
    FORGERY_KINDS,
    ComparisonKind,
    Comparisons,
    GroundTruth,
    NoComparisons,
    compare,
    make_trials,
)

REFERENCE_COUNTS = (1, 5, 10)


def measure_verification(vectors: np.ndarray, samples: list[Sample], decision: Verifier) -> dict[str, Any]:
    """Return all metrics of ``verification`` in docs/report.md, as JSON; rates are in percent.

    ``vectors`` are ``float32 [N, D]`` of the ``samples``. Raises ``NoComparisons``.
    """
    truth = GroundTruth.from_samples(samples)
    by_count = compare_by_count(vectors, truth, decision)
    references = {
        count: _measure(comparisons, int(count), decision)
        for count, comparisons in by_count.items()
        if comparisons.is_measurable()
    }
    if not references:
        raise NoComparisons(
            f"{len(samples)} images of {len(np.unique(truth.writer))} writers: a comparison needs a writer with two "
            "genuine signatures or more, and forgeries or other writers; does the layout name the writers?"
        )
    largest = list(references)[-1]
    rejected = ~vectors.any(axis=1)
    return {
        "images": len(samples),
        "writers": len(np.unique(truth.writer)),
        "genuine": int(truth.genuine.sum()),
        "forged": int((~truth.genuine).sum()),
        "not_a_signature": {
            "genuine": int((truth.genuine & rejected).sum()),
            "forged": int((~truth.genuine & rejected).sum()),
        },
        "references": references,
        "pairs": _measure_pairs(vectors, truth, decision.measure),
        "calibration": _measure_calibration(by_count[largest], int(largest)),
        "by_corpus": _measure_by_corpus(by_count, truth, samples),
        "by_writer": _measure_by_writer(by_count[largest], int(largest), samples, truth, decision),
    }


def compare_by_count(vectors: np.ndarray, truth: GroundTruth, decision: Verifier) -> dict[str, Comparisons]:
    """Make the comparisons of vectors ``float32 [N, D]`` for each of the ``REFERENCE_COUNTS``, by number as text."""
    return {
        str(count): compare(make_trials(vectors, truth, count, decision.measure.compare), decision.log_odds)
        for count in REFERENCE_COUNTS
    }


def _measure(comparisons: Comparisons, reference_count: int, decision: Verifier) -> dict[str, Any]:
    """Return the metrics for one number of references."""
    metrics: dict[str, Any] = {"writers": len(np.unique(comparisons.writer))}
    for name, kind in FORGERY_KINDS.items():
        metrics |= _measure_forgeries(comparisons.with_forgeries(kind), name, kind)
    thresholds = {name: decision.threshold_for(name, reference_count) for name in decision.thresholds}
    metrics["thresholds"] = {
        name: {**_measure_at_threshold(comparisons, threshold), "threshold": decision.to_probability(threshold)}
        for name, threshold in thresholds.items()
    }
    conclusive = ~decision.is_inconclusive(comparisons.score, reference_count)
    metrics["inconclusive"] = 100 * float(np.mean(~conclusive[comparisons.kind != ComparisonKind.RANDOM]))
    metrics["conclusive"] = _measure_at_threshold(comparisons.select(conclusive), thresholds["eer"])
    return metrics


def _measure_forgeries(comparisons: Comparisons, name: str, kind: ComparisonKind) -> dict[str, Any]:
    """Return the equal error rate and its interval, the area, and the equal error rate with per-writer thresholds."""
    keys = [f"eer_{name}", f"eer_{name}_interval", f"auc_{name}", f"eer_{name}_per_writer_threshold"]
    if not comparisons.has(kind):
        return dict.fromkeys(keys)
    ranked = RankedScores(comparisons.score, comparisons.genuine)
    rates = ranked.compute_error_rates()
    writers, writer_index = np.unique(comparisons.writer, return_inverse=True)
    bootstrap_eers = [
        ranked.compute_error_rates(counts[writer_index]).compute_eer()
        for counts in draw_bootstrap(np.isin(writers, comparisons.writer[~comparisons.genuine]))
    ]
    writer_eers = [comparisons.select(comparisons.writer == writer).compute_eer(kind) for writer in writers]
    mean = float(np.mean([eer for eer in writer_eers if eer is not None]))
    interval = [float(edge) for edge in np.quantile(bootstrap_eers, (0.025, 0.975))]
    return dict(zip(keys, (rates.compute_eer(), interval, rates.compute_auc(), mean), strict=True))


def _measure_at_threshold(comparisons: Comparisons, threshold: float) -> dict[str, float | None]:
    """Return error rates when scores of at least ``threshold`` are accepted; ``None`` for a kind that is absent."""
    accepted = {
        kind: 100 * float(np.mean(comparisons.score[comparisons.kind == kind] >= threshold))
        for kind in ComparisonKind
        if (comparisons.kind == kind).any()
    }
    genuine = accepted.get(ComparisonKind.GENUINE)
    return {
        "frr": None if genuine is None else 100 - genuine,
        "far_skilled": accepted.get(ComparisonKind.SKILLED),
        "far_random": accepted.get(ComparisonKind.RANDOM),
    }


def _measure_pairs(vectors: np.ndarray, truth: GroundTruth, similarity: Similarity) -> dict[str, Any]:
    """Measure pairs of signatures of a writer by similarity: two genuine ones against a genuine and a forged one."""
    score_list, genuine_list = [], []
    for writer in np.unique(truth.writer):
        by_writer = truth.writer == writer
        genuine, forged = vectors[by_writer & truth.genuine], vectors[by_writer & ~truth.genuine]
        similarities = similarity.compare(genuine, genuine)[np.triu_indices(len(genuine), 1)]
        score_list += [similarities, similarity.compare(genuine, forged).ravel()]
        genuine_list += [np.ones(len(similarities), bool), np.zeros(len(genuine) * len(forged), bool)]
    scores, is_genuine = np.concatenate(score_list), np.concatenate(genuine_list)
    both = is_genuine.any() and not is_genuine.all()
    eer = compute_error_rates(scores, is_genuine).compute_eer() if both else None
    return {"eer": eer, "genuine": int(is_genuine.sum()), "forged": int((~is_genuine).sum())}


def _measure_calibration(comparisons: Comparisons, reference_count: int) -> dict[str, Any] | None:
    """Measure the calibration of the score that is answered, a probability, against skilled forgeries."""
    selected = comparisons.with_forgeries(ComparisonKind.SKILLED)
    if not selected.has(ComparisonKind.SKILLED):
        return None
    return {"references": reference_count, **calibration_curve(1 / (1 + np.exp(-selected.score)), selected.genuine)}


def _measure_by_corpus(
    by_count: dict[str, Comparisons], truth: GroundTruth, samples: list[Sample]
) -> dict[str, dict[str, Any]]:
    """Return the equal error rates of each corpus, by number of references."""
    names = sorted({sample.corpus_id for sample in samples})
    corpus_of_writer = dict(zip(truth.writer.tolist(), truth.corpus_index.tolist(), strict=True))
    by_corpus: dict[str, dict[str, Any]] = {name: {} for name in names}
    for count, comparisons in by_count.items():
        corpus_index = np.array([corpus_of_writer[writer] for writer in comparisons.writer.tolist()])
        for index, name in enumerate(names):
            selected = comparisons.select(corpus_index == index)
            if selected.is_measurable():
                eers = {f"eer_{forgery}": selected.compute_eer(kind) for forgery, kind in FORGERY_KINDS.items()}
                by_corpus[name][count] = {"writers": len(np.unique(selected.writer)), **eers}
    return by_corpus


def _measure_by_writer(
    comparisons: Comparisons, reference_count: int, samples: list[Sample], truth: GroundTruth, decision: Verifier
) -> list[dict[str, Any]]:
    """Return one row for each writer, with the error rates at the threshold ``eer``, the worst writers first."""
    names = dict(zip(truth.writer.tolist(), ("/".join(sample.split_unit) for sample in samples), strict=True))
    threshold = decision.threshold_for("eer", reference_count)
    rows: list[dict[str, Any]] = []
    for writer in np.unique(comparisons.writer).tolist():
        selected = comparisons.select(comparisons.writer == writer)
        rates = _measure_at_threshold(selected, threshold)
        eer = selected.compute_eer(ComparisonKind.SKILLED)
        rows.append({"writer": names[writer], "references": reference_count, **rates, "eer_skilled": eer})
    return sorted(rows, key=lambda row: (-(row["eer_skilled"] or 0.0), -(row["frr"] or 0.0)))
