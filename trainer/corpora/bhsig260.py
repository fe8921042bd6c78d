"""BHSig260: ``B-S-001-G-01.tif`` and ``H-S-001-F-01.tif``, Bengali and Hindi, genuine and forged, in any folders.

The same number in both scripts means two writers. Pal et al. 2016, "Performance of an off-line signature verification
method based on texture features on a large Indic-script signature dataset". Next: ``corpora/__init__.py``.
"""

from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Corpus
from trainer.corpora._file_names import make_name_parser

parse_tree = make_name_parser(
    r"([BH])-S-(\d+)-([GF])-(\d+)",
    lambda match: ("genuine" if match[3].upper() == "G" else "forged", f"{match[1].upper()}-{int(match[2]):03d}"),
)


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    letter = "G" if label == "genuine" else "F"
    return PurePosixPath(f"{int(writer):03d}", f"B-S-{int(writer):03d}-{letter}-{number + 1:02d}")


CORPUS = Corpus(
    "BHSig260's names, B-S-001-G-01 genuine and H-S-001-F-01 forged",
    Ambiguity.FILE_NAMES,
    parse_tree,
    format_path,
    ("genuine", "forged"),
)
