"""Lock an open file for one process at a time; the system unlocks it when the file is closed or the process ends.

By flock(2) on POSIX systems, on Windows by a lock of the first byte (``msvcrt``).
"""

import contextlib

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    import msvcrt

    def try_acquire(descriptor: int) -> bool:
        """Lock an open file without waiting. Return False if another process has locked it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def acquire(descriptor: int) -> None:
        """Lock an open file, as soon as no other process has locked it."""
        while True:
            with contextlib.suppress(OSError):  # raised after ten seconds of waiting
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
                return

else:

    def try_acquire(descriptor: int) -> bool:
        """Lock an open file without waiting. Return False if another process has locked it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks, such as a mounted bucket
        return True

    def acquire(descriptor: int) -> None:
        """Lock an open file, as soon as no other process has locked it."""
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
