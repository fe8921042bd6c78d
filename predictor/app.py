"""HTTP routes over the service: predictions, health, description, metrics and the page. Independent of models.

A request passes six stations in order: this module, ``schema.py`` (parse), ``Service.answer``, ``Executor``,
``Artifact.encode`` and ``Artifact.decide``. Next: ``request_body.py`` reads a body, ``error_handlers.py`` turns
exceptions into responses, ``page.py`` serves the page, ``development.py`` adds the routes of mode ``dev``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from predictor import development, error_handlers, openapi, page, request_body, schema
from predictor.admission import Admission
from predictor.errors import LoadError, UnsupportedMediaType
from predictor.people_routes import PeopleRoutes
from predictor.responses import make_json_response
from predictor.telemetry import Metrics, RequestLog, log
from trainer.enrolment.errors import EnrolmentError

if TYPE_CHECKING:
    from predictor.service import Service
    from predictor.settings import Settings

_Result = TypeVar("_Result")


class PredictionServer:
    """One server: its service, metrics and body reader, with one handler for each route."""

    def __init__(self, settings: Settings, service: Service, on_load_failure: Callable[[], None]):
        self.settings = settings
        self.service = service
        self.metrics = Metrics()
        executor = service.executor
        self.admission = Admission(
            settings.predict_route, executor.capacity, lambda: executor.in_flight, self._report_refusals
        )
        self.training = development.TrainingProcess(service.load) if settings.mode == "dev" else None
        limits = settings.max_body_bytes, settings.max_waiting_bytes
        self.body_reader = request_body.BodyReader(*limits, timeout=settings.deadline)
        self._on_load_failure = on_load_failure

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Load the artefact in the background while the server runs; call ``on_load_failure`` when that fails.

        A development server may start without an artefact: the page then trains one.
        """
        app.state.drain = self.drain
        tasks = [asyncio.create_task(self._load())] if self.settings.artifact else []
        if self.settings.people:
            tasks.append(asyncio.create_task(self._follow_people()))
        yield
        for task in tasks:
            task.cancel()
        self.service.executor.close()

    async def drain(self) -> None:
        """Report not ready, refuse new requests, and return when the accepted ones are answered."""
        self.service.close()
        if self.training:
            await self.training.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.service.executor.wait_until_idle(), self.settings.deadline)

    async def health(self, _: Request) -> Response:
        """Respond with 200 and a description of the models, or with 503 and the reason."""
        self.service.check_ready()
        return make_json_response(orjson.dumps({"status": "ready", **self.service.models.describe()}))

    async def model(self, _: Request) -> Response:
        """Respond with the full description of the models: metrics, thresholds, limits."""
        limits = {name: getattr(self.settings, name) for name in ("max_body_bytes", "max_instances", "deadline")}
        content = {**self.service.models.describe_in_full(), "limits": limits, "mode": self.settings.mode}
        return make_json_response(orjson.dumps(content))

    async def prometheus(self, _: Request) -> Response:
        """Respond with the metrics in Prometheus' text format."""
        self.metrics.in_flight.set(self.service.executor.in_flight)
        self.metrics.ready.set(self.service.unavailable_reason() is None)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def predict(self, request: Request) -> Response:
        """Answer one request, from its first byte to its response, and write its line to the log."""
        request_log = request.state.log = RequestLog(request.headers)
        self.admission.begin()
        try:
            response = await self._predict(request, request_log)
        except Exception as error:  # noqa: BLE001 - each class has its handler; unexpected ones are logged there
            response = await error_handlers.handle_error(request, error)
        finally:
            self.admission.end()
        response.headers["X-Request-Id"] = request_log.id
        self.metrics.observe(request_log, response.status_code)
        request_log.write(response.status_code)
        return response

    async def _predict(self, request: Request, request_log: RequestLog) -> Response:
        expires_at = request_log.started_at + self.settings.deadline
        request_body.check_query(request)
        async with self.body_reader.read(request, self.service.unavailable_reason()) as body:
            with request_log.measure("parse"):
                parsed = await parse_body(body, request, self.settings.max_instances)
            rows = await _while_connected(request, self.service.answer(parsed, expires_at, request_log))
            with request_log.measure("write"):
                content = orjson.dumps({"predictions": rows}, option=orjson.OPT_SERIALIZE_NUMPY)
                return make_json_response(content)

    def _report_refusals(self, count: int) -> None:
        """Count requests that were refused before they were read, and log them as one line."""
        self.metrics.requests.labels("429").inc(count)
        log("WARNING", "refused before they were read: the queue is full", requests=count)

    async def _follow_people(self) -> None:
        """Notice changes of the file of writers as long as the server runs; after an error it keeps those it has."""
        if self.service.people and (warning := self.service.people.find_permissive()):
            log("WARNING", f"writers on file: {warning}")
        failure = ""
        while True:
            await asyncio.sleep(self.settings.people_reload)
            try:
                if await asyncio.to_thread(self.service.reload_people):
                    log("INFO", "writers on file reloaded", **self.service.models.describe_in_full()["people"])
                failure = ""
            except EnrolmentError as error:
                if str(error) != failure:  # once, not every few seconds
                    log("ERROR", f"the writers on file cannot be reloaded, the previous ones answer: {error}")
                failure = str(error)

    async def _load(self) -> None:
        named = {"artifact": self.settings.artifact}
        beside = {"verifier_artifact": self.settings.verifier, "classifier_artifact": self.settings.classifier}
        named.update({name: path for name, path in beside.items() if path})
        try:
            log("INFO", "ready", **named, **await _run_on_daemon_thread(self.service.load))
        except Exception as error:  # noqa: BLE001 - after any error this server can never answer
            fields = {} if isinstance(error, LoadError) else {"traceback": traceback.format_exc()}
            log("ERROR", f"the model cannot be served: {error}", **named, **fields)
            self._on_load_failure()


async def parse_body(body: bytearray, request: Request, max_instances: int) -> schema.ParsedRequest:
    """Parse a body by its ``Content-Type``. Raises ``UnsupportedMediaType``, ``BadRequest`` or ``TooLarge``."""
    media_type = request_body.get_media_type(request.headers)
    if request_body.is_json(media_type):
        return schema.parse_json(body, max_instances)
    if media_type.startswith(request_body.IMAGE_PREFIX) or media_type == request_body.PDF:
        return schema.from_image(bytes(body))
    if media_type == request_body.MULTIPART:
        return schema.from_form(*await request_body.read_form(body, request.headers["content-type"], max_instances))
    expected = f"{request_body.JSON}, {request_body.MULTIPART}, image/* or {request_body.PDF}"
    raise UnsupportedMediaType(f"the Content-Type is {media_type[:80]!r}; it has to be {expected}")


def create_app(settings: Settings, service: Service, on_load_failure: Callable[[], None]) -> Starlette:
    """Create the application; it loads its model in the background and calls ``on_load_failure`` when that fails."""
    server = PredictionServer(settings, service, on_load_failure)
    training = server.training
    development_routes = development.make_routes(training, settings.max_upload_bytes) if training else []
    if settings.mode == "dev" and service.people:
        development_routes += PeopleRoutes(service, service.people, settings, server.body_reader).make_routes()
    has_docs = any(getattr(route, "path", "") == "/docs" for route in development_routes)
    routes: list[BaseRoute] = [
        Route(settings.health_route, server.health),
        Route(settings.predict_route, server.predict, methods=["POST"]),
        Route("/model", server.model),
        Route("/metrics", server.prometheus),
        Route("/openapi.json", functools.partial(openapi.serve_document, settings)),
        *page.make_routes(settings, has_docs),
        *development_routes,
    ]
    app = Starlette(routes=routes, exception_handlers=error_handlers.EXCEPTION_HANDLERS, lifespan=server.lifespan)
    app.state.admission = server.admission
    app.router.redirect_slashes = False  # a redirect would lose the body and the form of errors
    return app


def _run_on_daemon_thread(work: Callable[[], _Result]) -> asyncio.Future[_Result]:
    """Run work on a daemon thread, which the process does not wait for at its exit; return its future result."""
    loop = asyncio.get_running_loop()
    result = loop.create_future()

    def settle(value: Any, error: Exception | None) -> None:
        if not result.done():
            result.set_exception(error) if error else result.set_result(value)

    def run() -> None:
        value: Any = None
        error: Exception | None = None
        try:
            value = work()
        except Exception as raised:  # noqa: BLE001 - set on the future
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name="loading", daemon=True).start()
    return result


async def _while_connected(request: Request, answer: Awaitable[_Result]) -> _Result:
    """Await the answer; cancel it when the client disconnects, which frees its slots. Raises ``ClientDisconnect``."""
    task = asyncio.ensure_future(answer)
    disconnect = asyncio.ensure_future(request.receive())  # the body has arrived: the next message is the disconnect
    try:
        await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        disconnect.cancel()
        del task, disconnect  # an error refers to this frame, and the task to the error: see ``Reservation.run_all``
