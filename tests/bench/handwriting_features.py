"""Measure the shape of handwriting in one image: proportions, strokes, letters, slant, curves and edges.

Shape only, without paper and grey levels. Angles are in degrees, lengths in pixels of the canvas or relative to the
height of the ink. Independent of sources. Next: ``handwriting.py`` compares the distributions of these features.
"""

import functools

import cv2
import numpy as np

from trainer.imaging import Imaging, draw_ink, read_ink

CANVAS = Imaging(96, 192)  # what the network sees
FINE = 2  # times the canvas: the resolution of skeletons, at which strokes of one pixel of the canvas are not broken
SPECK = 6  # squares of the stroke width; a smaller component is a dot or a piece of a broken stroke
SLANTS = np.arange(-50.0, 62.5, 2.5)
STEEP = 50.0  # degrees from the vertical, of strokes that show the slant of letters
DIRECTIONS = np.arange(0.0, 180.0, 5.0)  # of straight runs
IN_DIRECTION = 12.5  # degrees between a point's direction and that of its run
RUN_BAND, RUN_GAP = 3.0, 6.0  # width of a straight run and length of its gaps, in pixels of the fine canvas
NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)  # bits from north, clockwise


def compute_features(data: bytes) -> dict[str, float]:
    """Compute the features of an image file, by name; NaN where a feature is undefined. Raises ``ImageError``."""
    page_ink = read_ink(data, CANVAS)[1]
    canvas = draw_ink(page_ink, CANVAS)[:, :, 0]
    fine = draw_ink(page_ink, Imaging(CANVAS.height * FINE, CANVAS.width * FINE))[:, :, 0]
    mask = cv2.threshold(fine, 127, 1, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(mask)
    mask = np.pad(mask[top : top + height, left : left + width], 1)
    skeleton = thin(mask)
    strokes = _measure_strokes(mask, skeleton, height)
    return {
        "ink share of canvas": float(canvas.mean()) / 255,
        "height used": height / fine.shape[0],
        "width used": width / fine.shape[1],
        "aspect ratio": width / height,
        "writing in pixels of the file": page_ink.longest_side,
        "edge raggedness": _measure_raggedness(page_ink.mask),
        **strokes,
        **_measure_components(mask, height, strokes["stroke width"] * FINE),
        **_measure_profiles(mask, height),
        **_measure_directions(mask, skeleton, height, width),
    }


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin a mask to lines of one pixel: ``uint8 [h, w]``, 1 ink, with an empty border (Guo and Hall 1989)."""
    thinned, left = mask.copy(), -1
    while (count := cv2.countNonZero(thinned)) != left:
        left = count
        for table in _make_tables()[:2]:
            thinned &= cv2.LUT(_encode_neighbours(thinned), table)
    return thinned


@functools.cache
def _make_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make tables by the code of the neighbours: kept in the first and the second half of a step, number of lines."""
    code = np.arange(256)
    n, ne, e, se, s, sw, w, nw = ((code >> bit & 1).astype(bool) for bit in range(8))
    lines = sum((~a & (b | c)).astype(int) for a, b, c in ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n)))
    pairs = [
        sum(pair.astype(int) for pair in half)
        for half in ((nw | n, ne | e, se | s, sw | w), (n | ne, e | se, s | sw, w | nw))
    ]
    smaller = np.minimum(*pairs)
    may_go = (lines == 1) & (smaller >= 2) & (smaller <= 3)
    kept = [~(may_go & ~side) for side in ((s | sw | ~nw) & w, (n | ne | ~se) & e)]
    return kept[0].astype(np.uint8), kept[1].astype(np.uint8), np.asarray(lines, np.uint8)


def _encode_neighbours(mask: np.ndarray) -> np.ndarray:
    return cv2.filter2D(mask, -1, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)


def _measure_strokes(mask: np.ndarray, skeleton: np.ndarray, height: int) -> dict[str, float]:
    """Measure the width of strokes, the length of the line, and its ends and junctions."""
    inside = skeleton > 0
    widths = 2 * cv2.distanceTransform(mask, cv2.DIST_L2, 5)[inside] - 1
    line = max(1.0, _measure_length(inside))
    lines = cv2.LUT(_encode_neighbours(skeleton), _make_tables()[2]) * skeleton
    junctions = cv2.connectedComponents((lines >= 3).astype(np.uint8), connectivity=8)[0] - 1
    diagonal = float(np.hypot(*mask.shape))
    return {
        "stroke width": float(widths.mean()) / FINE,
        "stroke width / height": float(widths.mean()) / height,
        "stroke width variation": float(widths.std() / widths.mean()),
        "line length / diagonal": line / diagonal,
        "line length / height": line / height,
        "ends per height of line": np.count_nonzero(lines == 1) * height / line,
        "junctions per height of line": junctions * height / line,
        "ends per 100 pixels of line": np.count_nonzero(lines == 1) * 100 * FINE / line,
        "junctions per 100 pixels of line": junctions * 100 * FINE / line,
    }


def _measure_length(skeleton: np.ndarray) -> float:
    """Measure the length of lines of one pixel; a diagonal step counts if no straight steps replace it."""
    straight = np.count_nonzero(skeleton[:, 1:] & skeleton[:, :-1]) + np.count_nonzero(skeleton[1:] & skeleton[:-1])
    a, b, c, d = skeleton[:-1, :-1], skeleton[:-1, 1:], skeleton[1:, :-1], skeleton[1:, 1:]
    diagonal = np.count_nonzero(a & d & ~b & ~c) + np.count_nonzero(b & c & ~a & ~d)
    return float(straight + np.sqrt(2) * diagonal)


def _measure_components(mask: np.ndarray, height: int, stroke_width: float) -> dict[str, float]:
    """Measure connected components, without specks, and the paper that they enclose; ``stroke_width`` in pixels."""
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
    specks = stats[:, cv2.CC_STAT_AREA] < SPECK * stroke_width**2
    pieces = stats[~specks] if not specks.all() else stats
    heights, areas = pieces[:, cv2.CC_STAT_HEIGHT], pieces[:, cv2.CC_STAT_AREA]
    largest = int(np.argmax(areas))
    rest = np.delete(heights, largest)
    holes = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)[2][2:]  # 0 is ink, 1 the outside: it comes first
    hole_heights, hole_areas = holes[:, cv2.CC_STAT_HEIGHT], holes[:, cv2.CC_STAT_AREA]
    return {
        "components": float(len(pieces)),
        "specks": float(specks.sum()),
        "component height: median": float(np.median(heights)) / height,
        "component height: largest": float(heights.max()) / height,
        "largest component's share of ink": float(areas[largest] / areas.sum()),
        "largest component / rest, height": float(heights[largest] / np.median(rest)) if len(rest) else np.nan,
        "loops": float(len(holes)),
        "largest loop's height": float(hole_heights.max()) / height if len(holes) else 0.0,
        "share enclosed by loops": float(hole_areas.sum()) / mask.size,
    }


def _measure_profiles(mask: np.ndarray, height: int) -> dict[str, float]:
    """Measure the sums of columns and rows: balance, bands, regularity, gaps, and crossings of the ink."""
    ink = mask[1:-1, 1:-1].astype(np.float32)
    columns, rows = ink.sum(axis=0), ink.sum(axis=1)
    total, width = float(columns.sum()), len(columns)
    inked = columns > 0
    extents = np.where(inked, height - ink.argmax(axis=0) - ink[::-1].argmax(axis=0), 0)[inked]
    initial = extents[: max(1, len(extents) // 5)]
    window = max(1, round(0.4 * height))
    band = np.convolve(rows, np.ones(window), "valid").max() / total
    gaps = np.diff(np.flatnonzero(np.concatenate([[True], inked, [True]]))) - 1
    strength, period = _find_regularity(columns, height)
    return {
        "left minus right": float(columns[: width // 2].sum() - columns[-(width // 2) :].sum()) / total,
        "top minus bottom": float(rows[: height // 2].sum() - rows[-(height // 2) :].sum()) / total,
        "ink in the densest 40 % of rows": float(band),
        "row profile variation": float(rows.std() / rows.mean()),
        "column profile variation": float(columns.std() / columns.mean()),
        "column regularity": strength,
        "column period / height": period,
        "column height: median": float(np.median(extents)) / height,
        "initial / median column height": float(np.percentile(initial, 90) / np.median(extents)),
        "share of empty columns": float(1 - inked.mean()),
        "widest gap / height": float(gaps.max()) / height,
        "crossings per row": float((np.diff(mask[1:-1].astype(np.int8), axis=1) > 0).sum()) / height,
        "crossings per column": float((np.diff(mask[:, 1:-1].astype(np.int8), axis=0) > 0).sum()) / width,
    }


def _find_regularity(columns: np.ndarray, height: int) -> tuple[float, float]:
    """Find the highest autocorrelation of the column profile after its first minimum, and its lag in heights."""
    smooth = cv2.GaussianBlur(columns[None], (0, 0), 0.04 * height + 0.5)[0]
    trend = cv2.GaussianBlur(columns[None], (0, 0), 0.7 * height)[0]
    signal = smooth - trend
    energy = float(signal @ signal)
    if energy == 0 or len(signal) < 16:
        return np.nan, np.nan
    correlation = np.correlate(signal, signal, "full")[len(signal) - 1 :][: len(signal) // 2] / energy
    rising = np.flatnonzero(np.diff(correlation) > 0)
    if not len(rising):
        return np.nan, np.nan
    lag = int(rising[0] + np.argmax(correlation[rising[0] :]))
    return float(correlation[lag]), lag / height


def _measure_directions(mask: np.ndarray, skeleton: np.ndarray, height: int, width: int) -> dict[str, float]:
    """Measure slant, base line, directions, curvature and straight runs."""
    y, x = np.nonzero(skeleton)
    spread = 2.0 * FINE
    dx, dy = (cv2.Sobel(mask.astype(np.float32), cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1)))
    cos, sin = (cv2.GaussianBlur(part, (0, 0), spread) for part in (dy * dy - dx * dx, -2 * dx * dy))
    double = np.arctan2(sin, cos)  # twice the direction of the line, y down
    angle = np.degrees(double[y, x]) / 2 % 180
    curvature = _measure_curvature(double, y, x, angle)
    lengths, covered = _find_straight_runs(y, x, angle)
    slant, strength = _find_slant(y, x)
    slope = np.polyfit(x, y, 1)[0] if np.ptp(x) > 4 else np.nan
    lean = (angle - 90)[np.abs(angle - 90) < STEEP]  # positive to the right
    from_horizontal = np.minimum(angle, 180 - angle)
    return {
        "slant": slant,
        "slant strength": strength,
        "lean of steep strokes": float(np.median(lean)) if len(lean) else np.nan,
        "spread of their lean": float(np.std(lean)) if len(lean) else np.nan,
        "base line angle": float(-np.degrees(np.arctan(slope))),
        "share near horizontal": float((from_horizontal < 20).mean()),
        "share near vertical": float((from_horizontal > 70).mean()),
        "curvature x height: median": float(np.median(curvature)) * height,
        "curvature x height: 90 %": float(np.percentile(curvature, 90)) * height,
        "curvature per pixel: median": float(np.median(curvature)) * FINE,
        "straight share (runs > 12 pixels)": float(covered[lengths > 12 * FINE].sum()) / len(x),
        "straight share (runs > 0.4 heights)": float(covered[lengths > 0.4 * height].sum()) / len(x),
        "longest straight run / width": float(lengths.max(initial=0)) / width,
        "longest straight run / height": float(lengths.max(initial=0)) / height,
    }


def _measure_curvature(double: np.ndarray, y: np.ndarray, x: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Measure the change of direction along the line at each point, in radians for each pixel."""
    reach = 2.0 * FINE
    step_x, step_y = reach * np.cos(np.radians(angle)), reach * np.sin(np.radians(angle))
    bottom, right = np.array(double.shape) - 1
    ahead, behind = (
        double[
            np.clip(np.rint(y + sign * step_y).astype(int), 0, bottom),
            np.clip(np.rint(x + sign * step_x).astype(int), 0, right),
        ]
        for sign in (1, -1)
    )
    turn = (ahead - behind + np.pi) % (2 * np.pi) - np.pi
    return np.abs(turn) / 2 / (2 * reach)


def _find_slant(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Find the shear under which columns are most peaked, and how much more than under the median shear."""
    # Without the jitter, slants of 0 and 45 degrees win because they map the lattice of pixels to itself.
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, (2, len(x)))
    shift = np.tan(np.radians(SLANTS))[:, None]
    sheared = np.rint((x + jitter[0] + shift * (y + jitter[1])) / FINE).astype(int)
    sheared -= sheared.min()
    count = int(sheared.max()) + 1
    cells = sheared + np.arange(len(SLANTS))[:, None] * count
    sums = np.bincount(cells.ravel(), minlength=len(SLANTS) * count).reshape(len(SLANTS), count)
    peaked = (sums.astype(float) ** 2).sum(axis=1)
    return float(SLANTS[np.argmax(peaked)]), float(peaked.max() / np.median(peaked))


def _find_straight_runs(y: np.ndarray, x: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find straight runs of skeleton points; returns their lengths in pixels and their numbers of points.

    A run is a chain of points in one narrow band, each of about the band's direction. A point counts in the longest of
    its runs, so numbers of points add up to those of the skeleton.
    """
    off = np.abs((angle[None] - DIRECTIONS[:, None] + 90) % 180 - 90)
    which, point = np.nonzero(off <= IN_DIRECTION)
    theta = np.radians(DIRECTIONS[which])
    along = x[point] * np.cos(theta) + y[point] * np.sin(theta)
    band = np.floor((y[point] * np.cos(theta) - x[point] * np.sin(theta)) / RUN_BAND).astype(int)
    order = np.lexsort((along, band, which))
    which, point, along, band = which[order], point[order], along[order], band[order]
    if not len(along):
        return np.zeros(0), np.zeros(0)
    breaks = (np.diff(which) != 0) | (np.diff(band) != 0) | (np.diff(along) > RUN_GAP)
    number = np.concatenate([[0], np.cumsum(breaks)])
    first = np.flatnonzero(np.concatenate([[True], breaks]))
    last = np.concatenate([first[1:] - 1, [len(along) - 1]])
    lengths = along[last] - along[first]
    by_length = np.argsort(-lengths[number], kind="stable")
    kept = by_length[np.unique(point[by_length], return_index=True)[1]]
    return lengths, np.bincount(number[kept], minlength=len(lengths)).astype(float)


def _measure_raggedness(mask: np.ndarray) -> float:
    """Measure how much longer the outline is than that of the smoothed ink: ``uint8 [h, w]`` at working resolution."""
    padded = np.pad(mask, 4)
    smooth = cv2.GaussianBlur(padded * np.uint8(255), (0, 0), 1.2)
    lengths = [
        sum(cv2.arcLength(outline, True) for outline in cv2.findContours(ink, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0])
        for ink in (padded, cv2.threshold(smooth, 127, 1, cv2.THRESH_BINARY)[1])
    ]
    return lengths[0] / max(1.0, lengths[1])
