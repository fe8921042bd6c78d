"""What layouts share: labels by name patterns, and who may be behind a file name. No layout itself."""

import collections
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from trainer.corpora import Explained, Tree

# With fewer different beginnings than this they are no documents: "img_0001" ... "img_0999" is one pile.
MIN_DOCUMENTS = 8
# Folders that people name by what is in them, and the label that means.
LABEL_WORDS = {
    "genuine": "genuine",
    "real": "genuine",
    "original": "genuine",
    "forged": "forged",
    "forgeries": "forged",
    "forge": "forged",
    "signature": "signature",
    "signatures": "signature",
    "text": "text",
}
_SEPARATORS = re.compile(r"[-_. ]+")


def by_pattern(
    pattern: str, reading: Callable[[re.Match[str]], tuple[str, str]], where: str = "stem"
) -> Callable[[Tree], Explained]:
    """An ``explain`` for layouts whose file names say all: every image whose name matches, in any folder."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def explain(tree: Tree) -> Explained:
        matches = ((file, compiled.fullmatch(getattr(file, where))) for file in tree.images)
        return {file: reading(match) for file, match in matches if match}

    return explain


def documents(names: Mapping) -> dict:
    """Which images share a person or a page, as far as names tell: ``{key: path} -> {key: document}``.

    In each folder the shortest beginning of the names that still tells ``MIN_DOCUMENTS`` apart: ``user029_sakhar_017``
    is of ``user029``, ``d-266a-046_04`` of ``d-266a``. Short, because keeping too much together only makes the numbers
    humbler. Images whose names say nothing are left out.
    """
    folders: dict[PurePosixPath, dict] = collections.defaultdict(dict)
    for key, path in names.items():
        folders[path.parent][key] = _SEPARATORS.split(path.stem)
    found: dict = {}
    for folder, pieces in folders.items():
        length = _telling_length(list(pieces.values()))
        if length:
            found |= {key: str(folder / "-".join(words[:length])) for key, words in pieces.items()}
    return found


def _telling_length(names: list[list[str]]) -> int:
    """How many leading words name the document; 0 when none do, because all names differ only as a whole."""
    for length in range(1, max(map(len, names))):
        beginnings = {tuple(words[:length]) for words in names}
        if MIN_DOCUMENTS <= len(beginnings) < len(names):
            return length
    return 0


def folder_or_document(tree: Tree) -> dict[PurePosixPath, str]:
    """The top folder where there are many (a folder for each person), else what ``documents`` finds."""
    folders = {file.parts[0] for file in tree.images if len(file.parts) > 1}
    if len(folders) >= MIN_DOCUMENTS:
        return {file: file.parts[0] for file in tree.images if len(file.parts) > 1}
    return documents({file: file for file in tree.images})
