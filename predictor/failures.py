"""Errors to responses: the one table of statuses, and the one form of a refusal. Knows no model."""

import traceback
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from predictor import wire
from predictor.errors import (
    BadInstance,
    BadRequest,
    Busy,
    Expired,
    NotReady,
    OtherSite,
    PredictorError,
    Running,
    TooLarge,
    TooSlow,
    Unanswerable,
    UnsupportedMediaType,
)
from predictor.telemetry import log
from trainer.imaging import ImageError, ImageTooLarge, NoInk, UnreadableImage

STATUS: dict[type[Exception], int] = {
    BadRequest: 400,
    Unanswerable: 400,
    UnreadableImage: 400,
    ImageError: 400,
    OtherSite: 403,
    TooSlow: 408,
    Running: 409,
    TooLarge: 413,
    ImageTooLarge: 413,
    UnsupportedMediaType: 415,
    NoInk: 422,
    Busy: 429,
    NotReady: 503,
    Expired: 503,
}
RETRY = {429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
CODES = {404: "not_found", 405: "method_not_allowed"}


def status_of(error: Exception) -> int:
    """The status of a domain error: that of its nearest class in the table."""
    cause = error.error if isinstance(error, BadInstance) else error
    return next(STATUS[kind] for kind in type(cause).__mro__ if kind in STATUS)


def answered(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; those that ask to come again say when."""
    return Response(body, status, {**RETRY.get(status, {}), **(headers or {})}, "application/json")


async def _refused(request: Request, error: Any) -> Response:
    _note(request, error.code)
    # One that is loading or stopping is not kept in touch with: the next try may reach another.
    ended = {"Connection": "close"} if isinstance(error, NotReady) else None
    return answered(wire.error(error.code, str(error), error.instance), status_of(error), ended)


async def _http(request: Request, error: Any) -> Response:
    code = CODES.get(error.status_code, "http_error")
    _note(request, code)
    return answered(wire.error(code, error.detail), error.status_code, error.headers)


async def _gone(request: Request, _: Any) -> Response:
    """The client hung up; nobody reads this answer."""
    _note(request, "client_gone")
    return Response(status_code=499)


async def _unknown(request: Request, error: Exception) -> Response:
    """A fault of ours: an id for the client, the traceback for the log."""
    record = getattr(request.state, "record", None)
    id = record.id if record else uuid.uuid4().hex
    _note(request, "internal")
    frames = "".join(traceback.format_tb(error.__traceback__))  # not the message: it may quote a request
    log("ERROR", "unexpected error", id=id, route=request.url.path, traceback=frames, kind=type(error).__name__)
    return answered(wire.error("internal", "unexpected error; the server's log has it under this id", id=id), 500)


def _note(request: Request, code: str) -> None:
    if record := getattr(request.state, "record", None):
        record.error = code


HANDLERS: dict[Any, Any] = {
    PredictorError: _refused,
    HTTPException: _http,
    ClientDisconnect: _gone,
    Exception: _unknown,
}


async def answer(request: Request, error: Exception) -> Response:
    """The refusal that an error becomes."""
    return await next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)(request, error)
