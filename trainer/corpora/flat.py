"""A pile of images without labels: any files in any folders. Usable only when the caller says the label.

Writers are folders where there are many, else documents read from file names.
"""

from pathlib import PurePosixPath

from trainer.corpora import Corpus
from trainer.corpora._names import folder_or_document


def explain(files):
    """Every image, without a label."""
    files = list(files)
    writer = folder_or_document(files)
    return {file: (None, writer.get(file)) for file in files}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(f"{writer}_{number:03d}")


CORPUS = Corpus("images in any folders, all of one label that you give as LABEL=PATH", explain, place, ())
