"""HTTP over the service, and nothing more: routes, health, and the order of a request's steps. Knows no model.

Next: ``bodies.py`` reads a request, ``answering.py`` answers it, ``failures.py`` says what went wrong,
``page.py`` is what people see, ``development.py`` what only developers do.
"""

import asyncio
import contextlib
import functools
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from predictor import bodies, development, failures, openapi, page, wire
from predictor.answering import answers
from predictor.failures import answered
from predictor.lanes import Lanes
from predictor.service import CANNOT_SERVE, Service
from predictor.settings import Settings
from predictor.telemetry import Metrics, Record, log


class Server:
    """The parts of one running server, and what each route does with them."""

    def __init__(self, settings: Settings, give_up: Callable[[], None]):
        self.settings = settings
        self.service = Service(settings)
        self.lanes = Lanes(settings.threads, settings.waiting)
        self.metrics = Metrics()
        self._bodies = bodies.Bodies(settings.max_body_bytes, settings.max_waiting_bytes, settings.deadline)
        self._give_up = give_up
        self.training = development.Training(self.service) if settings.mode == "dev" else None

    @contextlib.asynccontextmanager
    async def lifespan(self, app):
        """The port is open at once; the model is loaded behind it, and ``give_up`` called when that fails.

        A development server may be started without a model: the page then trains one.
        """
        app.state.drain = self.drain
        loading = asyncio.create_task(self._load()) if self.settings.model else None
        yield
        if loading:
            loading.cancel()
        self.lanes.close()

    async def drain(self) -> None:
        """Health says no and nothing new is taken; returns when what was taken is done."""
        self.service.close()
        if self.training:
            await self.training.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.lanes.idle(), self.settings.deadline)

    async def health(self, _: Request) -> Response:
        """200 with what is served, or 503 with the reason."""
        self.service.check_ready()
        return answered(wire.orjson.dumps({"status": "ready", **self.service.describe()}))

    async def model(self, _: Request) -> Response:
        """The whole card of what is served: metrics, thresholds, limits."""
        limits = {name: getattr(self.settings, name) for name in ("max_body_bytes", "max_instances", "deadline")}
        return answered(wire.orjson.dumps({**self.service.card(), "limits": limits, "mode": self.settings.mode}))

    async def prometheus(self, _: Request) -> Response:
        """Counters in Prometheus' text form."""
        self.metrics.taken.set(self.lanes.taken)
        self.metrics.ready.set(self.service.reason_to_wait() is None)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def predict(self, request: Request) -> Response:
        """One request, from its first byte to its answer; every one has its line in the log."""
        record = request.state.record = Record(request.headers)
        try:
            response = await self._predict(request, record)
        except Exception as error:  # noqa: BLE001 - each kind has its handler; unknown ones are logged there
            response = await failures.answer(request, error)
        response.headers["X-Request-Id"] = record.id
        self.metrics.count(record, response.status_code)
        record.say(response.status_code)
        return response

    async def _predict(self, request: Request, record: Record) -> Response:
        deadline = record.began + self.settings.deadline
        bodies.check_query(request)
        async with self._bodies.whole(request, self.service.reason_to_wait()) as body:
            with record.lap("parse"):
                kind = request.headers.get("content-type", "")
                asked = await bodies.parse(body, kind, self.settings.max_instances)
            found = await _while_connected(request, answers(self.service, self.lanes, asked, deadline, record))
            with record.lap("write"):
                return answered(wire.predictions(found))

    async def _load(self) -> None:
        try:
            log("INFO", "ready", **await _beside(self.service.load))
        except Exception as error:  # noqa: BLE001 - whatever it is, this server can never answer
            more = {} if isinstance(error, CANNOT_SERVE) else {"traceback": traceback.format_exc()}
            log("ERROR", f"the model cannot be served: {error}", model=self.settings.model, **more)
            self._give_up()


def create_app(settings: Settings, give_up: Callable[[], None]) -> Starlette:
    """The application. It opens at once and loads its model behind; ``give_up`` is called when that fails."""
    server = Server(settings, give_up)
    training = server.training
    developing = development.routes(training, settings.max_upload_bytes) if training else []
    routes: list[BaseRoute] = [
        Route(settings.health_route, server.health),
        Route(settings.predict_route, server.predict, methods=["POST"]),
        Route("/model", server.model),
        Route("/metrics", server.prometheus),
        Route("/openapi.json", functools.partial(openapi.answer, settings)),
        *page.routes(settings, docs=any(getattr(route, "path", "") == "/docs" for route in developing)),
        *developing,
    ]
    app = Starlette(routes=routes, exception_handlers=failures.HANDLERS, lifespan=server.lifespan)
    app.router.redirect_slashes = False  # a redirect would lose the error's form, and the body
    return app


def _beside(work: Callable[[], Any]) -> asyncio.Future:
    """The result of work on a thread of its own that nobody waits for when the server is told to stop."""
    loop = asyncio.get_running_loop()
    result = loop.create_future()

    def settle(value: Any, error: Exception | None) -> None:
        if not result.done():
            result.set_exception(error) if error else result.set_result(value)

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except Exception as raised:  # noqa: BLE001 - told to whoever awaits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name="loading", daemon=True).start()
    return result


async def _while_connected(request: Request, answering: Awaitable):
    """The answer, given up when the client is gone: its place belongs to others. Raises ``ClientDisconnect``."""
    task = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(request.receive())  # the body has come: the next message is that the client left
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        del task, gone  # an error refers to this frame, and the task to the error: see ``Lanes.run_all``
