"""``001/``, ``002/`` ...: a folder for each writer, named by numbers, with genuine signatures only.

At least eight folders, because fewer numbers may be labels, such as ``0/`` and ``1/``; any folders, also a single one,
where the caller names the layout. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree
from trainer.corpora._file_names import MIN_DOCUMENTS


def parse_tree(tree: Tree) -> Annotations:
    """Take the writer from the folder, where all folders are numbers or the caller named the layout."""
    if tree.is_layout_named and all(len(file.parts) == 1 for file in tree.images):  # the root is the lone folder
        return dict.fromkeys(tree.images, ("genuine", tree.root.name))
    folders = {file.parts[0] for file in tree.images if len(file.parts) == 2}
    if not tree.is_layout_named and (len(folders) < MIN_DOCUMENTS or not all(folder.isdigit() for folder in folders)):
        return {}
    return {file: ("genuine", file.parts[0]) for file in tree.images if len(file.parts) == 2}


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(writer, f"{number:03d}")


CORPUS = Corpus(
    "WRITER/IMAGE genuine, for eight writers or more named by numbers",
    Ambiguity.FOLDER_NAMES,
    parse_tree,
    format_path,
    ("genuine",),
    alternative="each numbered folder is a writer with genuine signatures only (forgeries would be in 001_forg/); if "
    "each is a label of its own, give --layout class_folders",
)
