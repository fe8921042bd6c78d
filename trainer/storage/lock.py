"""One process at a time: a lock on an open file, which the system frees when the file is closed or the process dies.

POSIX systems have flock(2); Windows locks the first byte (``msvcrt``). Knows files, not what they guard.
"""

import contextlib

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    import msvcrt

    def hold(descriptor: int) -> bool:
        """Lock an open file; False when somebody else holds it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def wait(descriptor: int) -> None:
        """Lock an open file when nobody else holds it any more."""
        while True:
            with contextlib.suppress(OSError):  # after ten seconds of trying
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
                return

else:

    def hold(descriptor: int) -> bool:
        """Lock an open file; False when somebody else holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks, such as a mounted bucket: nobody can hold it
        return True

    def wait(descriptor: int) -> None:
        """Lock an open file when nobody else holds it any more."""
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
