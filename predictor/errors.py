"""Domain errors of a request, and the JSON form of every error.

Independent of HTTP statuses. Errors of a single image are ``trainer.imaging.ImageError``; ``BadInstance`` adds the
position of the instance. Next: ``error_handlers.py`` maps these classes to responses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from trainer.imaging.errors import ImageError


class LoadError(Exception):
    """An artefact cannot be fetched, opened or verified; the message gives the reason. Never becomes a response."""


class PredictorError(Exception):
    """An error response: ``code`` is stable, for programs; the message is for people and never contains the payload."""

    code = "error"

    def __init__(self, message: str, instance: int | None = None):
        super().__init__(message)
        self.instance = instance  # position in "instances", counted from 0


class BadRequest(PredictorError):
    """The body violates the contract."""

    code = "bad_request"


class Unanswerable(PredictorError):
    """The contract allows the request; the model that is served cannot answer it."""

    code = "unanswerable"


class TooLarge(PredictorError):
    """The request has more bytes or instances than the limits allow."""

    code = "too_large"


class UnsupportedMediaType(PredictorError):
    """The server reads no body of this ``Content-Type`` or ``Content-Encoding``."""

    code = "unsupported_media_type"


class RequestTimeout(PredictorError):
    """The request did not arrive within the deadline."""

    code = "request_timeout"


class BadInstance(PredictorError):
    """One image cannot be used. Has the code of the image error; ``role`` names the image within its instance."""

    def __init__(self, cause: ImageError, instance: int, role: str = "the image"):
        super().__init__(str(cause) if role == "the image" else f"{role}: {cause}", instance)
        self.cause, self.code = cause, cause.code


class WriterNotOnFile(PredictorError):
    """No writer of this name is on file."""

    code = "not_enrolled"


class NotReady(PredictorError):
    """The model is still loading, or the server is shutting down."""

    code = "not_ready"


class NoModel(NotReady):
    """A development server was started without a model and has not trained one yet."""

    code = "no_model"


class Busy(PredictorError):
    """The queue is full."""

    code = "busy"


class DeadlineExceeded(PredictorError):
    """The request was not done within its deadline."""

    code = "deadline_exceeded"


class CrossSiteRequest(PredictorError):
    """A page of another site sent a request that only the page of this server may send."""

    code = "cross_site"


class TrainingRunning(PredictorError):
    """A training is running; there is one at a time."""

    code = "already_running"


def error_content(code: str, message: str, instance: int | None = None, id: str | None = None) -> dict[str, Any]:
    """Make the JSON content of an error response, which is also the prediction of an instance with an error."""
    content = {"code": code, "message": message, "instance": instance, "id": id}
    return {"error": {name: value for name, value in content.items() if value is not None}}


def error_body(code: str, message: str, instance: int | None = None, id: str | None = None) -> bytes:
    """Make the body of an error response."""
    return orjson.dumps(error_content(code, message, instance, id))
