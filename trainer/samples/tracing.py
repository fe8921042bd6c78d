"""Trace the lines of a rendered word: thin its ink to a skeleton and follow it as pen strokes.

Gives the generator the letters of every font and script as movements, beside the stroke fonts of ``letters.py``.
Works on masks, not on fonts. Next: ``movement.py``, which writes the strokes with a pen.
"""

import cv2
import numpy as np

Strokes = list[np.ndarray]  # points of each pen-down movement, ``float [n, 2]``

MIN_STROKE = 5  # pixels; shorter branches of a skeleton are spurs of its outline, not dots
COARSENESS = 0.9  # pixels by which a stroke may deviate from its turning points (Douglas and Peucker 1973)
MEMORY = 5  # pixels that define the direction in which a stroke arrives at a crossing

_OFFSETS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # (row, column), clockwise from north
_WEIGHTS = np.zeros((3, 3), np.float32)
for _bit, (_row, _column) in enumerate(_OFFSETS):
    _WEIGHTS[_row + 1, _column + 1] = 1 << _bit


def _make_table(step: int) -> np.ndarray:
    """Which neighbourhoods of a pixel lose it, in one of the two steps of an iteration: ``uint8 [256]``."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        around = [code >> bit & 1 for bit in range(8)]
        north, east, south, west = around[0], around[2], around[4], around[6]
        transitions = sum(around[bit] == 0 and around[(bit + 1) % 8] == 1 for bit in range(8))
        opposite = (north * east * south, east * south * west) if step == 0 else (
            north * east * west, north * south * west)  # fmt: skip
        table[code] = 2 <= sum(around) <= 6 and transitions == 1 and not any(opposite)
    return table


def _make_corner_table() -> np.ndarray:
    """Which neighbourhoods connect without their centre, though it is no end of a line: ``uint8 [256]``.

    The 8-connectivity number is 1 (Yokoi et al. 1975).
    """
    table = np.zeros(256, np.uint8)
    for code in range(256):
        empty = [1 - (code >> bit & 1) for bit in range(8)]
        parts = sum(empty[bit] - empty[bit] * empty[bit + 1] * empty[(bit + 2) % 8] for bit in (0, 2, 4, 6))
        table[code] = parts == 1 and sum(empty) <= 6
    return table


_TABLES = (_make_table(0), _make_table(1))
_CORNERS = _make_corner_table()


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin ink to lines one pixel wide, ``uint8 [h, w]``, 0 or 1 (Zhang and Suen 1984, Comm. ACM 27:3)."""
    ink = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    while True:
        removed = 0
        for table in _TABLES:
            deletable = cv2.bitwise_and(_look_up(ink, table), ink)
            ink = cv2.subtract(ink, deletable)
            removed += cv2.countNonZero(deletable)
        if not removed:
            break
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):  # no two pixels of a quarter touch
        deletable = _look_up(ink, _CORNERS)
        ink[row::2, column::2][deletable[row::2, column::2] > 0] = 0
    return ink[1:-1, 1:-1]


def _look_up(ink: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Look up the neighbourhood of every pixel in a table, ``uint8 [h, w]``."""
    return cv2.LUT(cv2.filter2D(ink, cv2.CV_8U, _WEIGHTS), table)


def trace(mask: np.ndarray) -> Strokes:
    """Follow the skeleton of ink as strokes, in pixels (x, y): ``uint8 [h, w]``, 0 or 1.

    A stroke begins at an end of a line, continues straight over crossings and ends where nothing is left; the strokes
    together cover the skeleton once. Each is reduced to its turning points.
    """
    skeleton = cv2.copyMakeBorder(thin(mask), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    width = skeleton.shape[1]
    steps = [row * width + column for row, column in _OFFSETS]
    flat = skeleton.ravel()
    pixels = np.flatnonzero(flat)
    if not len(pixels):
        return []
    left = set(pixels.tolist())
    neighbours = sum(flat[pixels + step] for step in steps)
    order = np.argsort(
        pixels % width + 4 * width * (neighbours > 1), kind="stable"
    )  # ends of lines first, from the left
    strokes = []
    for start in pixels[order].tolist():
        if start in left:
            path, is_branch = _follow(start, left, flat, steps, width)
            if len(path) >= MIN_STROKE or not is_branch:
                strokes.append(path)
    return [_simplify(path, width) for path in strokes]


def _follow(start: int, left: set[int], flat: np.ndarray, steps: list[int], width: int) -> tuple[list[int], bool]:
    """Follow one line from ``start`` and take its pixels out of ``left``; also whether it touches another line."""
    path = [start]
    left.discard(start)
    before = [start + step for step in steps if flat[start + step] and start + step not in left]
    if before:  # a branch begins at the crossing that another stroke has passed
        path.insert(0, before[0])
    current = start
    while True:
        candidates = [current + step for step in steps if current + step in left]
        if not candidates:
            break
        if len(candidates) > 1:
            back = path[max(0, len(path) - MEMORY)]
            dx, dy = current % width - back % width, current // width - back // width
            candidates.sort(
                key=lambda pixel: (
                    -(dx * (pixel % width - current % width) + dy * (pixel // width - current // width))
                    / (1.4142 if abs(pixel - current) not in (1, width) else 1.0)
                )
            )
        current = candidates[0]
        left.discard(current)
        path.append(current)
    recent = set(path[-4:])
    closing = [current + step for step in steps if flat[current + step] and current + step not in recent]
    if closing:
        path.append(closing[0])
    return path, bool(before or closing)


def _simplify(path: list[int], width: int) -> np.ndarray:
    pixels = np.array(path)
    points = np.column_stack([pixels % width, pixels // width]).astype(np.float32) - 1
    return cv2.approxPolyDP(points[:, None], COARSENESS, False)[:, 0].astype(float)
