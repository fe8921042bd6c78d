"""File names of CEDAR: ``full_org/original_W_N.png`` genuine, ``full_forg/forgeries_W_N.png`` forged, in any folders.

Kalera, Srihari and Xu 2004, "Offline signature verification and identification using distance statistics".
Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Corpus
from trainer.corpora._file_names import make_name_parser

parse_tree = make_name_parser(
    r"(original|forgeries)_(\d+)_(\d+)",
    lambda match: ("genuine" if match[1].lower() == "original" else "forged", str(int(match[2]))),
)


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    folder, name = ("full_org", "original") if label == "genuine" else ("full_forg", "forgeries")
    return PurePosixPath(folder, f"{name}_{int(writer)}_{number + 1}")


CORPUS = Corpus(
    "CEDAR's names, original_W_N genuine and forgeries_W_N forged",
    Ambiguity.FILE_NAMES,
    parse_tree,
    format_path,
    ("genuine", "forged"),
)
