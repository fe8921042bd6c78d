"""Read TOML: with ``tomllib`` of the standard library, before Python 3.11 with ``tomli``, from which that was made."""

import sys

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["loads"]
