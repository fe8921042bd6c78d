"""``signature/x.png``, ``text/y.png``: the first folder is the label, any number of labels.

Writers are not part of this layout, but file names often say which images come from one person or page; see
``documents``. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Corpus
from trainer.corpora._names import documents


def explain(files):
    """Labels from first folders, documents from file names; needs two folders at least."""
    files = list(files)
    if len({file.parts[0] for file in files}) < 2 or any(len(file.parts) < 2 for file in files):
        return {}
    # Below the label: genuine/001_1 and forged/001_1 are of one person.
    document = documents({file: PurePosixPath(*file.parts[1:]) for file in files})
    return {file: (file.parts[0], document.get(file)) for file in files}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(label, f"{writer}_{number:03d}")


CORPUS = Corpus("LABEL/IMAGE for two labels or more, such as signature/ and text/", explain, place)
