"""Size and layout of a generated dataset; without the generator, so that a problem can define it cheaply.

Next: ``trainer/generators/signatures.py``, which writes it.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.corpora import Corpus


class SampleKind(str, enum.Enum):
    """What a generated image shows; the position of a kind in this enum is part of the random seed."""

    GENUINE = "genuine"
    FORGED = "forged"
    TEXT = "text"
    OTHER = "other"

    def __str__(self) -> str:
        return self.value

    def __format__(self, format_spec: str) -> str:
        """Format the value; Python 3.12 would format the member's name."""
        return format(self.value, format_spec)


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Size and layout of a generated dataset: the number of writers, and of images of each kind by every writer.

    Or the number of ``pages``, each by other people. ``generator`` is the plug-in that makes them.
    """

    layout: str = "class_folders"
    writers: int = 40
    genuine: int = 12
    forged: int = 8
    text: int = 20
    other: int = 0
    pages: int = 0
    generator: str = "signatures"

    def resize(self, size: int) -> DatasetSpec:
        """Return the spec with another number of writers, or of pages."""
        return dataclasses.replace(self, pages=size) if self.pages else dataclasses.replace(self, writers=size)

    def count_images(self) -> int:
        """Count the image files of the dataset."""
        if self.pages:
            return self.pages
        corpus = plugins.load("corpora", self.layout)
        kinds = [kind.value for kind in SampleKind if label_of(corpus, kind.value) is not None]
        return self.writers * sum(getattr(self, kind) for kind in kinds)


def label_of(corpus: Corpus, kind: str) -> str | None:
    """Return the label of a kind of image in a layout; ``None`` where the layout cannot express it."""
    if corpus.labels is None:
        return kind if kind in (SampleKind.TEXT, SampleKind.OTHER) else "signature"
    return kind if kind in corpus.labels else None
