"""Find problems, backbones and corpora by name: each is a file of its folder.

To add one, add a file that defines the constant of the folder (``PROBLEM``, ``BACKBONE``, ``LOSS``, ``CORPUS``).
Nothing else changes: flags list it, and ``tests/contract`` tests it. Next: ``trainer/problems/``,
``trainer/backbones/`` and ``trainer/corpora/``.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from trainer.console.errors import UserError
from trainer.settings.spelling import suggest_nearest


class UnknownName(UserError):
    """No plug-in has this name; the message lists those that exist, and the nearest spelling."""


def list_names(folder: str) -> list[str]:
    """List the plug-ins in a folder of ``trainer``: ``list_names("backbones") -> ["compact", ...]``, sorted."""
    path = Path(__file__).parents[1] / folder  # listed, not imported, because an import needs Keras
    return sorted(module.name for module in pkgutil.iter_modules([str(path)]) if not module.name.startswith("_"))


def check_name(folder: str, name: str) -> str:
    """Return the name if there is such a plug-in, without importing it. Raises ``UnknownName``."""
    known = list_names(folder)
    if name in known:
        return name
    raise UnknownName(
        f"no {folder.rstrip('s')} is called {name!r}{suggest_nearest(name, known) or ';'} there is: {', '.join(known)}"
    )


def load(folder: str, name: str) -> Any:
    """Import a plug-in and return its constant: ``load("problems", "same_writer") -> Problem``.

    Raises ``UnknownName``.
    """
    module = importlib.import_module(f"trainer.{folder}.{check_name(folder, name)}")
    return getattr(module, importlib.import_module(f"trainer.{folder}").PLUGIN_ATTRIBUTE)
