"""Find the print of security paper, and the levels of darkness that separate a darker pen from it.

Fine lines cover such paper from border to border, all of about one darkness; writing has empty paper around it. Both
are measured in square cells of the page, and a page that is not clearly printed is left alone. Works at working
resolution, on darkness alone. Next: ``ink.py``, which calls this.
"""

import dataclasses

import cv2
import numpy as np

CELLS = 20  # cells along the longest side: one is wider than the distance of printed lines
DEPTH = 4  # pixels of the border in which print is looked for
BORDER = 0.3  # least share of the cells of a border, and of the opposite one, that print reaches
FULL = 0.7  # least share of the cells of a printed row or column in which there is print; the rest are gaps of rosettes
BAND = 0.25  # least share of the rows or columns that are printed
FEWEST = 72  # least number of printed cells: a small crop is full of strokes, and its paler ones look like print
UNWRITTEN = 0.5  # least share of the printed cells that nobody wrote in
EVEN = 0.2  # largest standard deviation of the darkest print of these cells, divided by its mean; strokes vary more
CLEAR = 0.65  # largest darkness of print, divided by that of the pen; above, pale strokes are as dark as print
UPPER = 99.5  # percentile of the darkness in cells of print alone that counts as the darkness of print
LEAST_WRITING = 0.003  # of the page; less is the darkest spots of a photograph


@dataclasses.dataclass(frozen=True)
class PenLevels:
    """The darkness of a pen on printed paper: inside its strokes, and three thresholds, all 0 to 255.

    ``strong`` begins a stroke and ``weak`` continues it, both above the print; ``edge`` is the outline of a stroke,
    which may be paler than the print.
    """

    core: float
    strong: float
    weak: float
    edge: float


def find_pen_levels(darkness: np.ndarray, weak: float) -> PenLevels | None:
    """Find the levels of a pen on printed paper ``uint8 [h, w]``, 0 paper to 255 black; None for any other page.

    ``weak`` is the least darkness of ink on plain paper: print below it does no harm.
    """
    cell = max(1, max(darkness.shape) // CELLS)
    rows, columns = darkness.shape[0] // cell, darkness.shape[1] // cell
    if min(rows, columns) < 3:
        return None
    across = _reaches(darkness[:, :DEPTH], rows, weak) and _reaches(darkness[:, -DEPTH:], rows, weak)
    down = _reaches(darkness[:DEPTH].T, columns, weak) and _reaches(darkness[-DEPTH:].T, columns, weak)
    if not (across or down):  # most pages end here, for a hundredth of the time that finding ink takes
        return None
    page = darkness[: rows * cell, : columns * cell]
    dark = cv2.threshold(page, weak - 0.5, 255, cv2.THRESH_BINARY)[1]
    is_dark = np.asarray(cv2.resize(dark, (columns, rows), interpolation=cv2.INTER_AREA), bool)
    full_rows = np.logical_and(across, np.mean(is_dark, axis=1) >= FULL)
    full_columns = np.logical_and(down, np.mean(is_dark, axis=0) >= FULL)
    if max(full_rows.mean(), full_columns.mean()) < BAND:
        return None
    printed = np.logical_and(is_dark, np.logical_or(full_rows[:, None], full_columns))
    return _separate(page.reshape(rows, cell, columns, cell).swapaxes(1, 2)[printed], darkness)


def grow_to_edge(mask: np.ndarray, darkness: np.ndarray, edge: float) -> np.ndarray:
    """Widen strokes ``uint8 [h, w]``, which were found above the darkness of print, by a pixel to their edges."""
    widened = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    return cv2.bitwise_and(widened, cv2.threshold(darkness, edge - 0.5, 1, cv2.THRESH_BINARY)[1])


def _reaches(border: np.ndarray, cells: int, weak: float) -> bool:
    """Return whether enough cells along a border ``uint8 [n, DEPTH]`` have print."""
    cell = len(border) // cells
    darkest = border[: cells * cell].max(axis=1).reshape(cells, cell).max(axis=1)
    return bool(np.count_nonzero(darkest >= weak) >= BORDER * cells)


def _separate(cells: np.ndarray, darkness: np.ndarray) -> PenLevels | None:
    """Separate the printed cells ``uint8 [n, side, side]`` with and without writing; None if they are of one kind.

    Otsu's threshold (1979, IEEE Trans. SMC 9) divides them by their darkest pixel.
    """
    darkest = cells.max(axis=(1, 2))
    order = np.argsort(darkest, kind="stable")
    peaks, count = darkest[order].astype(float), len(darkest)
    if count < FEWEST:
        return None
    sums, below = np.cumsum(peaks), np.arange(1, count)
    variance = (sums[-1] * below / count - sums[:-1]) ** 2 / (below * (count - below))
    unwritten = int(np.argmax(variance)) + 1
    print_peaks, pen = peaks[:unwritten], float(peaks[unwritten:].mean())
    if unwritten < UNWRITTEN * count or print_peaks.std() > EVEN * print_peaks.mean():
        return None
    upper = float(np.percentile(cells[order[:unwritten]], UPPER))
    if upper > CLEAR * pen:
        return None
    core = float(np.percentile(darkness[darkness > (upper + pen) / 2], 90))
    return PenLevels(core, (upper + core) / 2, max(0.35 * core, upper + 2), 0.35 * core)
