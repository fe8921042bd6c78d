"""Names of SigComp2009 and its Kaggle copies: XXX wrote sample YY of the signature of ZZZ; genuine when XXX is ZZZ.

``NFI-XXXYYZZZ``, ``XXXYYZZZ``, and ``XXXZZZ_YYY`` with the person before the sample, in any folders. The writer is ZZZ,
whose signature it is or pretends to be. Blankers et al. 2009, "The ICDAR 2009 signature verification competition".
"""

from pathlib import PurePosixPath

from trainer.corpora import FILE_NAMES, Corpus, Explained, Tree
from trainer.corpora._names import LABEL_WORDS, by_pattern


def _reading(match):
    hand, person = (match[1], match[2]) if match[1] else (match[3], match[4])
    return ("genuine" if hand == person else "forged", person)


_matching = by_pattern(r"(?:(?:NFI-)?(\d{3})\d{2}(\d{3})|(\d{3})(\d{3})_\d+)", _reading)


def explain(tree: Tree) -> Explained:
    """By the names; bare numbers may be dates or counts, so folders must not contradict.

    Some must be genuine, or every folder be that of the person or of the hand.
    """
    found = _matching(tree)
    if all(file.name.upper().startswith("NFI-") for file in found):
        return found
    words = ((LABEL_WORDS.get(part.lower()), label) for file, (label, _) in found.items() for part in file.parts[:-1])
    contradicted = any(word not in (None, label) for word, label in words)
    dates = all(label == "forged" for label, _ in found.values()) and not all(map(_is_in_own_folder, found))
    return {} if contradicted or dates else found


def _is_in_own_folder(file: PurePosixPath) -> bool:
    """Whether the folder is called by a number that the name begins or ends with: ``003/00201003`` is no date."""
    folder = file.parent.name.partition("_")[0]
    return folder.isdigit() and folder.zfill(3) in (file.stem[:3], file.stem.partition("_")[0][-3:])


def place(label: str, writer: str, number: int) -> PurePosixPath:
    hand = int(writer) if label == "genuine" else (int(writer) + 500) % 1000
    return PurePosixPath(f"NFI-{hand:03d}{number % 100:02d}{int(writer):03d}")


CORPUS = Corpus(
    "NFI-XXXYYZZZ, XXXYYZZZ or XXXZZZ_YYY: by hand XXX, as the signature of ZZZ; genuine when they are equal",
    FILE_NAMES,
    explain,
    place,
    ("genuine", "forged"),
)
