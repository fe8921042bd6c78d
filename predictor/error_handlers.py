"""Turn exceptions into error responses, by one table of statuses. Independent of models.

Next: ``errors.py``, the domain errors.
"""

import traceback
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from predictor.errors import (
    BadInstance,
    BadRequest,
    Busy,
    CrossSiteRequest,
    DeadlineExceeded,
    NotReady,
    PredictorError,
    RequestTimeout,
    TooLarge,
    TrainingRunning,
    Unanswerable,
    UnsupportedMediaType,
    WriterNotOnFile,
    error_body,
)
from predictor.responses import make_json_response
from predictor.telemetry import log
from trainer.enrolment.errors import EnrolmentError
from trainer.imaging.errors import ImageError, ImageTooLarge, NoInk, UnreadableImage

STATUS: dict[type[Exception], int] = {
    BadRequest: 400,
    Unanswerable: 400,
    UnreadableImage: 400,
    ImageError: 400,
    CrossSiteRequest: 403,
    RequestTimeout: 408,
    TrainingRunning: 409,
    TooLarge: 413,
    ImageTooLarge: 413,
    UnsupportedMediaType: 415,
    NoInk: 422,
    WriterNotOnFile: 422,
    Busy: 429,
    NotReady: 503,
    DeadlineExceeded: 503,
}
CODES = {404: "not_found", 405: "method_not_allowed"}


def get_status(error: Exception) -> int:
    """Return the status of a domain error: that of its nearest base class in the table."""
    cause = error.cause if isinstance(error, BadInstance) else error
    return next(STATUS[base] for base in type(cause).__mro__ if base in STATUS)


async def handle_error(request: Request, error: Exception) -> Response:
    """Respond to a request that raised an exception."""
    handler = next(EXCEPTION_HANDLERS[base] for base in type(error).__mro__ if base in EXCEPTION_HANDLERS)
    return await handler(request, error)


async def _handle_predictor_error(request: Request, error: PredictorError) -> Response:
    _log_code(request, error.code)
    # A server that is loading or stopping closes the connection: the retry may reach another server.
    headers = {"Connection": "close"} if isinstance(error, NotReady) else None
    return make_json_response(error_body(error.code, str(error), error.instance), get_status(error), headers)


async def _handle_unreadable_people(request: Request, error: EnrolmentError) -> Response:
    """Respond while the file of the writers on file is damaged; the log says how, and names its path."""
    _log_code(request, "people_unreadable")
    log("ERROR", f"the writers on file cannot be read: {error}")
    message = "the writers on file cannot be read at this moment; the server's log says why"
    return make_json_response(error_body("people_unreadable", message), 503)


async def _handle_http_exception(request: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, "http_error")
    _log_code(request, code)
    return make_json_response(error_body(code, error.detail), error.status_code, error.headers)


async def _handle_disconnect(request: Request, _: ClientDisconnect) -> Response:
    """Respond to a client that closed the connection: nobody reads it, the log needs its status."""
    _log_code(request, "client_gone")
    return Response(status_code=499)


async def _handle_unexpected(request: Request, error: Exception) -> Response:
    """Respond to a fault of the server: the client gets an id, the log the traceback."""
    request_log = getattr(request.state, "log", None)
    id = request_log.id if request_log else uuid.uuid4().hex
    _log_code(request, "internal")
    frames = "".join(traceback.format_tb(error.__traceback__))  # without the message, which may quote a request
    log("ERROR", "unexpected error", id=id, route=request.url.path, traceback=frames, kind=type(error).__name__)
    return make_json_response(
        error_body("internal", "unexpected error; the server's log has it under this id", id=id), 500
    )


def _log_code(request: Request, code: str) -> None:
    if request_log := getattr(request.state, "log", None):
        request_log.error_code = code


EXCEPTION_HANDLERS: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    PredictorError: _handle_predictor_error,
    EnrolmentError: _handle_unreadable_people,
    HTTPException: _handle_http_exception,
    ClientDisconnect: _handle_disconnect,
    Exception: _handle_unexpected,
}
