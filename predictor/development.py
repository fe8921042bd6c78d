"""Routes of mode ``dev`` only: train from the page and serve the result; interactive documentation.

``trainer.task`` runs as a separate process, so that the server never loads TensorFlow. Independent of models. Next:
``train_request.py``, which parses a request to train.
"""

import asyncio
import collections
import contextlib
import importlib.util
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from predictor.blas_threads import get_unlimited_environment
from predictor.errors import BadRequest, LoadError, NotReady, TrainingRunning
from predictor.responses import make_json_response
from predictor.same_site import check_site
from predictor.train_request import Upload, read_train_request

EPOCH = re.compile(r"epoch (\d+)/(\d+)")
MAX_LINES = 200  # of the trainer's output that are kept for pages opened later
RUNS = Path(os.environ.get("COUNTERSIGN_RUNS", "runs"))  # where trainer.pipeline.run_dir searches the last run
MAX_LINE_BYTES = 1 << 20
KEEP_ALIVE = 15  # seconds after which an event is repeated, because proxies close idle connections
STOP_TIMEOUT = 10.0  # seconds that a stopping server waits for the trainer


class TrainingProcess:
    """At most one process of ``trainer.task`` at a time, and its output. ``load`` serves the artefact at a path."""

    def __init__(self, load: Callable[[str], dict[str, Any]]):
        self._load = load
        self._process: asyncio.subprocess.Process | None = None
        self._follower: asyncio.Task | None = None
        self._changed = asyncio.Event()
        self._lines: collections.deque[str] = collections.deque(maxlen=MAX_LINES)
        self._is_closed = False
        self.state: dict[str, Any] = {"state": "idle", "problems": _list_problems()}

    def check_idle(self) -> None:
        """Raise ``TrainingRunning``, or ``NotReady`` when the server is stopping."""
        if self._is_closed:
            raise NotReady("the server is shutting down")
        if self.state["state"] in ("running", "cancelling"):
            raise TrainingRunning("a training is running already; cancel it first")

    async def start(self, settings: dict[str, Any], upload: Upload | None = None) -> None:
        """Start to train with these settings of ``trainer.task``, on the upload if there is one.

        The upload and its unpacked files are deleted when the training ends. Raises as ``check_idle``, and
        ``BadRequest`` when the process cannot be started.
        """
        try:
            self.check_idle()
            job_dir = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-page"
            self._lines.clear()
            # Set before the first await, where another request may run.
            self._update(
                state="running", settings=settings, job_dir=str(job_dir), epoch=0, epochs=0, started_at=time.time()
            )
            self._process = await self._start_process(job_dir, settings, upload)
        except BaseException:
            if upload:
                upload.delete()
            raise
        self._follower = asyncio.create_task(self._follow(self._process, job_dir, upload))

    async def _start_process(
        self, job_dir: Path, settings: dict[str, Any], upload: Upload | None
    ) -> asyncio.subprocess.Process:
        """Start the trainer. Raises ``BadRequest`` when that fails."""
        values = {**settings, "train_dir": str(upload.archive)} if upload else settings
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value not in ("", None)]
        environment = get_unlimited_environment()  # one training runs alone, on all cores
        if upload:
            environment["COUNTERSIGN_CACHE"] = str(upload.cache)
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "trainer.task", f"--job-dir={job_dir}", *flags),
                limit=MAX_LINE_BYTES,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException as error:
            self._update(state="idle")
            if isinstance(error, OSError | ValueError):
                message = f"the trainer cannot be started with these settings: {type(error).__name__}"
                raise BadRequest(message) from None
            raise

    async def cancel(self) -> None:
        """Stop the trainer, which keeps its checkpoint; return when it has stopped."""
        if self._process and self._process.returncode is None:
            self._update(state="cancelling")
            self._process.send_signal(signal.SIGTERM)
        if self._follower:
            await self._follower

    async def close(self) -> None:
        """End the streams of events and stop the trainer, because the server stops."""
        self._is_closed = True
        self._update()
        try:
            await asyncio.wait_for(self.cancel(), STOP_TIMEOUT)
        except asyncio.TimeoutError:
            if self._process:
                self._process.kill()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield server-sent events: the current state, then the state after every change."""
        while not self._is_closed:
            changed = self._changed
            yield b"data: " + orjson.dumps(self.snapshot()) + b"\n\n"
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE)

    def snapshot(self) -> dict[str, Any]:
        """Return the state and the last lines of output."""
        return {**self.state, "lines": list(self._lines)}

    async def _follow(self, process: asyncio.subprocess.Process, job_dir: Path, upload: Upload | None) -> None:
        try:
            await self._read_output(process, job_dir)
        except Exception as error:  # noqa: BLE001 - after any error the server goes on, and the next training may start
            self._lines.append(f"{type(error).__name__}: {error}")
            self._update(state="failed")
            if process.returncode is None:
                process.kill()
        finally:
            if upload:
                await asyncio.to_thread(upload.delete)

    async def _read_output(self, process: asyncio.subprocess.Process, job_dir: Path) -> None:
        if process.stdout:
            async for line in process.stdout:
                self._lines.append(line.decode(errors="replace").rstrip())
                match = EPOCH.search(self._lines[-1])
                self._update(**({"epoch": int(match[1]), "epochs": int(match[2])} if match else {}))
        exit_status = await process.wait()
        if self.state["state"] == "cancelling":
            self._update(state="cancelled")
        elif exit_status:
            self._update(state="failed", exit_status=exit_status)
        else:
            await self._serve(job_dir)

    async def _serve(self, job_dir: Path) -> None:
        try:
            description = await asyncio.to_thread(self._load, str(job_dir / "model"))
            self._update(state="done", version=description["version"])
        except LoadError as error:
            self._lines.append(str(error))
            self._update(state="failed")

    def _update(self, **changes: Any) -> None:
        self.state = {**self.state, **changes}
        self._changed.set()
        self._changed = asyncio.Event()


def make_routes(training: TrainingProcess, max_upload_bytes: int) -> list[BaseRoute]:
    """Make the routes ``/train`` and ``/docs``."""

    async def train(request: Request) -> Response:
        check_site(request)
        if request.method == "GET":
            if "text/event-stream" in request.headers.get("accept", ""):
                return StreamingResponse(training.events(), media_type="text/event-stream")
            return make_json_response(orjson.dumps(training.snapshot()))
        if request.method == "DELETE":
            await training.cancel()
            return make_json_response(orjson.dumps(training.snapshot()))
        training.check_idle()
        await training.start(*await read_train_request(request, max_upload_bytes))
        return make_json_response(orjson.dumps(training.snapshot()), 202)

    return [Route("/train", train, methods=["GET", "POST", "DELETE"]), *_make_docs_routes()]


def _list_problems() -> list[str]:
    """List the problems: the files of ``trainer/problems``, or none where the trainer is not installed."""
    try:
        spec = importlib.util.find_spec("trainer.problems")
    except ModuleNotFoundError:
        return []
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return sorted(path.stem for folder in folders for path in Path(folder).glob("[a-z]*.py"))


def _make_docs_routes() -> list[BaseRoute]:
    """Make the routes of Swagger UI, from its package so that it works offline; none where it is not installed."""
    try:
        from swagger_ui_bundle import swagger_ui_path
    except ModuleNotFoundError:
        return []
    page = (
        "<!doctype html><title>Countersign: API</title><link rel=stylesheet href=/docs/ui/swagger-ui.css>"
        "<div id=ui></div><script src=/docs/ui/swagger-ui-bundle.js></script>"
        "<script>SwaggerUIBundle({url: '/openapi.json', dom_id: '#ui'})</script>"
    )

    async def docs(_: Request) -> Response:
        return HTMLResponse(page)

    return [Route("/docs", docs), Mount("/docs/ui", StaticFiles(directory=swagger_ui_path))]
