"""Measure how scores, distances, quality and warnings of an artefact are distributed on images it is not trained on.

The images are answered from their files by the code that serves. A verifier's are genuine signatures, each compared
with others of its writer, because most of what a deployed one sees are. Next: ``trainer/artifact/monitoring.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.artifact.monitoring import Distributions, observe, observe_document
from trainer.artifact.page_finder import find_on_page
from trainer.data.files import map_samples
from trainer.documents.limits import DocumentPage

if TYPE_CHECKING:
    from trainer.artifact.artifact import Artifact, EncodedImage
    from trainer.corpora import Sample

GENUINE = "genuine"
REFERENCES = 5  # of a comparison, or fewer where a writer has no more
SEED = 7  # of the references


def measure_baseline(artifact: Artifact, samples: Sequence[Sample], check: Artifact | None = None) -> Distributions:
    """Answer the samples and count what is watched; files that cannot be read are left out.

    ``check`` is a classifier that judges what a finder finds, where it is to be served beside it.
    """
    takes_references = artifact.decision.takes_references
    if takes_references:
        samples = [sample for sample in samples if sample.label == GENUINE]
    is_finder = artifact.decision.task == "find"

    def encode(data: bytes) -> Any:
        return (find_on_page(artifact, DocumentPage(1, data), check=check),) if is_finder else artifact.encode(data)

    encoded, _ = map_samples(list(samples), "watching", encode)
    distributions = Distributions()
    if takes_references:
        observations = (observe(image, artifact.decide(image, refs)) for image, refs in _draw_references(encoded))
    elif is_finder:
        observations = (observe_document(pages) for _, pages in encoded)
    else:
        observations = (observe(image, artifact.decide(image)) for _, image in encoded)
    for observation in observations:
        distributions.add(observation)
    return distributions


def _draw_references(encoded: list[tuple[Sample, EncodedImage]]) -> Iterator[tuple[EncodedImage, list[EncodedImage]]]:
    """Yield every image with references, drawn from the other images of its writer that are signatures."""
    by_writer: dict[Any, list[EncodedImage]] = {}
    for sample, image in encoded:
        by_writer.setdefault(sample.split_unit, []).append(image)
    generator = np.random.default_rng(SEED)
    for images in by_writer.values():
        for position, image in enumerate(images):
            others = [other for other in images[:position] + images[position + 1 :] if not other.rejection]
            if others:
                drawn = generator.permutation(len(others))[:REFERENCES].tolist()
                yield image, [others[number] for number in drawn]
