"""Remove ruled lines and boxes of forms, and the dark edges of scans, from an ink mask.

A ruled line, unlike a stroke, is straight to the pixel and crosses the page. Where a stroke crosses it, the pixels of
the stroke stay. Works at working resolution, without grey levels. Next: ``ink.py``, which calls this.
"""

import dataclasses

import cv2
import numpy as np

# Shares are of the side of the page along the line, or of its longest side.
EDGE_DEPTH = 0.15  # largest depth of a dark edge, share of the side
EDGE_COVER = 0.5  # least share of the border that a dark edge covers
RUN = 0.04  # least length of a straight piece of a line, share of the longest side
REACH = 0.55  # least length of a ruled line, share of the side
STEEPEST = 0.06  # largest slope of a ruled line: 3.4 degrees, of a page that was scanned askew
THICKEST = 0.02  # largest thickness of a ruled line, share of the longest side
SLENDER = 40  # least length of a ruled line, divided by its thickness: excludes stems and bars of letters
ENDS = 0.12  # largest distance from the border of the lines of a box and of their ends, share of the side
WHOLE = 0.015  # largest distance from the border of the ends of a lone line; a shorter one may be an underline
BEYOND = 0.03  # least length by which a lone line exceeds the writing, share of the side
BLUNT = 0.12  # largest depth of a dark edge, divided by its length: a stem at the border of a tight crop is thicker


@dataclasses.dataclass(frozen=True)
class _Line:
    """A nearly horizontal line, from column ``first`` to ``last``; ``upper``, ``int [w]``, are the rows of its top."""

    upper: np.ndarray
    thickness: int
    first: int
    last: int


def remove_lines(mask: np.ndarray) -> np.ndarray:
    """Remove dark edges and ruled lines from a mask: ``uint8 [h, w] -> uint8 [h, w]``, 1 ink."""
    mask = _blank_dark_edges(mask)
    transposed = cv2.transpose(mask)
    across, down = _find_lines(mask), _find_lines(transposed)
    if len(across) > 1 and len(down) > 1:
        across, down = _select_form_lines(across, len(mask)), _select_form_lines(down, mask.shape[1])
    elif across or down:
        writing = mask * (1 - (_draw_lines(mask, across) | cv2.transpose(_draw_lines(transposed, down))))
        left, top, width, height = cv2.boundingRect(writing)
        across = _select_lone_lines(across, left, left + width)
        down = _select_lone_lines(down, top, top + height)
    if not (across or down):
        return mask
    lines = _draw_lines(mask, across) | cv2.transpose(_draw_lines(transposed, down))
    strokes = mask * (1 - lines)
    thickest = max(line.thickness for line in across + down)
    return strokes | (mask & lines & _close_gaps(strokes, 2 * thickest + 6))


def _close_gaps(strokes: np.ndarray, gap: int) -> np.ndarray:
    """Close gaps of up to ``gap`` pixels in each of eight directions, where a stroke continues beyond a line."""
    closed = strokes
    for angle in np.arange(8) * np.pi / 8:
        offset = np.array([np.cos(angle), np.sin(angle)]) * gap
        kernel = np.zeros((2 * gap + 1, 2 * gap + 1), np.uint8)
        (left, top), (right, bottom) = (np.rint(gap + sign * offset / 2).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, (left, top), (right, bottom), 1)
        closed = closed | cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, kernel)
    return closed


def _blank_dark_edges(mask: np.ndarray) -> np.ndarray:
    """Blank the solid dark band along each side of the page, where there is one."""
    height, width = mask.shape
    top, bottom = _measure_edge_depth(mask), _measure_edge_depth(mask[::-1])
    left, right = _measure_edge_depth(mask.T), _measure_edge_depth(mask.T[::-1])
    if not (top or bottom or left or right):
        return mask
    blanked = np.zeros_like(mask)
    inside = (slice(top, height - bottom), slice(left, width - right))
    blanked[inside] = mask[inside]
    return blanked


def _measure_edge_depth(mask: np.ndarray) -> int:
    """Return the number of rows to blank at the top of ``uint8 [h, w]``: 0 unless most columns begin with ink."""
    if cv2.countNonZero(mask[0]) < EDGE_COVER * mask.shape[1]:
        return 0
    deepest = max(2, int(EDGE_DEPTH * len(mask)))
    runs = np.argmin(mask[: deepest + 1], axis=0)  # rows of ink before the first of paper
    runs[mask[: deepest + 1].all(axis=0)] = deepest + 1
    band = runs[(runs > 0) & (runs <= deepest)]
    if len(band) < EDGE_COVER * mask.shape[1] or np.median(band) > BLUNT * mask.shape[1]:
        return 0
    return int(band.max()) + 2


def _find_lines(mask: np.ndarray) -> list[_Line]:
    """Find nearly horizontal straight lines that are long and thin enough to be ruled."""
    width, longest = mask.shape[1], max(mask.shape)
    length = max(9, round(RUN * longest))
    if width < 3 * length:
        return []
    kernel = np.ones((1, length), np.uint8)
    eroded = cv2.erode(mask, kernel)  # an opening in two steps, because the second is rarely needed
    if not cv2.countNonZero(eroded):
        return []
    runs = cv2.dilate(eroded, kernel, anchor=(length - 1 - length // 2, 0))
    if cv2.countNonZero(runs) < REACH * width:
        return []
    lines = []
    for slope, offset in _find_straight_edges(runs):
        upper = np.rint(offset + slope * np.arange(width)).astype(int)
        columns, thickness = _measure_extent(mask, upper, int(THICKEST * longest) + 4)
        # Binarising adds about two pixels to the thickness.
        if len(columns) >= max(REACH * width, SLENDER * max(1, thickness - 2)):
            line = _Line(upper, thickness, int(columns[0]), int(columns[-1]))
            lines += [line] if _spans_page(line, ENDS) else []
    return lines


def _spans_page(line: _Line, ends: float) -> bool:
    """Return whether both ends of a line are at most the share ``ends`` of the page from its borders."""
    width = len(line.upper)
    return line.first <= ends * width and line.last >= (1 - ends) * width - 1


def _select_form_lines(lines: list[_Line], side: int) -> list[_Line]:
    """Select from lines in two directions those of a grid (three or more), or of a box (close to the border)."""
    if len(lines) > 2:
        return lines
    return [line for line in lines if not ENDS * side < float(np.median(line.upper)) < (1 - ENDS) * side]


def _select_lone_lines(lines: list[_Line], first: int, last: int) -> list[_Line]:
    """Select from lines in one direction those that cross the page and are longer than the writing.

    ``first`` to ``last`` is the extent of the writing. A line that is not longer may be a stem or an underline.
    """
    crossing = [line for line in lines if _spans_page(line, WHOLE)]
    return [
        line
        for line in crossing
        if len(crossing) > 2 or max(first - line.first, line.last - last) >= BEYOND * len(line.upper)
    ]


def _draw_lines(mask: np.ndarray, lines: list[_Line]) -> np.ndarray:
    """Draw the pixels of lines, with a margin of one: ``uint8 [h, w]``, 1 line."""
    drawn = np.zeros_like(mask)
    columns = np.arange(mask.shape[1])
    for line in lines:
        for row in range(-1, line.thickness + 2):
            drawn[np.clip(line.upper + row, 0, len(mask) - 1), columns] = 1
    return drawn


def _find_straight_edges(runs: np.ndarray) -> list[tuple[float, float]]:
    """Return (slope, offset) of long straight upper edges: the peaks of a Radon transform over small slopes.

    Each column votes once for a line, so a thick short stroke is not mistaken for a long thin line.
    """
    height, width = runs.shape
    edge = runs.copy()
    edge[1:] &= 1 - runs[:-1]
    y, x = np.nonzero(edge)
    slopes = np.arange(-STEEPEST, STEEPEST + 1e-9, 1.0 / width)
    padding = int(np.ceil(STEEPEST * width)) + 1  # keeps the offsets of all slopes positive
    rows = height + 2 * padding
    offsets = (np.rint(y - slope * x).astype(np.int32) + padding for slope in slopes)
    votes = np.stack([np.bincount(offset, minlength=rows)[:rows] for offset in offsets])
    votes = votes[:, :-1] + votes[:, 1:]  # an edge may be between two rows
    distance = max(2, int(0.01 * max(runs.shape)))
    peaks: list[tuple[float, float]] = []
    while votes.max() >= REACH * width:
        best, row = (int(v) for v in np.unravel_index(np.argmax(votes), votes.shape))
        peaks.append((float(slopes[best]), float(row - padding)))
        for index in range(len(slopes)):  # remove the votes of this line for other slopes
            shift = (slopes[best] - slopes[index]) * width / 2
            first, last = row + shift - distance - abs(shift), row + shift + distance + abs(shift)
            votes[index, max(0, int(first)) : max(0, int(last) + 1)] = 0
    return peaks


def _measure_extent(mask: np.ndarray, upper: np.ndarray, max_rows: int) -> tuple[np.ndarray, int]:
    """Return the columns in which a line has ink, and its median thickness in rows, at most about ``max_rows``.

    ``upper``, ``int [w]``, is the row of its upper edge in each column.
    """
    rows = np.clip(upper[None] + np.arange(-1, max_rows)[:, None], 0, len(mask) - 1)
    window = mask[rows, np.arange(mask.shape[1])]
    columns = np.flatnonzero(window[:4].any(axis=0))
    return columns, int(np.median(window[:, columns].sum(axis=0))) if columns.size else max_rows
