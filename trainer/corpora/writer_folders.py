"""``001/``, ``002/`` ...: a folder for each writer, named by numbers, with genuine signatures only.

Eight folders or more: fewer numbers may be labels, such as ``0/`` and ``1/``. With the layout named by the caller, any
folders. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import FOLDER_NAMES, Corpus, Explained, Tree
from trainer.corpora._names import MIN_DOCUMENTS


def explain(tree: Tree) -> Explained:
    """The first folder is the writer when all of them are numbers, or when the layout was named."""
    folders = {file.parts[0] for file in tree.images if len(file.parts) == 2}
    if not tree.named and (len(folders) < MIN_DOCUMENTS or not all(folder.isdigit() for folder in folders)):
        return {}
    return {file: ("genuine", file.parts[0]) for file in tree.images if len(file.parts) == 2}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(writer, f"{number:03d}")


CORPUS = Corpus(
    "WRITER/IMAGE genuine, for eight writers or more named by numbers",
    FOLDER_NAMES,
    explain,
    place,
    ("genuine",),
    instead="each numbered folder is a person with genuine signatures only (forgeries would be in 001_forg/); if each "
    "is a label of its own, say --layout class_folders",
)
