"""File names of SigComp2009 and its Kaggle copies: author XXX, sample YY, writer ZZZ; genuine when XXX equals ZZZ.

``NFI-XXXYYZZZ``, ``XXXYYZZZ``, and ``XXXZZZ_YYY`` with the writer before the sample, in any folders. The writer is the
one whose name the signature bears, the author the one who wrote it. Blankers et al. 2009, "The ICDAR 2009 signature
verification competition". Next: ``corpora/__init__.py``.
"""

import re
from pathlib import PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree
from trainer.corpora._file_names import LABEL_WORDS, make_name_parser


def _interpret(match: re.Match[str]) -> tuple[str, str]:
    author, writer = (match[1], match[2]) if match[1] else (match[3], match[4])
    return ("genuine" if author == writer else "forged", writer)


_parse_names = make_name_parser(r"(?:(?:NFI-)?(\d{3})\d{2}(\d{3})|(\d{3})(\d{3})_\d+)", _interpret)


def parse_tree(tree: Tree) -> Annotations:
    """Parse the names; empty where numbers without ``NFI-`` are rather dates or counters.

    They are when a folder's name is another label, or when all images would be forged and lie in folders that are not
    named by their writer or author.
    """
    annotations = _parse_names(tree)
    if all(file.name.upper().startswith("NFI-") for file in annotations):
        return annotations
    words = (
        (LABEL_WORDS.get(folder.lower()), label)
        for file, (label, _) in annotations.items()
        for folder in file.parts[:-1]
    )
    is_contradicted = any(word not in (None, label) for word, label in words)
    is_all_forged = all(label == "forged" for label, _ in annotations.values())
    is_dates = is_all_forged and not all(map(_is_in_own_folder, annotations))
    return {} if is_contradicted or is_dates else annotations


def _is_in_own_folder(file: PurePosixPath) -> bool:
    """Whether the folder is the number that the file name begins or ends with: ``003/00201003`` is no date."""
    folder = file.parent.name.partition("_")[0]
    return folder.isdigit() and folder.zfill(3) in (file.stem[:3], file.stem.partition("_")[0][-3:])


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    author = int(writer) if label == "genuine" else (int(writer) + 500) % 1000
    return PurePosixPath(f"NFI-{author:03d}{number % 100:02d}{int(writer):03d}")


CORPUS = Corpus(
    "NFI-XXXYYZZZ, XXXYYZZZ or XXXZZZ_YYY: written by XXX, as the signature of ZZZ; genuine when they are equal",
    Ambiguity.FILE_NAMES,
    parse_tree,
    format_path,
    ("genuine", "forged"),
)
