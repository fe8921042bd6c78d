"""The error of this folder, which every other file of it raises. Next: ``store.py``."""

from trainer.console.errors import UserError


class EnrolmentError(UserError):
    """A file of enrolled writers cannot be used, or a writer is not in it; the message says why."""


class NotEnrolled(EnrolmentError):
    """No such writer or reference is on file."""
