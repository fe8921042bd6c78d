"""The scan of a sheet: its colours, what happened to it, the device, and the boxes of what is on it.

Next: ``trainer/generators/pages.py``, which draws documents and writes files.
"""

import dataclasses

import cv2
import numpy as np

from trainer.samples import capture, paper
from trainer.samples.capture import Capture, Scan
from trainer.samples.documents.sheet import LabelledPart, Sheet

MAX_TURN = 5.0  # degrees
SQUASHED_SHARE, SQUASH = 0.3, (0.7, 1.4)  # of pages; factor of the width, at the same height
MIN_VISIBLE = 0.3  # of a region's box, else it is not on the page
HOLES = ((0.37, 0.63), (0.18, 0.5, 0.82), (0.15, 0.37, 0.63, 0.85))  # punched, as shares of the height
DEVICES = (0.45, 0.13, 0.42)  # scanners, phones, bilevel devices


@dataclasses.dataclass(frozen=True)
class GeneratedPage:
    """The picture of a page, the kind of document, and what is on it, in pixels of the picture."""

    scan: Scan
    kind: str
    regions: tuple[LabelledPart, ...]


def record(sheet: Sheet, kind: str, rng: np.random.Generator) -> GeneratedPage:
    """Scan a sheet with a document of a kind: its colours, its damage, the light, the device, the format."""
    device = _draw_capture(rng)
    page = paper.draw_paper(sheet.shape, device.is_grey, rng)
    for colour, ink in sheet.layers.items():
        shade = np.array(colour, np.float32)
        if device.is_grey:
            shade = paper.to_grey(shade)
        page *= 1 - np.float32(rng.uniform(0.75, 1.0)) * ink[..., None] * (1 - shade)
    _damage(page, sheet, rng)
    scan = capture.scan(page, device, rng)
    pixels, matrix = scan.pixels, scan.matrix
    if rng.random() < SQUASHED_SHARE:
        factor = float(np.exp(rng.uniform(*np.log(SQUASH))))
        size = (max(16, round(pixels.shape[1] * factor)), pixels.shape[0])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        if device.is_bilevel:
            pixels = np.where(pixels < 160, 0, 255).astype(np.uint8)
        matrix = np.diag([size[0] / scan.pixels.shape[1], 1.0, 1.0]) @ matrix
    moved = (_move(region, matrix, pixels.shape[:2]) for region in sheet.regions)
    return GeneratedPage(Scan(pixels, device, matrix), kind, tuple(region for region in moved if region))


def _draw_capture(rng: np.random.Generator) -> Capture:
    device = capture.generate_capture(rng, DEVICES)
    turn = rng.uniform(-MAX_TURN, MAX_TURN) if rng.random() < 0.25 else rng.normal(0, 0.7)
    return dataclasses.replace(device, rotation=turn, perspective=0.5 * device.perspective)


def _damage(page: np.ndarray, sheet: Sheet, rng: np.random.Generator) -> None:
    """Punch holes, darken the edges as scanners do, fold and speckle, in place."""
    height, width = page.shape[:2]
    dark = np.float32(rng.uniform(0.0, 0.25))
    if rng.random() < 0.12:  # punched holes, dark or light as what is behind
        x, radius = int(rng.uniform(6, 14) * sheet.scale), sheet.to_pixels(2.8)
        level = float(dark) if rng.random() < 0.7 else 0.97
        for share in HOLES[rng.integers(len(HOLES))]:
            cv2.circle(page, (x, int(share * height)), radius, (level,) * page.shape[2], -1, cv2.LINE_AA)
    if rng.random() < 0.14:  # the scanner is larger than the sheet
        for side in rng.permutation(4)[: int(rng.integers(1, 4))]:
            amount = max(1, int(rng.uniform(0.003, 0.03) * (width if side < 2 else height)))
            edge = (np.s_[:, :amount], np.s_[:, -amount:], np.s_[:amount], np.s_[-amount:])[side]
            page[edge] = dark
    if rng.random() < 0.1:  # a fold
        y = int(rng.uniform(0.2, 0.8) * height)
        page[y : y + 2] *= np.float32(rng.uniform(0.75, 0.95))
    if rng.random() < 0.14:  # dirt of a photocopier, over all of the page or a strip of it
        left, top = rng.choice([0.0, 0.0, rng.uniform(0, 0.8)], 2)
        right, bottom = np.minimum(1, (left, top) + rng.choice([1.0, 1.0, rng.uniform(0.03, 0.5)], 2))
        part = page[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
        density = np.exp(rng.uniform(*np.log((0.002, 0.12))))
        part[rng.random(part.shape[:2]) < density] *= np.float32(rng.uniform(0.0, 0.5))
    if rng.random() < 0.04:  # a corner is folded over
        _fold_corner(page, dark, rng)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(5, 150))):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(page, centre, int(rng.integers(1, 3)), (float(rng.uniform(0, 0.6)),) * page.shape[2], -1)


def _fold_corner(page: np.ndarray, behind: np.float32, rng: np.random.Generator) -> None:
    """Fold a corner over: what is behind the page shows, and the back of the paper, with a shadow at its edge."""
    height, width = page.shape[:2]
    reach = rng.uniform(0.04, 0.2, 2) * min(height, width)
    corner = np.array([[0, 0], [width, 0], [0, height], [width, height]][rng.integers(4)], float)
    inward = np.where(corner > 0, -1.0, 1.0)
    ends = corner + np.diag(reach * inward)
    # The corner lies at its reflection in the line through both ends.
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    folded = 2 * (ends[0] + along * ((corner - ends[0]) @ along)) - corner
    channels = page.shape[2]
    cv2.fillPoly(page, [np.round([corner, *ends]).astype(np.int32)], (float(behind),) * channels)
    flap = np.round([folded, *ends]).astype(np.int32)
    cv2.fillPoly(page, [flap], (float(rng.uniform(0.85, 1.0)),) * channels)
    cv2.polylines(page, [flap], True, (float(rng.uniform(0.2, 0.7)),) * channels, 1, cv2.LINE_AA)


def _move(region: LabelledPart, matrix: np.ndarray, shape: tuple[int, int]) -> LabelledPart | None:
    """Move a region into the picture, and clip it there; ``None`` where little of it is visible."""
    outline = cv2.perspectiveTransform(region.outline[None], matrix)[0]
    clipped = np.clip(outline, 0, (shape[1], shape[0]))
    size, visible = np.ptp(outline, axis=0), np.ptp(clipped, axis=0)
    if visible.min() < 1 or visible.prod() < MIN_VISIBLE * max(size.prod(), 1e-6):
        return None
    return LabelledPart(region.label, clipped)
