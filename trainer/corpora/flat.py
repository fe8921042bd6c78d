"""A pile of images without labels: any files in any folders. Usable only when the caller says the label.

Writers are folders where there are many, else documents read from file names.
"""

from pathlib import PurePosixPath

from trainer.corpora import ANYTHING, Corpus, Explained, Tree
from trainer.corpora._names import folder_or_document


def explain(tree: Tree) -> Explained:
    """Every image, without a label."""
    writer = folder_or_document(tree)
    return {file: (None, writer.get(file)) for file in tree.images}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(f"{writer}_{number:03d}")


CORPUS = Corpus("images in any folders, all of one label that you give as LABEL=PATH", ANYTHING, explain, place, ())
