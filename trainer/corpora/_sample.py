"""One image of a dataset, and what is on it where a layout says so. Next: ``__init__.py``, which lists samples."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from trainer.storage.listing import RemoteFile, RemoteFolder


class LabelledBox(NamedTuple):
    """What is where on a page, in pixels of the file, or as shares of its width and height."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    is_relative: bool = False


BoxedPage = tuple[str, tuple[int, int], tuple[LabelledBox, ...]]  # path, width and height, what is on it


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One image file with its label.

    ``name`` is the path below ``root``, the same on every machine. ``writer`` is the writer or the document, unique
    within a corpus, ``None`` if unknown. ``split`` is train, validation or test for files in folders of these names,
    else empty. ``relabelled_from`` is the label in the corpus where a problem has given another one, ``boxes`` what is
    on a page in layouts that say it. Has slots, because there may be 100,000 of them.
    """

    root: Path | RemoteFolder
    name: str
    label: str
    writer: str | None
    corpus_id: str
    split: str = ""
    relabelled_from: str = ""
    boxes: tuple[LabelledBox, ...] = ()

    @property
    def corpus_label(self) -> str:
        """Label in the corpus, whatever that of the problem is."""
        return self.relabelled_from or self.label

    @property
    def path(self) -> Path | RemoteFile:
        """The image file, on this machine or on Cloud Storage."""
        return self.root / self.name

    @property
    def split_unit(self) -> tuple[str, str]:
        """What is never divided between splits: (corpus, writer), or (corpus, image) where the writer is unknown."""
        return (self.corpus_id, self.name if self.writer is None else self.writer)

    def relabel(self, label: str, **changes: Any) -> "Sample":
        """Return the sample with the label of a problem, and with other changed fields."""
        return dataclasses.replace(self, label=label, relabelled_from=self.corpus_label, **changes)
