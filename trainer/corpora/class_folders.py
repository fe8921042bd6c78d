"""``signature/x.png``, ``text/y.png``: the first folder is the label, any number of labels.

Writers are not part of this layout, but file names often say which images come from one person or page; see
``documents``. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import ANY_FOLDER, Corpus, Explained, Tree
from trainer.corpora._names import documents


def explain(tree: Tree) -> Explained:
    """Labels from first folders, documents from file names. Needs two labels at least."""
    if any(len(file.parts) < 2 for file in tree.images):
        return {}
    label = {file: file.parts[0] for file in tree.images}
    if len(set(label.values())) < 2:
        return {}
    # Below the label: genuine/001_1 and forged/001_1 are of one person.
    document = documents({file: PurePosixPath(*file.parts[1:]) for file in tree.images})
    return {file: (label[file], document.get(file)) for file in tree.images}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(label, f"{writer}_{number:03d}")


CORPUS = Corpus(
    "LABEL/IMAGE for two labels or more, such as signature/ and text/",
    ANY_FOLDER,
    explain,
    place,
    instead="each folder is a label; if each is a person, with genuine signatures only, say --layout writer_folders",
)
