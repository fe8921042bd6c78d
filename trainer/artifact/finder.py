"""Find signatures on the pages of a document, compare each, and answer: a finder and the verifier beside it.

Server and offline use both answer through ``find`` and ``answer``. Independent of HTTP. Next: ``page_finder.py`` does
the work on one page, ``trainer/documents/__init__.py`` reads the pages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trainer import documents
from trainer.artifact.location import has_signature
from trainer.artifact.page_finder import FoundPage, find_on_page
from trainer.documents import DocumentLimits

if TYPE_CHECKING:
    import numpy as np

    from trainer.artifact.artifact import Artifact, EncodedImage
    from trainer.artifact.verification import DecisionParameters

# What a document is by what its signatures are, the first that one of them is.
DOCUMENT_DECISIONS = {"accept": "match", "inconclusive": "inconclusive", "reject": "mismatch"}
MISSING = "missing"  # a document without a signature


def find(
    finder: Artifact,
    data: bytes,
    verifier: Artifact | None = None,
    has_crops: bool = False,
    has_pictures: bool = False,
    document_limits: DocumentLimits = DocumentLimits(),
    is_wanted: Callable[[], bool] = lambda: True,
    check: Artifact | None = None,
) -> Iterator[FoundPage]:
    """Find the regions on each page of a document, PDF or image, one page after the other.

    With a ``verifier``, signatures are encoded for it; ``has_crops`` cuts them out, ``has_pictures`` adds the pages.
    A classifier, ``check`` or the signature check of the finder, judges each signature that was found.
    ``is_wanted`` is asked before each page; the rest is left out once it says no. Raises ``ImageError`` for a file that
    cannot be read.
    """
    source = documents.read_pages(data, finder.imaging.working_side, finder.limits, document_limits)
    with contextlib.closing(source) as pages:  # type: ignore[type-var]
        for page in pages:
            if not is_wanted():
                return
            yield find_on_page(finder, page, verifier, has_crops, has_pictures, check)


def answer(
    pages: Sequence[FoundPage],
    finder: Artifact,
    verifier: Artifact | None = None,
    references: Sequence[EncodedImage | np.ndarray] = (),
    parameters: DecisionParameters | None = None,
    identify: Callable[[EncodedImage], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Answer a document: whether it is ``signed``, its ``pages`` and its ``regions``, and what they are compared to.

    With references, each signature has the verifier's answer as ``verification``, and the document a ``decision``:
    ``match`` if one of them is accepted, else ``inconclusive`` if one is neither, else ``mismatch``, or ``missing``
    without a signature. With ``identify``, its answer to each signature is the region's ``identification``. Raises
    ``UnsupportedRequest``.
    """
    score = max((page.score for page in pages), default=0.0)
    regions = [region for page in pages for region in page.regions]
    rows, decisions = [], set()
    for region in regions:
        row = region.describe()
        if references and verifier and region.encoded:
            compared = verifier.decide(region.encoded, references, *([parameters] if parameters else []))
            row["verification"] = compared
            decisions.add(compared["decision"])
            if any(reason["image"] != "questioned" for reason in compared.get("reasons", ())):
                decisions.add("inconclusive")  # a reference is no signature: nothing can be said
        if identify and region.encoded:
            row["identification"] = identify(region.encoded)
        if region.crop is not None:
            row["crop"] = region.crop
        rows.append(row)
    content: dict[str, Any] = {"signed": has_signature(regions), "score": score, "regions": rows}
    if references and verifier:
        content["decision"] = next((name for known, name in DOCUMENT_DECISIONS.items() if known in decisions), MISSING)
    content["pages"] = [
        {
            "page": page.number,
            "width": page.size[1],
            "height": page.size[0],
            "unit": page.unit,
            **({"picture": page.picture} if page.picture else {}),
        }
        for page in pages
    ]
    several = len(pages) > 1
    content["warnings"] = [
        {**warning, **({"page": page.number} if several else {})} for page in pages for warning in page.warnings
    ]
    return content
