"""GPDS: ``001/c-001-01.jpg`` genuine, ``001/cf-001-01.jpg`` forged.

Vargas, Ferrer, Travieso and Alonso 2007, "Off-line handwritten signature GPDS-960 corpus".
"""

from pathlib import PurePosixPath

from trainer.corpora import FILE_NAMES, Corpus
from trainer.corpora._names import by_pattern

explain = by_pattern(r"c(f?)-(\d+)-(\d+)", lambda match: ("forged" if match[1] else "genuine", str(int(match[2]))))


def place(label: str, writer: str, number: int) -> PurePosixPath:
    kind = "c" if label == "genuine" else "cf"
    return PurePosixPath(f"{int(writer):03d}", f"{kind}-{int(writer):03d}-{number + 1:02d}")


CORPUS = Corpus("GPDS' names, c-001-01 genuine and cf-001-01 forged", FILE_NAMES, explain, place, ("genuine", "forged"))
