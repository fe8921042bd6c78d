"""CEDAR's own names: ``full_org/original_W_N.png`` genuine, ``full_forg/forgeries_W_N.png`` forged, in any folders.

Kalera, Srihari and Xu 2004, "Offline signature verification and identification using distance statistics".
"""

from pathlib import PurePosixPath

from trainer.corpora import FILE_NAMES, Corpus
from trainer.corpora._names import by_pattern

explain = by_pattern(
    r"(original|forgeries)_(\d+)_(\d+)",
    lambda match: ("genuine" if match[1].lower() == "original" else "forged", str(int(match[2]))),
)


def place(label: str, writer: str, number: int) -> PurePosixPath:
    folder, name = ("full_org", "original") if label == "genuine" else ("full_forg", "forgeries")
    return PurePosixPath(folder, f"{name}_{int(writer)}_{number + 1}")


CORPUS = Corpus(
    "CEDAR's names, original_W_N genuine and forgeries_W_N forged", FILE_NAMES, explain, place, ("genuine", "forged")
)
