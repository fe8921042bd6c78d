"""The one kind of error that is a person's to put right. Standard library only; every room may raise it."""


class UserError(ValueError):
    """Data, settings or files are not as they have to be; the message says what was found and what would be right.

    Commands print the message and exit with status 1. Anything else is a fault of ours and keeps its traceback.
    """
