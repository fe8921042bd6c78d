"""GPDS: ``001/c-001-01.jpg`` genuine, ``001/cf-001-01.jpg`` forged.

Vargas, Ferrer, Travieso and Alonso 2007, "Off-line handwritten signature GPDS-960 corpus".
Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Corpus
from trainer.corpora._file_names import make_name_parser

parse_tree = make_name_parser(
    r"c(f?)-(\d+)-(\d+)", lambda match: ("forged" if match[1] else "genuine", str(int(match[2])))
)


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    prefix = "c" if label == "genuine" else "cf"
    return PurePosixPath(f"{int(writer):03d}", f"{prefix}-{int(writer):03d}-{number + 1:02d}")


CORPUS = Corpus(
    "GPDS' names, c-001-01 genuine and cf-001-01 forged",
    Ambiguity.FILE_NAMES,
    parse_tree,
    format_path,
    ("genuine", "forged"),
)
