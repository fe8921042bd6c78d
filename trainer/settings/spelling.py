"""The nearest known spelling of an unknown name, for error messages."""

import difflib


def nearest(name: str, known: list[str]) -> str:
    """``, did you mean 'x'?`` when something is spelt alike, else nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
