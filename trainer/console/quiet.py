"""Import TensorFlow without the messages that its native code prints on import, which no setting disables.

Python errors are raised, and later native messages of severity error are printed.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

_LOCK = threading.RLock()


def import_tensorflow() -> Any:
    """Import TensorFlow and Keras for the first time, and return the module ``tensorflow``."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with suppress_native_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()  # initialises GPUs, which prints messages, here
    return tf


@contextlib.contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Redirect file descriptor 2, to which native libraries write directly, to the null device.

    One thread at a time; with two, the second would save and restore the null device of the first.
    """
    with _LOCK:
        yield from _redirect_stderr()


def _redirect_stderr() -> Iterator[None]:
    saved = os.dup(2)
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null_device)


def escape_undecodable_output() -> None:
    """Print file names that are not valid text with escapes, instead of raising ``UnicodeEncodeError``."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
