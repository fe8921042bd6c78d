"""The folder for copies of what can be downloaded again: data, fonts, unpacked archives.

Next: ``__init__.py``, which fills it from Cloud Storage.
"""

import os
from pathlib import Path


def get_cache_dir() -> Path:
    """Return the folder of copies: ``COUNTERSIGN_CACHE``, or ``countersign`` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("COUNTERSIGN_CACHE") or Path(home) / "countersign")
