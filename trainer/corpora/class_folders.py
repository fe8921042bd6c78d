"""``signature/x.png``, ``text/y.png``: the first folder is the label, any number of labels.

The layout has no writers, but file names often show which images come from one writer or page; see
``infer_documents``. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree
from trainer.corpora._file_names import infer_documents


def parse_tree(tree: Tree) -> Annotations:
    """Take the label from the first folder and the document from the file name; empty for fewer than two labels."""
    if any(len(file.parts) < 2 for file in tree.images):
        return {}
    labels = {file: file.parts[0] for file in tree.images}
    if len(set(labels.values())) < 2:
        return {}
    # Without the label's folder, because genuine/001_1 and forged/001_1 are of one writer.
    documents = infer_documents({file: PurePosixPath(*file.parts[1:]) for file in tree.images})
    return {file: (labels[file], documents.get(file)) for file in tree.images}


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(label, f"{writer}_{number:03d}")


CORPUS = Corpus(
    "LABEL/IMAGE for two labels or more, such as signature/ and text/",
    Ambiguity.ANY_FOLDER,
    parse_tree,
    format_path,
    alternative="each folder is a label; if each is a writer with genuine signatures only, give "
    "--layout writer_folders",
)
