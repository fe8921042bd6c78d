"""TensorFlow without the chatter its native code prints on import, which no setting of its own turns off.

Errors still raise; later messages of severity error are still printed.
"""

import contextlib
import os
import sys
import threading

_ONE_AT_A_TIME = threading.RLock()


def import_tensorflow():
    """Import TensorFlow and Keras for the first time; returns the TensorFlow module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with native_stderr_closed():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs now, and says so now
    return tf


@contextlib.contextmanager
def native_stderr_closed():
    """Send file descriptor 2 nowhere: native libraries do not write through ``sys.stderr``.

    One thread at a time: two that overlap would restore each other's nowhere.
    """
    with _ONE_AT_A_TIME:
        yield from _closed()


def _closed():
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def print_any_name() -> None:
    """File names may be no text; printing one must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
