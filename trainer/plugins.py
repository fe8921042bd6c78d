"""A name is a file: problems, backbones and corpora are found by looking into their folder.

Adding one is adding a file that defines the folder's constant (``PROBLEM``, ``BACKBONE``, ``CORPUS``); nothing else
changes, and ``tests/contract`` tests it before you write a test. Knows none of them by name.
"""

import difflib
import importlib
import pkgutil
from pathlib import Path

from trainer.console.errors import UserError


class UnknownName(UserError):
    """A name that no plug-in has; the message lists what exists and the nearest spelling."""


def names(folder: str) -> list[str]:
    """The plug-ins in a folder of ``trainer``: ``names("backbones") -> ["compact", ...]``, sorted."""
    place = Path(__file__).parent / folder  # looked into, not imported: that would bring all that they need
    return sorted(module.name for module in pkgutil.iter_modules([str(place)]) if not module.name.startswith("_"))


def check(folder: str, name: str) -> str:
    """The name itself if it is one; nothing is imported. Raises ``UnknownName``."""
    known = names(folder)
    if name in known:
        return name
    raise UnknownName(
        f"no {folder.rstrip('s')} is called {name!r}{nearest(name, known) or ';'} there is: {', '.join(known)}"
    )


def load(folder: str, name: str):
    """What a plug-in file defines: ``load("problems", "genuine_vs_forged") -> Problem``. Raises ``UnknownName``."""
    module = importlib.import_module(f"trainer.{folder}.{check(folder, name)}")
    return getattr(module, importlib.import_module(f"trainer.{folder}").CONSTANT)


def nearest(name: str, known: list[str]) -> str:
    """``, did you mean 'x'?`` when something is spelt alike, else nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
