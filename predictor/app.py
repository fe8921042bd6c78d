"""HTTP over the service, and nothing more: routes, health, the one table from errors to statuses. Knows no model."""

import asyncio
import contextlib
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from predictor import wire
from predictor.errors import BadInstance, BadRequest, Busy, Expired, NotReady, PredictorError, TooLarge, TooSlow
from predictor.lanes import Lanes
from predictor.service import Service
from predictor.settings import Settings
from predictor.telemetry import log
from trainer import storage
from trainer.artifact.manifest import BadArtifact
from trainer.imaging import ImageError, ImageTooLarge, NoInk, UnreadableImage

STATUS: dict[type[Exception], int] = {
    BadRequest: 400,
    UnreadableImage: 400,
    ImageError: 400,
    TooSlow: 408,
    TooLarge: 413,
    ImageTooLarge: 413,
    NoInk: 422,
    Busy: 429,
    NotReady: 503,
    Expired: 503,
}
RETRY = {429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
CODES = {404: "not_found", 405: "method_not_allowed"}


def create_app(settings: Settings, give_up: Callable[[], None]) -> Starlette:
    """The application. It opens at once and loads its model behind; ``give_up`` is called when that fails."""
    service = Service(settings)
    lanes = Lanes(settings.threads, settings.waiting)

    async def load():
        try:
            log("INFO", "ready", **await asyncio.to_thread(service.load))
        except Exception as error:  # noqa: BLE001 - whatever it is, this server can never answer
            ours = isinstance(error, BadArtifact | storage.StorageError)  # their message says it all
            more = {} if ours else {"traceback": traceback.format_exc()}
            log("ERROR", f"the model cannot be served: {error}", model=settings.model, **more)
            give_up()

    async def drain():
        """Health says no and nothing new is taken; returns when what was taken is done."""
        service.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(lanes.idle(), settings.deadline)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        app.state.drain = drain
        loading = asyncio.create_task(load())
        yield
        loading.cancel()
        lanes.close()

    async def health(_: Request) -> Response:
        service.check_ready()
        return _json(wire.orjson.dumps({"status": "ready", **service.describe()}))

    async def predict(request: Request) -> Response:
        began = time.monotonic()
        refusal = service.reason_to_wait()  # as of now: what comes before a SIGTERM is finished after it
        try:
            body = await asyncio.wait_for(_body(request, settings.max_body_bytes), settings.deadline)
        except asyncio.TimeoutError:
            raise TooSlow(f"the request was not complete within {settings.deadline:g} s") from None
        if refusal:  # only said now: before the body has come, its sender would see a broken connection, not an answer
            raise refusal
        asked = wire.parse(body, settings.max_instances)
        answers = await _answers(service, lanes, asked, began + settings.deadline)
        log("INFO", "predict", status=200, instances=len(answers), ms=round(1000 * (time.monotonic() - began), 2))
        return _json(wire.predictions(answers))

    app = Starlette(
        routes=[
            Route(settings.health_route, health, methods=["GET"]),
            Route(settings.predict_route, predict, methods=["POST"]),
        ],
        exception_handlers={
            PredictorError: _refusal,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _unknown,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would lose the error's form, and the body
    return app


async def _answers(service: Service, lanes: Lanes, asked: wire.Request, deadline: float) -> list[dict[str, Any]]:
    """Look at every image once, answer, then explain what is to be explained."""
    images = service.images(asked)
    looks = await lanes.run_all(service.look, images, deadline)
    questions = service.questions(asked, {image.data: look for image, look in zip(images, looks, strict=True)})
    answers = [service.decide(position, question) for position, question in enumerate(questions)]
    wanted = [n for n, instance in enumerate(asked.instances) if instance.explain and "distance" in answers[n]]
    explained = await lanes.run_all(service.explain, [questions[number] for number in wanted], deadline)
    for number, explanation in zip(wanted, explained, strict=True):
        answers[number]["explanation"] = explanation
    return answers


def status_of(error: Exception) -> int:
    """The status of a domain error: that of its nearest class in the table."""
    cause = error.error if isinstance(error, BadInstance) else error
    return next(STATUS[kind] for kind in type(cause).__mro__ if kind in STATUS)


async def _body(request: Request, limit: int) -> bytes:
    """The whole body, given up as soon as it is known to be too large."""
    body = bytearray()
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the request has {int(announced):,} bytes; at most {limit:,} are accepted")
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the request has more than the accepted {limit:,} bytes")
    return bytes(body)


async def _refusal(request: Request, error: Any) -> Response:
    status = status_of(error)
    if not isinstance(error, NotReady):
        log("WARNING", str(error), status=status, code=error.code, route=request.url.path)
    return _json(wire.error(error.code, str(error), error.instance), status)


async def _http_error(_: Request, error: Any) -> Response:
    return _json(wire.error(CODES.get(error.status_code, "http_error"), error.detail), error.status_code, error.headers)


async def _gone(request: Request, _: Any) -> Response:
    """The client hung up; nobody reads this answer."""
    log("INFO", "the client left before its request was complete", route=request.url.path)
    return Response(status_code=499)


async def _unknown(request: Request, error: Exception) -> Response:
    """A fault of ours: an id for the client, the traceback for the log."""
    id = uuid.uuid4().hex
    log(
        "ERROR",
        "unexpected error",
        id=id,
        route=request.url.path,
        traceback="".join(traceback.format_tb(error.__traceback__)),
        kind=type(error).__name__,
    )
    return _json(wire.error("internal", "unexpected error; the server's log has it under this id", id=id), 500)


def _json(body: bytes, status: int = 200, headers=None) -> Response:
    return Response(body, status, {**RETRY.get(status, {}), **(headers or {})}, "application/json")
