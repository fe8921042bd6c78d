"""A pile of images without labels: any files in any folders. Usable only when the caller says the label.

Documents are still read from file names, as in ``class_folders.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Corpus
from trainer.corpora.class_folders import documents


def explain(files):
    files = list(files)
    document = documents(files)
    return {file: (None, document.get(file)) for file in files}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(f"{writer}_{number:03d}")


CORPUS = Corpus("images in any folders, all of one label that you give as LABEL=PATH", explain, place, ())
