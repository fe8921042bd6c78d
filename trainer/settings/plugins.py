"""A name is a file: problems, backbones and corpora are found by looking into their folder.

Adding one is adding a file that defines the folder's constant (``PROBLEM``, ``BACKBONE``, ``CORPUS``); nothing else
changes, and ``tests/contract`` tests it before you write a test. Knows none of them by name.
"""

import importlib
import pkgutil
from pathlib import Path

from trainer.console.errors import UserError
from trainer.settings.spelling import nearest


class UnknownName(UserError):
    """A name that no plug-in has; the message lists what exists and the nearest spelling."""


def names(folder: str) -> list[str]:
    """The plug-ins in a folder of ``trainer``: ``names("backbones") -> ["compact", ...]``, sorted."""
    place = Path(__file__).parents[1] / folder  # looked into, not imported: that would bring all that they need
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
