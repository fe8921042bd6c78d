"""Reading TOML: the standard library's, or tomli, which it was made of, before Python 3.11."""

import sys

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["loads"]
