"""Which script the generator writes: Latin often, the others by how many people write them.

Next: ``lexicon.py`` has their words, ``fonts.py`` their letters.
"""

import functools

import numpy as np

from trainer.samples import fonts

# Relative shares; a script that is not named has 1. Small ones are raised: no script may be missing from the data.
SHARES = {
    "arabic": 9.0,
    "chinese": 5.0,
    "devanagari": 3.0,
    "cyrillic": 3.0,
    "bengali": 2.0,
    "japanese": 2.0,
    "korean": 1.5,
}
RARELY_LEGIBLE = ("arabic",)  # people who write it seldom sign with a legible name


def choose_script(rng: np.random.Generator, latin_share: float) -> str:
    """Choose a script that this machine has fonts for: Latin with a given share, else another by ``SHARES``."""
    scripts, bounds = _list_scripts(fonts.load_catalogue())
    if not scripts or rng.random() < latin_share:
        return "latin"
    return scripts[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]


@functools.lru_cache(maxsize=4)
def _list_scripts(catalogue: fonts.FontCatalogue) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the scripts of the catalogue but Latin, and the cumulated shares of them."""
    scripts = tuple(script for script in catalogue.scripts() if script != "latin")
    return scripts, np.cumsum([SHARES.get(script, 1.0) for script in scripts])
