"""Who may be behind a file name, where a layout does not say. No layout itself."""

import collections
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

# With fewer different beginnings than this they are no documents: "img_0001" ... "img_0999" is one pile.
MIN_DOCUMENTS = 8
_SEPARATORS = re.compile(r"[-_. ]+")


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


def folder_or_document(files: list[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The top folder where there are many (a folder for each person), else what ``documents`` finds."""
    folders = {file.parts[0] for file in files if len(file.parts) > 1}
    if len(folders) >= MIN_DOCUMENTS:
        return {file: file.parts[0] for file in files if len(file.parts) > 1}
    return documents({file: file for file in files})
