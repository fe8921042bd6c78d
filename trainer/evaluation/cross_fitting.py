"""Measure a verifier's present calibration and a new one, on writers that the new calibration has not seen.

Each of five folds of the writers is measured with the decision that was fitted to the others (cross-fitting). Next:
``recalibration.py`` fits the decision to all writers.
"""

import dataclasses
from typing import Any

import numpy as np

from trainer.artifact.thresholds import EQUAL_ERROR, list_rates
from trainer.artifact.verification import Verifier
from trainer.evaluation.calibration import fit_verifier
from trainer.evaluation.metrics import RankedScores, draw_bootstrap
from trainer.evaluation.protocol import (
    FORGERY_KINDS,
    ComparisonKind,
    Comparisons,
    GroundTruth,
    NoComparisons,
    Trial,
    compare,
    make_trials,
)

FOLDS = 5
MIN_WRITERS = 2 * FOLDS  # two in each fold, so that each has random forgeries
RATE = 0.01  # the false acceptance rate that is compared, where the folds support it
REFERENCE_COUNTS = (1, 5, 10)


Decided = tuple[Comparisons, np.ndarray]  # scores relative to the threshold eer; bool [M]: accepted at the rate


def check_writers(truth: GroundTruth) -> None:
    """Check that there are enough writers to fit and to measure. Raises ``NoComparisons``."""
    writers, counts = np.unique(truth.writer[truth.genuine], return_counts=True)
    comparable = writers[counts > 1]
    if len(comparable) < MIN_WRITERS:
        raise NoComparisons(
            f"{len(comparable)} writers have two genuine signatures or more; a calibration needs {MIN_WRITERS}: add "
            "writers. Does the layout name the writers?"
        )
    forged = np.intersect1d(comparable, truth.writer[~truth.genuine])
    if not truth.genuine.all() and len(forged) < MIN_WRITERS:
        raise NoComparisons(
            f"{len(forged)} writers have skilled forgeries and two genuine signatures or more; a calibration on them "
            f"needs {MIN_WRITERS}: add writers, or leave out the forgeries to calibrate on random ones"
        )


def compare_calibrations(present: Verifier, vectors: np.ndarray, truth: GroundTruth) -> dict[str, Any]:
    """Measure the present and the new calibration with vectors ``float32 [N, D]``.

    Returns the compared false acceptance ``rate``, 0 to 1, the ``forgeries`` that count, and by number of
    ``references`` for ``before`` and ``after`` the ``eer``, and the ``frr`` and ``far`` at the threshold of that rate,
    in percent, each with a 95 % interval over writers. ``before`` has neither ``frr`` nor ``far`` where the present
    decision does not know the rate. Raises ``NoComparisons``.
    """
    check_writers(truth)
    labels = ("genuine", "forged")
    folds = _assign_folds(truth)
    fitted = [
        fit_verifier(labels, vectors[folds != fold], _select(truth, folds != fold).to_targets(), present.measure)
        for fold in range(FOLDS)
    ]
    rate = max([RATE, *(min(list_rates(verifier.thresholds)) for verifier in fitted)])
    kind = FORGERY_KINDS[fitted[0].calibrated_on]
    references = {}
    for count in REFERENCE_COUNTS:
        trials = [
            make_trials(vectors[folds == fold], _select(truth, folds == fold), count, present.measure.compare)
            for fold in range(FOLDS)
        ]
        rows = {}
        for name, verifiers in {"before": [present] * FOLDS, "after": fitted}.items():
            decided = [_decide(*pair, count, rate) for pair in zip(verifiers, trials, strict=True)]
            if _has_forgeries(decided, kind):
                rows[name] = _measure(decided, kind, has_rate=_has_rate(verifiers, rate))
        if rows:
            references[str(count)] = rows
    return {"rate": rate, "forgeries": fitted[0].calibrated_on, "references": references}


def _assign_folds(truth: GroundTruth) -> np.ndarray:
    """Return the fold of each image, ``int [N]``.

    Writers are sorted by what they have (two genuine signatures, forgeries, number of genuine ones) and dealt to the
    folds in turn, so that folds are alike.
    """
    writers = np.unique(truth.writer)
    num_genuine = np.array([np.count_nonzero(truth.genuine[truth.writer == writer]) for writer in writers])
    num_forged = np.array([np.count_nonzero(~truth.genuine[truth.writer == writer]) for writer in writers])
    shuffled = np.random.default_rng(0).permutation(len(writers))
    order = np.lexsort((shuffled, -num_genuine, num_forged == 0, num_genuine < 2))
    fold_of_writer = np.empty(len(writers), int)
    fold_of_writer[order] = np.arange(len(writers)) % FOLDS
    return fold_of_writer[np.searchsorted(writers, truth.writer)]


def _select(truth: GroundTruth, mask: np.ndarray) -> GroundTruth:
    return GroundTruth(truth.genuine[mask], truth.writer[mask], truth.corpus_index[mask])


def _decide(verifier: Verifier, trials: list[Trial], count: int, rate: float) -> Decided:
    """Decide the trials of one fold; none is accepted by a rate that the verifier does not know."""
    comparisons = compare(trials, verifier.log_odds)
    accepted_from = verifier.decision_bounds(count, rate)[1] if _has_rate([verifier], rate) else np.inf
    relative = comparisons.score - verifier.threshold_for(EQUAL_ERROR, count)
    return dataclasses.replace(comparisons, score=relative), comparisons.score >= accepted_from


def _has_rate(verifiers: list[Verifier], rate: float) -> bool:
    rates = [list(list_rates(verifier.thresholds)) for verifier in verifiers]
    return all(stored and stored[0] <= rate <= stored[-1] for stored in rates)


def _has_forgeries(decided: list[Decided], kind: ComparisonKind) -> bool:
    return any(comparisons.has(kind) for comparisons, _ in decided)


def _measure(decided: list[Decided], kind: ComparisonKind, has_rate: bool) -> dict[str, Any]:
    """Return the error rates of all folds together, with intervals; of the rate only if it has been decided by."""
    columns = [(each.score, each.kind, each.writer, accepted) for each, accepted in decided]
    score, kinds, writer, accepted = (np.concatenate(column) for column in zip(*columns, strict=True))
    mask = (kinds == ComparisonKind.GENUINE) | (kinds == kind)
    score, genuine, writer, accepted = score[mask], kinds[mask] != kind, writer[mask], accepted[mask]
    writers, writer_index = np.unique(writer, return_inverse=True)
    rounds = draw_bootstrap(np.isin(writers, writer[~genuine]))
    ranked = RankedScores(score, genuine)
    eers = [ranked.compute_error_rates(counts[writer_index]).compute_eer() for counts in rounds]
    metrics: dict[str, Any] = {"writers": len(writers), "eer": ranked.compute_error_rates().compute_eer()}
    metrics["eer_interval"] = _find_interval(np.array(eers))
    for name, errors, of in (("frr", ~accepted, genuine), ("far", accepted, ~genuine)):
        if has_rate:
            by_round = [rounds @ np.bincount(writer_index[of], values[of], len(writers)) for values in (errors, of)]
            metrics[name] = 100 * float(np.mean(errors[of]))
            metrics[f"{name}_interval"] = _find_interval(100 * by_round[0] / by_round[1])
    return metrics


def _find_interval(values: np.ndarray) -> list[float]:
    return [float(end) for end in np.quantile(values, (0.025, 0.975))]


def format_table(measured: dict[str, Any]) -> str:
    """Return what ``compare_calibrations`` measured as a table in Markdown."""
    far = f"far {measured['rate']:g}"
    rows = [f"| references | writers | calibration | EER % | FRR % at {far} | FAR % at {far} |"]
    rows += ["|---:|---:|---|---:|---:|---:|"]
    for count, by_name in measured["references"].items():
        for name, metrics in by_name.items():
            cells = [_format_rate(metrics, rate) for rate in ("eer", "frr", "far")]
            rows.append(f"| {count} | {metrics['writers']} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _format_rate(metrics: dict[str, Any], name: str) -> str:
    if name not in metrics:
        return "not stored"
    low, high = metrics[f"{name}_interval"]
    return f"{metrics[name]:.2f} ({low:.1f} to {high:.1f})"
