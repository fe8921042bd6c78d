"""Error rates of regions on pages: average precision, recall against false boxes, signed or not.

Boxes are as shares of the page. NumPy only; works on found and true boxes, not on images. Next: ``detection.py``.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from trainer.artifact.location import compute_overlaps

OVERLAPS = tuple(np.arange(0.5, 0.96, 0.05).round(2).tolist())  # at which COCO averages
RECALL_POINTS = np.linspace(0, 1, 101)
DRAWS, SEED = 500, 1  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class PageResult:
    """What was found on a page, and what is on it.

    ``boxes`` are ``float32 [k, 4]`` with ``scores`` ``float32 [k]`` and ``labels``, ``true_boxes`` ``float32 [n, 4]``
    with ``true_labels``. ``signed_score`` is that of the page to be signed.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: Sequence[str]
    true_boxes: np.ndarray
    true_labels: Sequence[str]
    signed_score: float


@dataclasses.dataclass(frozen=True)
class Matches:
    """The found boxes of one label on all pages, best first: ``scores``, whether each is right, and its page.

    ``true_counts``, ``int [P]``, are the numbers of regions that are there, on each page.
    """

    scores: np.ndarray
    is_right: np.ndarray
    pages: np.ndarray
    true_counts: np.ndarray

    @property
    def true_count(self) -> int:
        """The number of regions that are there."""
        return int(self.true_counts.sum())

    @property
    def page_count(self) -> int:
        """The number of pages."""
        return len(self.true_counts)

    def compute_average_precision(self) -> float:
        """Return the area under the curve of precision over recall in percent, at 101 points as COCO does."""
        if not self.true_count:
            return float("nan")
        right = np.cumsum(self.is_right)
        recall, precision = right / self.true_count, right / np.arange(1, len(right) + 1)
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        positions = np.searchsorted(recall, RECALL_POINTS - 1e-12)
        return 100 * float(np.mean([highest[position] if position < len(highest) else 0.0 for position in positions]))

    def compute_interval(self) -> list[float]:
        """Return the 95 % interval of the average precision over pages, in percent, by the bootstrap of pages.

        Empty without regions.
        """
        if not self.true_count:
            return []
        values = []
        weights_of_draws = np.random.default_rng(SEED).multinomial(
            self.page_count, np.full(self.page_count, 1 / self.page_count), size=DRAWS
        )
        for weights in weights_of_draws:
            repeats = weights[self.pages] if len(self.pages) else np.empty(0, int)
            drawn = Matches(
                np.repeat(self.scores, repeats),
                np.repeat(self.is_right, repeats),
                np.repeat(self.pages, repeats),
                weights * self.true_counts,
            )
            if drawn.true_count:
                values.append(drawn.compute_average_precision())
        return [float(limit) for limit in np.quantile(values, [0.025, 0.975])]

    def compute_false_boxes(self, recall: float) -> float:
        """Return the false boxes for each page where this share of the regions is found; infinity if it never is."""
        needed = int(np.ceil(recall * self.true_count - 1e-9))
        positions = np.flatnonzero(np.cumsum(self.is_right) >= needed)
        if not len(positions):
            return float("inf")
        return float(np.sum(~self.is_right[: positions[0] + 1])) / self.page_count

    def compute_rates(self, threshold: float) -> tuple[float, float]:
        """Return recall in percent and false boxes for each page at a threshold."""
        counted = self.scores >= threshold
        recall = 100 * float(np.sum(self.is_right & counted)) / max(1, self.true_count)
        return recall, float(np.sum(~self.is_right & counted)) / max(1, self.page_count)


def match(results: Sequence[PageResult], label: str, overlap: float) -> Matches:
    """Match the boxes of a label: the best first, each with the region it overlaps most, which counts once."""
    rows = [row for number, result in enumerate(results) for row in _match_page(result, label, overlap, number)]
    rows.sort(key=lambda row: -row[0])
    scores, is_right, pages = zip(*rows, strict=True) if rows else ((), (), ())
    true_counts = np.array([sum(each == label for each in result.true_labels) for result in results], int)
    return Matches(np.array(scores, float), np.array(is_right, bool), np.array(pages, int), true_counts)


def _match_page(result: PageResult, label: str, overlap: float, number: int) -> Iterator[tuple[float, bool, int]]:
    detected = [index for index in np.argsort(-result.scores, kind="stable") if result.labels[index] == label]
    true = [index for index, each in enumerate(result.true_labels) if each == label]
    overlaps = compute_overlaps(result.boxes[detected], result.true_boxes[true]) if detected and true else None
    taken: set[int] = set()
    for row, index in enumerate(detected):
        is_right = False
        if overlaps is not None:
            free = [(overlaps[row, column], column) for column in range(len(true)) if column not in taken]
            best, column = max(free, default=(0.0, -1))
            if is_right := bool(best >= overlap):
                taken.add(column)
        yield float(result.scores[index]), is_right, number
