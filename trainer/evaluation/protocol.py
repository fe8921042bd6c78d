"""Who is compared with whom, and what comes of it: the fixed protocol of signature verification. NumPy only.

For every writer n references are drawn from the genuine signatures; the other genuine ones are questioned, so are the
writer's skilled forgeries and, as random forgeries, other people's genuine signatures. One global threshold for all.
Knows vectors and a decision, no images. Next: ``calibration.py`` makes decisions, ``verification.py`` tells.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.evaluation.metrics import Ranking, calibration_curve, errors

REFERENCES = (1, 5, 10)
DRAWS = 5  # of the references of every writer; scores of all draws count
OTHERS = 40  # random forgeries for each draw
BOOTSTRAP = 500
GENUINE, SKILLED, RANDOM = 0, 1, 2
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
Draw = tuple[int, np.ndarray, np.ndarray, np.ndarray]


class NothingToCompare(UserError):
    """No writer has enough genuine signatures to compare; the message says what would do."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known of N vectors: ``genuine`` is ``bool [N]``, ``writer`` ``int [N]``, ``source`` ``int [N]``."""

    genuine: np.ndarray
    writer: np.ndarray
    source: np.ndarray

    @classmethod
    def of(cls, samples: list[Sample]) -> "Truth":
        """Writers are told apart by ``Sample.group``, sources by origin."""
        writers = {group: number for number, group in enumerate(sorted({sample.group for sample in samples}))}
        sources = {origin: number for number, origin in enumerate(sorted({sample.origin for sample in samples}))}
        return cls(
            np.array([sample.label == "genuine" for sample in samples]),
            np.array([writers[sample.group] for sample in samples]),
            np.array([sources[sample.origin] for sample in samples]),
        )


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """M comparisons of a questioned vector with a writer's references.

    ``score`` is ``float [M]``, ``kind`` one of ``GENUINE``, ``SKILLED``, ``RANDOM``, ``writer`` who is claimed.
    """

    score: np.ndarray
    kind: np.ndarray
    writer: np.ndarray

    def against(self, kind: int) -> "Comparisons":
        """Genuine ones and one kind of forgery."""
        return self.only((self.kind == GENUINE) | (self.kind == kind))

    def only(self, which: np.ndarray) -> "Comparisons":
        """A part of them."""
        return Comparisons(self.score[which], self.kind[which], self.writer[which])

    def has(self, kind: int) -> bool:
        """Whether there are genuine ones and forgeries of a kind."""
        return bool((self.kind == GENUINE).any() and (self.kind == kind).any())


def compare(vectors: np.ndarray, truth: Truth, references: int, score: Score, draws: int = DRAWS) -> Comparisons:
    """All comparisons of the protocol; ``score(questioned [M, D], references [n, D]) -> [M]``, higher is more genuine.

    Random forgeries come from the writer's own source while it has other people. The same vectors, the same draws.
    """
    usable = np.any(vectors != 0, axis=1)  # the others are refused as no signatures: rejected, and nobody's reference
    rows = [
        (
            np.where(usable[questioned], score(vectors[questioned], vectors[chosen]), -np.inf),
            kinds,
            np.full(len(questioned), writer),
        )
        for writer, chosen, questioned, kinds in _draws(truth, usable, references, draws)
    ]
    if not rows:
        return Comparisons(np.zeros(0), np.zeros(0, int), np.zeros(0, int))
    scores, kinds, writers = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Comparisons(scores, kinds, writers)


def _draws(
    truth: Truth, usable: np.ndarray, references: int, draws: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """(writer, rows of the references, rows that are questioned, their kinds) of every draw."""
    for writer in np.unique(truth.writer[truth.genuine]):
        own = truth.writer == writer
        genuine, forged = np.flatnonzero(own & truth.genuine), np.flatnonzero(own & ~truth.genuine)
        if len(genuine) <= references or np.count_nonzero(usable[genuine]) < references:
            continue
        strangers = ~own & truth.genuine
        near = strangers & (truth.source == truth.source[genuine[0]])
        others = np.flatnonzero(near if near.any() else strangers)
        for draw in range(draws):
            rng = np.random.default_rng([draw, references, int(writer)])
            order = rng.permutation(genuine)
            order = order[np.argsort(~usable[order], kind="stable")]  # references are the first
            some = rng.choice(others, min(OTHERS, len(others)), replace=False)
            questioned = np.concatenate([order[references:], forged, some])
            kinds = np.repeat([GENUINE, SKILLED, RANDOM], [len(order) - references, len(forged), len(some)])
            yield int(writer), order[:references], questioned, kinds


def of_targets(targets) -> Truth:
    """Of a part of the records."""
    return Truth(targets["label"] == 0, targets["writer"], targets["source"])


def measure(vectors: np.ndarray, samples: list[Sample], decision) -> dict[str, Any]:
    """Every number of the report's ``verification``, see docs/report.md; rates in percent. ``decision`` is ``Verify``.

    Raises ``NothingToCompare``.
    """
    truth = Truth.of(samples)
    counts = {str(n): compare(vectors, truth, n, decision.evidence) for n in REFERENCES}
    numbers = {count: _numbers(found, int(count), decision) for count, found in counts.items() if _tells(found)}
    if not numbers:
        raise NothingToCompare(
            f"{len(samples)} images of {len(np.unique(truth.writer))} writers: to compare, somebody with two genuine "
            "signatures or more is needed, and forgeries or other people; does the layout name the writers?"
        )
    most = list(numbers)[-1]
    return {
        "images": len(samples),
        "writers": len(np.unique(truth.writer)),
        "genuine": int(truth.genuine.sum()),
        "forged": int((~truth.genuine).sum()),
        "not_a_signature": {
            kind: int((of & ~vectors.any(axis=1)).sum())
            for kind, of in (("genuine", truth.genuine), ("forged", ~truth.genuine))
        },
        "references": numbers,
        "pairs": _pairs(vectors, truth),
        "calibration": _calibration(counts[most], int(most)),
        "by_source": _by_source(counts, truth, samples),
        "by_writer": _by_writer(counts[most], int(most), samples, truth, decision),
    }


def _tells(found: Comparisons) -> bool:
    return found.has(SKILLED) or found.has(RANDOM)


def check(samples: list[Sample]) -> None:
    """Raises ``NothingToCompare`` when nothing could be measured on these, before anything is trained."""
    if not _tells(compare(np.ones((len(samples), 1), np.float32), Truth.of(samples), 1, _nothing, draws=1)):
        raise NothingToCompare(
            f"{len(samples)} images to test on: nobody has two genuine signatures and somebody to be compared with; "
            "bring more people, or give a larger --test-fraction"
        )


def _nothing(questioned: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.zeros(len(questioned))


def _numbers(found: Comparisons, references: int, decision) -> dict[str, Any]:
    """The numbers for so many references."""
    result: dict[str, Any] = {"writers": len(np.unique(found.writer))}
    for name, kind in (("skilled", SKILLED), ("random", RANDOM)):
        result |= _against(found.against(kind), name, kind)
    thresholds = {name: decision.threshold(name, references) for name in decision.thresholds}
    result["thresholds"] = {
        name: {**_at(found, threshold), "threshold": decision.probability(threshold)}
        for name, threshold in thresholds.items()
    }
    sure = ~decision.is_inconclusive(found.score, references)
    result["inconclusive"] = 100 * float(np.mean(~sure[found.kind != RANDOM]))
    result["conclusive"] = _at(found.only(sure), thresholds["eer"])
    return result


def _against(part: Comparisons, name: str, kind: int) -> dict[str, Any]:
    """Equal error rate with its interval, area, and equal error rate with a threshold for each writer."""
    keys = [f"eer_{name}", f"eer_{name}_interval", f"auc_{name}", f"eer_{name}_own_threshold"]
    if not part.has(kind):
        return dict.fromkeys(keys)
    genuine = part.kind == GENUINE
    ranking = Ranking(part.score, genuine)
    whole = ranking.errors()
    writers, place = np.unique(part.writer, return_inverse=True)
    rates = [ranking.errors(times[place]).equal() for times in _redrawn(part, writers)]
    own = [part.only(part.writer == writer) for writer in writers]
    each = [errors(one.score, one.kind == GENUINE).equal() for one in own if one.has(kind)]
    interval = [float(edge) for edge in np.quantile(rates, (0.025, 0.975))]
    return dict(zip(keys, (whole.equal(), interval, whole.area(), float(np.mean(each))), strict=True))


def _redrawn(part: Comparisons, writers: np.ndarray) -> np.ndarray:
    """How often each writer is drawn in each of the bootstrap's rounds: ``int [BOOTSTRAP, W]``.

    Writers with forgeries and writers without are drawn by themselves, so that no round is without forgeries.
    """
    rng = np.random.default_rng(0)
    forged = np.isin(writers, part.writer[part.kind != GENUINE])
    times = np.zeros((BOOTSTRAP, len(writers)), int)
    for kind in (forged, ~forged):
        if count := int(kind.sum()):
            times[:, kind] = rng.multinomial(count, np.full(count, 1 / count), BOOTSTRAP)
    return times


def _at(found: Comparisons, threshold: float) -> dict[str, float | None]:
    """Error rates when scores of at least the threshold are accepted; ``None`` where there is nothing of a kind."""
    shares = [
        100 * float(np.mean(found.score[found.kind == kind] >= threshold)) if (found.kind == kind).any() else None
        for kind in (GENUINE, SKILLED, RANDOM)
    ]
    frr = None if shares[0] is None else 100 - shares[0]
    return {"frr": frr, "far_skilled": shares[1], "far_random": shares[2]}


def _pairs(vectors: np.ndarray, truth: Truth) -> dict[str, Any]:
    """Every two genuine signatures of a writer against every genuine one with a forgery, by similarity alone."""
    scores, genuine = [], []
    for writer in np.unique(truth.writer):
        own = truth.writer == writer
        real, forged = vectors[own & truth.genuine], vectors[own & ~truth.genuine]
        alike = (real @ real.T)[np.triu_indices(len(real), 1)]
        scores += [alike, (real @ forged.T).ravel()]
        genuine += [np.ones(len(alike), bool), np.zeros(len(real) * len(forged), bool)]
    score, kind = np.concatenate(scores), np.concatenate(genuine)
    whole = errors(score, kind).equal() if kind.any() and not kind.all() else None
    return {"eer": whole, "genuine": int(kind.sum()), "forged": int((~kind).sum())}


def _calibration(found: Comparisons, references: int) -> dict[str, Any] | None:
    """Of the probability that people are told, against skilled forgeries."""
    part = found.against(SKILLED)
    if not part.has(SKILLED):
        return None
    return {"references": references, **calibration_curve(1 / (1 + np.exp(-part.score)), part.kind == GENUINE)}


def _by_source(counts: dict[str, Comparisons], truth: Truth, samples: list[Sample]) -> dict[str, Any]:
    """Equal error rates of each corpus by itself, by number of references."""
    names = sorted({sample.origin for sample in samples})
    source = dict(zip(truth.writer.tolist(), truth.source.tolist(), strict=True))
    result: dict[str, Any] = {name: {} for name in names}
    for count, found in counts.items():
        of = np.array([source[writer] for writer in found.writer.tolist()])
        for number, name in enumerate(names):
            part = found.only(of == number)
            if _tells(part):
                rates = {f"eer_{kind}": _eer(part, which) for kind, which in (("skilled", SKILLED), ("random", RANDOM))}
                result[name][count] = {"writers": len(np.unique(part.writer)), **rates}
    return result


def _eer(found: Comparisons, kind: int) -> float | None:
    part = found.against(kind)
    return errors(part.score, part.kind == GENUINE).equal() if part.has(kind) else None


def _by_writer(found: Comparisons, references: int, samples: list[Sample], truth: Truth, decision) -> list[dict]:
    """One row a writer: error rates at the threshold that is used, worst first."""
    names = dict(zip(truth.writer.tolist(), ("/".join(sample.group) for sample in samples), strict=True))
    rows: list[dict[str, Any]] = []
    for writer in np.unique(found.writer).tolist():
        own = found.only(found.writer == writer)
        at = _at(own, decision.threshold("eer", references))
        rows.append({"writer": names[writer], "references": references, **at, "eer_skilled": _eer(own, SKILLED)})
    return sorted(rows, key=lambda row: (-(row["eer_skilled"] or 0.0), -(row["frr"] or 0.0)))
