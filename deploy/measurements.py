"""``measured.toml``: unit costs that were measured, with date and machine.

Next: ``preparation_cost.py`` and ``scale.py`` use them.
"""

import functools
from pathlib import Path
from typing import Any

from trainer.settings import toml

MEASUREMENTS_FILE = Path(__file__).parent / "measured.toml"


@functools.cache
def read(name: str) -> dict[str, Any]:
    """Read a table of the file: ``date``, ``machine``, ``how`` and unit costs."""
    return toml.loads(MEASUREMENTS_FILE.read_text())[name]
