"""Suggest the nearest known spelling of an unknown name, for error messages. Standard library only."""

import difflib


def suggest_nearest(name: str, known: list[str]) -> str:
    """Return ``, did you mean 'x'?`` if a known name is spelt alike, else an empty string."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
