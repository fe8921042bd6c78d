"""``001/`` genuine, ``001_forg/`` forged: one folder for each writer and one for the forgeries of their signature.

CEDAR, SigComp2011 and SVC2004 are usually distributed in this form. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree

FORGED = "_forg"


def parse_tree(tree: Tree) -> Annotations:
    """Take label and writer from the folder; empty without at least one pair of folders."""
    folders = {file.parent for file in tree.images}
    if not any(folder.with_name(folder.name + FORGED) in folders for folder in folders if folder.name):
        return {}
    return {file: _label_and_writer(file.parent.name) for file in tree.images if file.parent.name}


def _label_and_writer(folder: str) -> tuple[str, str]:
    if folder.endswith(FORGED):
        return "forged", folder.removesuffix(FORGED)
    return "genuine", folder


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(writer + (FORGED if label == "forged" else ""), f"{number:03d}")


CORPUS = Corpus(
    "WRITER/IMAGE genuine and WRITER_forg/IMAGE forged, such as 001/ and 001_forg/",
    Ambiguity.FOLDER_NAMES,
    parse_tree,
    format_path,
    ("genuine", "forged"),
)
