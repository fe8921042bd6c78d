"""``signature/x.png``, ``text/y.png``: the first folder is the label, any number of labels.

Writers are not part of this layout, but file names often say which images come from one person or page: a name that
ends in a running number (``a01-007_04``) belongs to the document before it. Next: ``corpora/__init__.py``.
"""

import collections
import re
from pathlib import PurePosixPath

from trainer.corpora import Corpus

_RUNNING_NUMBER = re.compile(r"^(.+?)[-_. ]+\d+$")
# Below this many different prefixes in a folder the prefix is no document: "img_0001" ... "img_0999" is one pile.
MIN_DOCUMENTS = 4


def explain(files):
    """Labels from first folders, documents from file names; needs two folders at least."""
    files = list(files)
    if len({file.parts[0] for file in files}) < 2 or any(len(file.parts) < 2 for file in files):
        return {}
    document = documents(files)
    return {file: (file.parts[0], document.get(file)) for file in files}


def documents(files) -> dict[PurePosixPath, str]:
    """Which images share a page or a person, as far as names tell: ``302_08.png`` and ``302_09.png`` do."""
    stems = {file: _RUNNING_NUMBER.match(file.stem) for file in files}
    prefixes = collections.defaultdict(set)
    for file, match in stems.items():
        if match:
            prefixes[file.parent].add(match[1])
    return {
        file: f"{file.parent}/{match[1]}"
        for file, match in stems.items()
        if match and len(prefixes[file.parent]) >= MIN_DOCUMENTS
    }


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath(label, f"{writer}_{number:03d}")


CORPUS = Corpus("LABEL/IMAGE for two labels or more, such as signature/ and text/", explain, place)
