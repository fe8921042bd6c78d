"""Measure among the writers on file how identification errs: with one reference of each as a questioned signature.

Left out with its writer, the reference is a stranger's: the best score that it has among all others is what a threshold
has to exclude. By conformal prediction (Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World",
chapter 2), the k-th smallest of n such scores is exceeded by a further stranger with a probability of at most
1 - k / (n + 1). Compared with the other references of its own writer, it says how often a writer on file is identified.
Next: ``gallery.py``, which decides with it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.enrolment.errors import NotEnrolled

if TYPE_CHECKING:
    from trainer.enrolment.gallery import Gallery

MAX_PROBES = 1000
MIN_FNIR_PROBES = 20  # fewer measure no rate worth publishing
SEED = 0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Log-odds of probes: ``strangers`` are the best ones among other writers, ascending.

    ``mates`` are those with their own writer, or None where another writer is nearer.
    """

    strangers: list[float]
    mates: list[float | None]

    def find_threshold(self, fpir: float) -> tuple[float, dict[str, float]]:
        """Return the log-odds above which a rate of ``fpir`` of strangers at most is identified, and the rates.

        ``fpir`` is the rate that the threshold keeps: with few writers on file a larger one than was requested.
        ``fnir`` is the measured rate of writers on file who are not identified, absent with fewer than 20 probes.
        """
        count = len(self.strangers)
        position = min(math.ceil((count + 1) * (1 - fpir) - 1e-9), count)
        threshold = np.nextafter(self.strangers[position - 1], np.inf) if count else -math.inf
        rates = {"fpir": max(fpir, 1 / (count + 1))}
        if len(self.mates) >= MIN_FNIR_PROBES:
            rates["fnir"] = float(np.mean([mate is None or mate < threshold for mate in self.mates]))
        return float(threshold), rates

    @property
    def top1(self) -> float | None:
        """The share of probes to which their own writer is nearest; None with fewer than 20 probes."""
        if len(self.mates) < MIN_FNIR_PROBES:
            return None
        return float(np.mean([mate is not None for mate in self.mates]))

    def to_json(self) -> dict[str, Any]:
        """Return the form that a store keeps."""
        return dataclasses.asdict(self)


def measure(gallery: Gallery) -> Calibration:
    """Measure a gallery with a reference of each of at most ``MAX_PROBES`` writers, always the same ones."""
    generator = np.random.default_rng(SEED)
    chosen = generator.permutation(len(gallery))[:MAX_PROBES]
    strangers: list[float] = []
    mates: list[float | None] = []
    for writer in sorted(map(int, chosen)):
        try:
            vectors = gallery.read_vectors(gallery.names[writer])
        except NotEnrolled:  # removed since the gallery was made
            continue
        number = int(generator.integers(len(vectors)))
        others = np.delete(vectors, number, axis=0)
        positions, log_odds = gallery.rank(vectors[number], {writer: others})
        is_own = positions == writer
        if not is_own.all():
            strangers.append(float(log_odds[~is_own].max()))
        if len(others):
            mates.append(float(log_odds[0]) if is_own[:1].any() else None)
    return Calibration(sorted(strangers), mates)
