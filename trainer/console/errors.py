"""The base class of errors that a user can correct. Standard library only; every package may raise it."""


class UserError(ValueError):
    """Data, settings or files are wrong; the message says what was received and what would be right.

    Commands print the message and exit with status 1. Any other error is a bug and keeps its traceback.
    """
