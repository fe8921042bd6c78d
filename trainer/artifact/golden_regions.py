"""Golden answers of the chain: what a finder answers to generated pages, and how a verifier encodes what it found.

``golden.py`` proves that an engine computes as it did at the export; this proves what follows: regions fitted to the
ink, signatures cut out, and their encoding by the verifier beside the finder. Next: ``golden_file.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.artifact import golden_file, manifest
from trainer.artifact.golden import GoldenMismatch
from trainer.artifact.golden_file import GOLDEN_DIR, GoldenAnswer
from trainer.artifact.location import Locator
from trainer.artifact.page_finder import FoundPage, find_on_page
from trainer.documents.limits import DocumentPage

if TYPE_CHECKING:
    from trainer.artifact.artifact import Artifact


def record_variants(folder: Path, open_artifact: Callable[[Path], Artifact]) -> None:
    """Do what ``record`` does for every usable variant of the artefact in ``folder``, if it is a finder."""
    described = manifest.read(folder)
    if described.decision["kind"] != Locator.kind:
        return
    for name in (name for name, properties in described.variants.items() if properties["usable"]):
        manifest.write(manifest.select_variant(described, name), folder)
        record(open_artifact(folder))
    manifest.write(described, folder)


def record(artifact: Artifact, verifier: Artifact | None = None) -> None:
    """Add to the golden answers in the folder of a finder what it answers with its present variant.

    With a verifier, also how that encodes each signature. The manifest has to be written again. Raises ``ImageError``.
    """
    answers = []
    for answer in golden_file.read(artifact.folder):
        page = _find(artifact, answer, verifier)
        variant = artifact.manifest.variant
        regions = {**answer.regions, variant: _list_regions(page)}
        encodings = answer.encodings
        if verifier:
            encodings = {**encodings, _get_key(artifact, verifier): [_record(each) for each in _list_vectors(page)]}
        answers.append(dataclasses.replace(answer, regions=regions, encodings=encodings))
    golden_file.write(answers, artifact.folder)


def replay(artifact: Artifact, verifier: Artifact | None = None) -> int:
    """Answer the golden pages again; return how many there are, 0 for artefacts that find nothing.

    With a verifier, its encodings are compared where they were recorded with it. Raises ``GoldenMismatch``.
    """
    decision = artifact.decision
    if not isinstance(decision, Locator):
        return 0
    count = 0
    for answer in golden_file.read(artifact.folder):
        variant = artifact.manifest.variant
        if variant not in answer.regions:  # of an export before regions were recorded
            continue
        expected = answer.encodings.get(_get_key(artifact, verifier)) if verifier else None
        page = _find(artifact, answer, None if expected is None else verifier)
        recorded, answered = answer.regions[variant], _list_regions(page)
        for difference in golden_file.list_differences(recorded, answered, decision.thresholds, variant):
            raise GoldenMismatch(f"golden page {answer.file!r} has other regions than those recorded; {difference}")
        if verifier and expected is not None and len(recorded) == len(answered):
            _compare(answer.file, _list_vectors(page), expected, verifier.manifest.variant)
        count += 1
    return count


def _find(artifact: Artifact, answer: GoldenAnswer, verifier: Artifact | None) -> FoundPage:
    data = (artifact.folder / GOLDEN_DIR / answer.file).read_bytes()
    return find_on_page(artifact, DocumentPage(1, data), verifier)


def _get_key(artifact: Artifact, verifier: Artifact) -> str:
    return f"{artifact.manifest.variant} {verifier.encoder}"


def _list_regions(page: FoundPage) -> list[dict[str, Any]]:
    return [region.describe() for region in page.regions]


def _list_vectors(page: FoundPage) -> Iterator[np.ndarray]:
    return (region.encoded.vector for region in page.regions if region.encoded)


def _record(vector: np.ndarray) -> dict[str, Any]:
    components = golden_file.choose_components(vector.tolist())
    return {"components": components, "values": golden_file.round_numbers(vector[components].tolist())}


def _compare(file: str, vectors: Iterator[np.ndarray], expected: list[dict[str, Any]], variant: str) -> None:
    for number, (vector, recorded) in enumerate(zip(vectors, expected, strict=True), start=1):
        difference = float(np.max(np.abs(vector[recorded["components"]] - recorded["values"])))
        tolerance = golden_file.compute_tolerance(recorded["values"], variant)
        if not difference <= tolerance:
            raise GoldenMismatch(
                f"signature {number} of the golden page {file!r} is encoded {difference:.2g} away from what was "
                f"recorded; {tolerance:.2g} is accepted"
            )
