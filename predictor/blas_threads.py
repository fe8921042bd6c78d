"""The threads of NumPy's BLAS in processes that answer images in parallel. Standard library only.

The library reads their number when NumPy is imported. Next: ``__main__.py`` and ``offline.py``, which limit it, and
``development.py``, which starts a training without the limit.
"""

import os

VARIABLE = "OPENBLAS_NUM_THREADS"
_limited: dict[str, str] = {}  # what ``limit_blas_threads`` has set in this process


def limit_blas_threads() -> None:
    """Let NumPy compute on one thread, unless the environment says otherwise; call it before NumPy is imported.

    Images are answered in parallel; threads of NumPy's own within an answer slow all of them.
    """
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = _limited[VARIABLE] = "1"


def get_unlimited_environment() -> dict[str, str]:
    """Return the environment of this process without the limit, if it was set here and not by the user."""
    return {name: value for name, value in os.environ.items() if name not in _limited}
