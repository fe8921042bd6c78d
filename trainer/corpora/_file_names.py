"""Functions that layouts share: labels by name patterns, and writers or documents inferred from file names.

Defines no layout. Next: ``gpds.py``, a layout of patterns; ``flat.py``, one of inferred writers.
"""

import collections
import re
from collections.abc import Callable, Hashable, Mapping
from pathlib import PurePosixPath
from typing import TypeVar

from trainer.corpora import Annotations, Tree

# Fewer different prefixes than this are no documents: "img_0001" ... "img_0999" share one prefix.
MIN_DOCUMENTS = 8
# Folder names that are labels, and the label that each stands for.
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
Key = TypeVar("Key", bound=Hashable)


def make_name_parser(
    pattern: str, interpret: Callable[[re.Match[str]], tuple[str, str]], path_attribute: str = "stem"
) -> Callable[[Tree], Annotations]:
    """Make a ``parse_tree`` for layouts whose file names hold label and writer.

    It annotates every image whose name matches ``pattern``, in any folder, with (label, writer) from ``interpret``.
    """
    compiled = re.compile(pattern, re.IGNORECASE)

    def parse_tree(tree: Tree) -> Annotations:
        matches = ((file, compiled.fullmatch(getattr(file, path_attribute))) for file in tree.images)
        return {file: interpret(match) for file, match in matches if match}

    return parse_tree


def infer_documents(names: Mapping[Key, PurePosixPath]) -> dict[Key, str]:
    """Infer from names which images share a writer or a page: ``{key: path} -> {key: document}``.

    The document is the shortest prefix of the name that takes at least ``MIN_DOCUMENTS`` values in its folder:
    ``user029`` for ``user029_sakhar_017``, ``d-266a`` for ``d-266a-046_04``. The shortest, because documents that are
    too large only raise the measured error rates, and documents that are too small may lower them. Images whose names
    have no such prefix are omitted.
    """
    folders: dict[PurePosixPath, dict[Key, list[str]]] = collections.defaultdict(dict)
    for key, path in names.items():
        folders[path.parent][key] = _SEPARATORS.split(path.stem)
    documents: dict[Key, str] = {}
    for folder, words_by_key in folders.items():
        length = _prefix_length(list(words_by_key.values()))
        if length:
            documents |= {key: str(folder / "-".join(words[:length])) for key, words in words_by_key.items()}
    return documents


def _prefix_length(names: list[list[str]]) -> int:
    """Count the leading words that name the document; 0 when names have no common prefixes."""
    for length in range(1, max(map(len, names))):
        prefixes = {tuple(words[:length]) for words in names}
        if MIN_DOCUMENTS <= len(prefixes) < len(names):
            return length
    return 0


def infer_writers(tree: Tree) -> dict[PurePosixPath, str]:
    """Infer the writer of each image: the top folder where there are at least ``MIN_DOCUMENTS``, else the document."""
    folders = {file.parts[0] for file in tree.images if len(file.parts) > 1}
    if len(folders) >= MIN_DOCUMENTS:
        return {file: file.parts[0] for file in tree.images if len(file.parts) > 1}
    return infer_documents({file: file for file in tree.images})
