"""Find signatures on one page, and cut them out: decoded once, inked once, for the finder and the verifier beside it.

Next: ``finder.py`` goes through the pages of a document and answers; ``location.py`` finds the regions.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from trainer.artifact.location import SIGNATURE, Locator
from trainer.imaging import Ink, Measures, Page, draw_ink, find_warnings, measure_quality, read_ink, relative_darkness
from trainer.imaging.lines import remove_lines

if TYPE_CHECKING:
    from trainer.artifact.artifact import Artifact, EncodedImage
    from trainer.documents import DocumentPage

REACH = 0.15  # of a region's height and width: strokes may leave its box by so much
MIN_INSIDE = 0.5  # share of a stroke's ink in the box, so that the stroke belongs to the region
PICTURE_SIDE = 1400  # pixels


@dataclasses.dataclass(frozen=True)
class FoundRegion:
    """A region of a page: ``box`` is left, top, right and bottom in the unit of its page.

    ``encoded`` is the signature as a verifier compares it, ``crop`` the bytes of a PNG with a transparent background.
    """

    page: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    encoded: EncodedImage | None = None
    crop: bytes | None = None

    def describe(self) -> dict[str, Any]:
        """Return where and what it is, as JSON."""
        box = [round(edge, 1) for edge in self.box]
        return {"page": self.page, "box": box, "score": self.score, "label": self.label}


@dataclasses.dataclass(frozen=True)
class FoundPage:
    """A page with its regions: height and width in its unit, the ``score`` of being signed, quality warnings
    and ``measures``.

    ``picture`` are the bytes of a JPEG file of the page.
    """

    number: int
    size: tuple[float, float]
    unit: str
    score: float
    regions: tuple[FoundRegion, ...]
    warnings: tuple[dict[str, Any], ...]
    picture: bytes | None = None
    stage_seconds: dict[str, float] = dataclasses.field(default_factory=dict, compare=False)
    measures: Measures = dataclasses.field(default_factory=dict)


def find_on_page(
    finder: Artifact,
    source: DocumentPage,
    verifier: Artifact | None = None,
    has_crops: bool = False,
    has_pictures: bool = False,
    check: Artifact | None = None,
    least_score: float | None = None,
) -> FoundPage:
    """Find the regions on a page; the parameters are those of ``finder.find``. Raises ``ImageError``.

    With ``least_score``, for measurements, regions count from that score, and what overlaps a signature does, too.
    """
    decision: Locator = finder.decision  # type: ignore[assignment]
    check, limit = check or finder.signature_check, decision.thresholds[SIGNATURE]
    began = time.perf_counter()
    page, ink = read_ink(source.image, finder.imaging, finder.limits, source.frame)
    canonical = draw_ink(ink, finder.imaging)
    decoded = time.perf_counter()
    vector = finder.compute_vector(canonical)
    size = source.size or page.size
    factors = size[1] / page.size[1], size[0] / page.size[0]
    regions, scores = [], []
    for located in decision.find_regions(vector, canonical, page.size, least_score):
        is_signature, score = located.label == SIGNATURE, located.score
        crop = cut_out(ink, located.box) if is_signature and (verifier or has_crops or check) else None
        if check and is_signature:
            score = decision.weigh(score, check.rate_signature(crop[0]) if crop else 0.0)
            scores += [score] if located.score >= limit else []
            if score < (least_score or limit):
                continue
        regions.append(
            FoundRegion(
                source.number,
                located.label,
                score,
                tuple(edge * factors[index % 2] for index, edge in enumerate(located.box)),  # type: ignore[arg-type]
                verifier.encode_ink(crop[0], page) if verifier and crop else None,
                draw_crop(page, ink, crop) if has_crops and crop else None,
            )
        )
    measures = measure_quality(ink, page, finder.imaging)
    quality_warnings = find_warnings(measures, page, finder.imaging, finder.quality)
    warnings = tuple(dataclasses.asdict(warning) for warning in quality_warnings)
    seconds = {"image": decoded - began, "engine": time.perf_counter() - decoded}
    score = max(scores, default=decision.measure_signed(vector))
    regions.sort(key=lambda region: -region.score)
    if least_score is None:
        regions = decision.prefer_signatures(regions)
    picture = _draw_picture(page.grey) if has_pictures else None
    return FoundPage(source.number, size, source.unit, score, tuple(regions), warnings, picture, seconds, measures)


def _draw_picture(grey: np.ndarray) -> bytes:
    """Encode a page ``uint8 [h, w]`` as a JPEG file of at most ``PICTURE_SIDE`` pixels a side."""
    scale = min(1.0, PICTURE_SIDE / max(grey.shape))
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, 80))[1].tobytes()


def cut_out(ink: Ink, box: Sequence[float]) -> tuple[Ink, tuple[int, int]] | None:
    """Cut the strokes that lie in a box, in pixels of the page, out of its ink; also return left and top of the cut.

    Print that only touches the box stays out, and so do ruled lines. ``None`` without strokes.
    """
    left, top, right, bottom = (edge * ink.scale for edge in box)
    across, down = REACH * (right - left), REACH * (bottom - top)
    outer_left, outer_top = max(0, int(left - across)), max(0, int(top - down))
    window = (slice(outer_top, int(bottom + down) + 1), slice(outer_left, int(right + across) + 1))
    if not ink.mask[window].size:
        return None
    mask = remove_lines(ink.mask[window])
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    inner = (slice(max(0, int(top) - outer_top), None), slice(max(0, int(left) - outer_left), None))
    inside = labels[inner][: max(1, round(bottom - top)), : max(1, round(right - left))]
    counts = np.bincount(inside.ravel(), minlength=len(statistics))
    is_kept = counts > MIN_INSIDE * statistics[:, cv2.CC_STAT_AREA]
    is_kept[0] = False
    kept = is_kept[labels].astype(np.uint8)
    x, y, width, height = cv2.boundingRect(kept)
    if not width:
        return None
    cut = (slice(y, y + height), slice(x, x + width))
    darkness = ink.darkness[window][cut] * kept[cut]
    share = float(kept[cut].mean())
    return dataclasses.replace(ink, mask=kept[cut], darkness=darkness, page_share=share, border_share=0.0), (
        outer_left + x,
        outer_top + y,
    )


def draw_crop(page: Page, ink: Ink, crop: tuple[Ink, tuple[int, int]]) -> bytes:
    """Draw cut ink as a PNG file, black on a transparent background, at the resolution of the decoded page."""
    strokes, (left, top) = crop
    height, width = strokes.mask.shape
    factor = page.grey.shape[0] / ink.mask.shape[0]
    edges = [round(edge * factor) for edge in (top, top + height, left, left + width)]
    grey = page.grey[edges[0] : max(edges[1], edges[0] + 1), edges[2] : max(edges[3], edges[2] + 1)]
    near = cv2.dilate(strokes.mask * np.uint8(255), np.ones((3, 3), np.uint8))
    near = cv2.resize(near, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    darkness = relative_darkness(grey).astype(np.float32) * (near / 255.0) * (255.0 / max(1.0, ink.core_darkness))
    image = np.zeros((*grey.shape, 4), np.uint8)
    image[..., 3] = np.clip(darkness, 0, 255)
    return cv2.imencode(".png", image)[1].tobytes()
