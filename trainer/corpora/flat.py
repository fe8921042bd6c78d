"""Images in any folders, without labels; usable only when the caller names the label.

Writers are the top folders where there are many, else documents inferred from file names. Next: ``_file_names.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree
from trainer.corpora._file_names import infer_writers


def parse_tree(tree: Tree) -> Annotations:
    """Annotate every image with its inferred writer and no label."""
    writers = infer_writers(tree)
    return {file: (None, writers.get(file)) for file in tree.images}


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(f"{writer}_{number:03d}")


CORPUS = Corpus(
    "images in any folders, all of one label that you give as LABEL=PATH",
    Ambiguity.UNLABELLED,
    parse_tree,
    format_path,
    (),
)
