"""What a form and a scanner draw, not a person: ruled lines, boxes, and the dark edge of the scanner's lid.

Works on an ink mask at working resolution; knows no grey levels. A ruled line is told from a stroke by being straight
to the pixel and crossing the page; where both meet, the stroke keeps its pixels.
"""

import dataclasses

import cv2
import numpy as np

EDGE_DEPTH = 0.15  # of the page: how far from its border a dark edge may reach
EDGE_COVER = 0.5  # of the border that a dark edge covers at least
RUN = 0.04  # of the longest side: straight pieces shorter than this are no part of a line
REACH = 0.55  # of the page's side that a ruled line spans at least
STEEPEST = 0.06  # rise over run: 3.4 degrees, a sheet laid askew
THICKEST = 0.02  # of the longest side
SLENDER = 40  # length over thickness of a line at least: no stem or bar of a letter
ENDS = 0.12  # of the page's side: how far from its border the lines of a box may be, begin and end
WHOLE = 0.015  # likewise for a lone line: one that ends within the page may be a person's underline
BEYOND = 0.03  # likewise: how far a lone line goes on where the writing has ended
BLUNT = 0.12  # depth over length of a dark edge at most: a letter's stem at the border of a tight crop is thicker


@dataclasses.dataclass(frozen=True)
class _Line:
    """A straight line across: the row of its upper edge in every column, its thickness, first and last column."""

    upper: np.ndarray
    thickness: int
    first: int
    last: int


def without_lines(mask: np.ndarray) -> np.ndarray:
    """Drop dark edges and ruled lines from ``uint8 [h, w]`` (1 ink)."""
    mask = _without_dark_edges(mask)
    upright = cv2.transpose(mask)
    across, down = _lines(mask), _lines(upright)
    if len(across) > 1 and len(down) > 1:
        across, down = _of_a_form(across, len(mask)), _of_a_form(down, mask.shape[1])
    elif across or down:
        writing = mask * (1 - (_bands(mask, across) | cv2.transpose(_bands(upright, down))))
        left, top, width, height = cv2.boundingRect(writing)
        across = _lone(across, left, left + width)
        down = _lone(down, top, top + height)
    if not (across or down):
        return mask
    bands = _bands(mask, across) | cv2.transpose(_bands(upright, down))
    strokes = mask * (1 - bands)
    thickest = max(line.thickness for line in across + down)
    return strokes | (mask & bands & _bridged(strokes, 2 * thickest + 6))


def _bridged(strokes: np.ndarray, gap: int) -> np.ndarray:
    """Close gaps of up to ``gap`` pixels along each of eight directions: a stroke goes on beyond a line it crosses."""
    closed = strokes
    for angle in np.arange(8) * np.pi / 8:
        reach = np.array([np.cos(angle), np.sin(angle)]) * gap
        kernel = np.zeros((2 * gap + 1, 2 * gap + 1), np.uint8)
        (left, top), (right, bottom) = (np.rint(gap + sign * reach / 2).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, (left, top), (right, bottom), 1)
        closed = closed | cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, kernel)
    return closed


def _without_dark_edges(mask: np.ndarray) -> np.ndarray:
    """Blank each side up to the depth of the solid dark band that begins at it, where there is one."""
    height, width = mask.shape
    top, bottom = _depth(mask), _depth(mask[::-1])
    left, right = _depth(mask.T), _depth(mask.T[::-1])
    if not (top or bottom or left or right):
        return mask
    inner = np.zeros_like(mask)
    kept = (slice(top, height - bottom), slice(left, width - right))
    inner[kept] = mask[kept]
    return inner


def _depth(mask: np.ndarray) -> int:
    """Rows to blank at the top of ``uint8 [h, w]``: none unless most columns begin with a run of ink."""
    if cv2.countNonZero(mask[0]) < EDGE_COVER * mask.shape[1]:
        return 0
    deepest = max(2, int(EDGE_DEPTH * len(mask)))
    runs = np.argmin(mask[: deepest + 1], axis=0)  # rows until the first that is paper
    runs[mask[: deepest + 1].all(axis=0)] = deepest + 1
    band = runs[(runs > 0) & (runs <= deepest)]
    if len(band) < EDGE_COVER * mask.shape[1] or np.median(band) > BLUNT * mask.shape[1]:
        return 0
    return int(band.max()) + 2


def _lines(mask: np.ndarray) -> list[_Line]:
    """Nearly horizontal straight lines that are long and thin enough to be ruled."""
    width, longest = mask.shape[1], max(mask.shape)
    length = max(9, round(RUN * longest))
    if width < 3 * length:
        return []
    reach = np.ones((1, length), np.uint8)
    straight = cv2.erode(mask, reach)  # the opening, in two steps: there is rarely a second
    if not cv2.countNonZero(straight):
        return []
    runs = cv2.dilate(straight, reach, anchor=(length - 1 - length // 2, 0))
    if cv2.countNonZero(runs) < REACH * width:
        return []
    found = []
    for slope, offset in _straight(runs):
        upper = np.rint(offset + slope * np.arange(width)).astype(int)
        there, thickness = _extent(mask, upper, int(THICKEST * longest) + 4)
        # Binarising adds about two pixels to the thickness.
        if len(there) >= max(REACH * width, SLENDER * max(1, thickness - 2)):
            line = _Line(upper, thickness, int(there[0]), int(there[-1]))
            found += [line] if _spans(line, ENDS) else []
    return found


def _spans(line: _Line, ends: float) -> bool:
    """Whether a line begins and ends within this share of the page from its borders."""
    width = len(line.upper)
    return line.first <= ends * width and line.last >= (1 - ends) * width - 1


def _of_a_form(lines: list[_Line], side: int) -> list[_Line]:
    """Of lines in two directions, those of a grid (three or more), or of a box: near the border they run along."""
    if len(lines) > 2:
        return lines
    return [line for line in lines if not ENDS * side < float(np.median(line.upper)) < (1 - ENDS) * side]


def _lone(lines: list[_Line], first: int, last: int) -> list[_Line]:
    """Of lines in one direction, those that cross the whole page, and more of it than the writing does.

    ``first`` to ``last`` is the writing's own extent. In a crop as tight as that, a line may be a stem or an underline.
    """
    crossing = [line for line in lines if _spans(line, WHOLE)]
    return [
        line
        for line in crossing
        if len(crossing) > 2 or max(first - line.first, line.last - last) >= BEYOND * len(line.upper)
    ]


def _bands(mask: np.ndarray, lines: list[_Line]) -> np.ndarray:
    """The pixels that lines take, with a margin of one: ``uint8 [h, w]``."""
    bands = np.zeros_like(mask)
    columns = np.arange(mask.shape[1])
    for line in lines:
        for row in range(-1, line.thickness + 2):
            bands[np.clip(line.upper + row, 0, len(mask) - 1), columns] = 1
    return bands


def _straight(runs: np.ndarray) -> list[tuple[float, float]]:
    """(slope, offset) of the upper edges that are straight and long: peaks of a Radon transform over small slopes.

    A column votes once for a line, so a thick short stroke is not mistaken for a long thin one.
    """
    height, width = runs.shape
    edge = runs.copy()
    edge[1:] &= 1 - runs[:-1]
    y, x = np.nonzero(edge)
    slopes = np.arange(-STEEPEST, STEEPEST + 1e-9, 1.0 / width)
    lift = int(np.ceil(STEEPEST * width)) + 1
    rows = height + 2 * lift
    offsets = (np.rint(y - slope * x).astype(np.int32) + lift for slope in slopes)
    votes = np.stack([np.bincount(offset, minlength=rows)[:rows] for offset in offsets])
    votes = votes[:, :-1] + votes[:, 1:]  # an edge lies between two rows as often as on one
    reach = max(2, int(0.01 * max(runs.shape)))
    found: list[tuple[float, float]] = []
    while votes.max() >= REACH * width:
        best, row = (int(v) for v in np.unravel_index(np.argmax(votes), votes.shape))
        found.append((float(slopes[best]), float(row - lift)))
        for other in range(len(slopes)):  # the same line under another slope is no other line
            shift = (slopes[best] - slopes[other]) * width / 2
            first, last = row + shift - reach - abs(shift), row + shift + reach + abs(shift)
            votes[other, max(0, int(first)) : max(0, int(last) + 1)] = 0
    return found


def _extent(mask: np.ndarray, upper: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """The columns in which a line is, given the row of its upper edge in each, and its median thickness in rows."""
    window = np.clip(upper[None] + np.arange(-1, most)[:, None], 0, len(mask) - 1)
    inked = mask[window, np.arange(mask.shape[1])]
    there = np.flatnonzero(inked[:4].any(axis=0))
    return there, int(np.median(inked[:, there].sum(axis=0))) if there.size else most
