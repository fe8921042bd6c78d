"""One JSON object a line on standard output, the form Cloud Logging reads. Never anything of an image.

Python's default logging goes to standard error, which Vertex AI shows as ERROR whatever was said.
"""

import logging
import sys
from typing import Any

import orjson


def log(severity: str, message: str, **fields: Any) -> None:
    """``severity`` is Cloud Logging's: INFO, WARNING, ERROR."""
    line = orjson.dumps({"severity": severity, "message": message, **fields}, default=str)
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


class JsonLines(logging.Handler):
    """Libraries' log records in our form: uvicorn's "address already in use" has to be seen as well."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record, one line; the exception's kind only, its text may quote a request."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log(record.levelname, record.getMessage(), logger=record.name, **({"kind": kind} if kind else {}))
