"""BHSig260: ``B-S-001-G-01.tif`` and ``H-S-001-F-01.tif``, Bengali and Hindi, genuine and forged, in any folders.

A number in one script is not the same person as in the other. Pal et al. 2016, "Performance of an off-line signature
verification method based on texture features on a large Indic-script signature dataset".
"""

from pathlib import PurePosixPath

from trainer.corpora import FILE_NAMES, Corpus
from trainer.corpora._names import by_pattern

explain = by_pattern(
    r"([BH])-S-(\d+)-([GF])-(\d+)",
    lambda match: ("genuine" if match[3].upper() == "G" else "forged", f"{match[1].upper()}-{int(match[2]):03d}"),
)


def place(label: str, writer: str, number: int) -> PurePosixPath:
    kind = "G" if label == "genuine" else "F"
    return PurePosixPath(f"{int(writer):03d}", f"B-S-{int(writer):03d}-{kind}-{number + 1:02d}")


CORPUS = Corpus(
    "BHSig260's names, B-S-001-G-01 genuine and H-S-001-F-01 forged", FILE_NAMES, explain, place, ("genuine", "forged")
)
