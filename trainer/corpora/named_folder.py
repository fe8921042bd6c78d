"""A folder called ``text``, ``signature``, ``genuine`` or ``forged``: everything below it has that label.

Writers are folders where there are many, else documents read from file names. Next: ``flat.py``, for other names.
"""

from pathlib import PurePosixPath

from trainer.corpora import FOLDER_NAMES, Corpus, Explained, Tree
from trainer.corpora._names import LABEL_WORDS, folder_or_document


def explain(tree: Tree) -> Explained:
    """The label by the folder's own name, unless folders below it are labels themselves."""
    label = LABEL_WORDS.get(tree.root.name.lower())
    if label is None or any(part.lower() in LABEL_WORDS for file in tree.images for part in file.parts[:-1]):
        return {}
    writer = folder_or_document(tree)
    return {file: (label, writer.get(file)) for file in tree.images}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(f"{writer}_{number:03d}")


CORPUS = Corpus(
    "images in any folders below one called text, signature, genuine or forged",
    FOLDER_NAMES,
    explain,
    place,
    labels=(),
    called="text",
)
