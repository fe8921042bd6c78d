"""``001/`` genuine, ``001_forg/`` forged: one folder for each writer and one for the forgeries of their signature.

The form in which CEDAR, SigComp2011 and SVC2004 are usually passed around. Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Corpus

FORGED = "_forg"


def explain(files):
    """Needs at least one pair of folders; a writer without forgeries is fine."""
    files = list(files)
    folders = {file.parts[0] for file in files if len(file.parts) == 2}
    if not any(folder + FORGED in folders for folder in folders):
        return {}
    return {file: _label_and_writer(file.parts[0]) for file in files if len(file.parts) == 2}


def _label_and_writer(folder):
    if folder.endswith(FORGED):
        return "forged", folder.removesuffix(FORGED)
    return "genuine", folder


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(writer + (FORGED if label == "forged" else ""), f"{number:03d}")


CORPUS = Corpus(
    "WRITER/IMAGE genuine and WRITER_forg/IMAGE forged, such as 001/ and 001_forg/",
    explain,
    place,
    ("genuine", "forged"),
)
