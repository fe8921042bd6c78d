"""A folder named ``text``, ``signature``, ``genuine`` or ``forged``: all images below it have that label.

Writers are the top folders where there are many, else documents inferred from file names. Next: ``flat.py``, for any
other name.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree
from trainer.corpora._file_names import LABEL_WORDS, infer_writers


def parse_tree(tree: Tree) -> Annotations:
    """Take the label from the name of the root folder; empty where folders below it are labels themselves."""
    label = LABEL_WORDS.get(tree.root.name.lower())
    if label is None or any(folder.lower() in LABEL_WORDS for file in tree.images for folder in file.parts[:-1]):
        return {}
    writers = infer_writers(tree)
    return {file: (label, writers.get(file)) for file in tree.images}


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(f"{writer}_{number:03d}")


CORPUS = Corpus(
    "images in any folders below one named text, signature, genuine or forged",
    Ambiguity.FOLDER_NAMES,
    parse_tree,
    format_path,
    labels=(),
    folder_name="text",
)
