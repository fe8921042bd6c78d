"""What only developers do (``ENV_MODE=dev``): train from the page and serve the result; interactive docs.

``trainer.task`` runs as a process of its own, so this one never loads TensorFlow. Knows no model. Next: ``uploads.py``.
"""

import asyncio
import collections
import contextlib
import importlib.util
import ipaddress
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from predictor import uploads
from predictor.errors import BadRequest, NotReady, OtherSite, Running
from predictor.failures import answered
from predictor.service import CANNOT_SERVE, Service
from predictor.uploads import Upload

EPOCH = re.compile(r"epoch (\d+)/(\d+)")
LINES = 200  # of the trainer's output, kept for who looks later
RUNS = Path(os.environ.get("COUNTERSIGN_RUNS", "runs"))  # where trainer.pipeline.run_dir looks for the last one
LONGEST_LINE = 1 << 20  # bytes that the trainer says at once
PATIENCE = 10.0  # seconds that a stopping server waits for the trainer


class Training:
    """At most one ``trainer.task`` at a time, and what it has said."""

    def __init__(self, service: Service):
        self._service = service
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task | None = None
        self._changed = asyncio.Event()
        self._said: collections.deque[str] = collections.deque(maxlen=LINES)
        self._closed = False
        self.state: dict[str, Any] = {"state": "idle", "problems": _problems()}

    def check_idle(self) -> None:
        """Raises ``Running``, or ``NotReady`` when the server is stopping."""
        if self._closed:
            raise NotReady("the server is shutting down")
        if self.state["state"] in ("running", "cancelling"):
            raise Running("a training is running already; cancel it first")

    async def start(self, settings: dict[str, Any], upload: Upload | None = None) -> None:
        """Begin with these settings of ``trainer.task``, on an upload if there is one. Raises as ``check_idle``.

        What was uploaded, and what the trainer unpacks of it, is deleted when the training ends.
        """
        try:
            self.check_idle()
            job = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-page"
            self._said.clear()
            # Said before anything is waited for: another request may come in between.
            self._tell(state="running", settings=settings, job_dir=str(job), epoch=0, epochs=0, began=time.time())
            self._process = await self._begin(job, settings, upload)
        except BaseException:
            if upload:
                upload.delete()
            raise
        self._following = asyncio.create_task(self._follow(self._process, job, upload))

    async def _begin(self, job: Path, settings: dict[str, Any], upload: Upload | None) -> asyncio.subprocess.Process:
        """The trainer as a process. Raises ``BadRequest`` when it cannot be started."""
        given = {**settings, "train_dir": str(upload.archive)} if upload else settings
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value not in ("", None)]
        environment = {**os.environ, "COUNTERSIGN_CACHE": str(upload.cache)} if upload else None
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "trainer.task", f"--job-dir={job}", *flags, limit=LONGEST_LINE, env=environment,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except BaseException as error:
            self._tell(state="idle")
            if isinstance(error, OSError | ValueError):
                text = f"the trainer cannot be started with these settings: {type(error).__name__}"
                raise BadRequest(text) from None
            raise

    async def cancel(self) -> None:
        """Ask the trainer to stop; it keeps its checkpoint. Returns when it has."""
        if self._process and self._process.returncode is None:
            self._tell(state="cancelling")
            self._process.send_signal(signal.SIGTERM)
        if self._following:
            await self._following

    async def close(self) -> None:
        """The server stops: streams end, and what was begun here does not go on by itself."""
        self._closed = True
        self._tell()
        try:
            await asyncio.wait_for(self.cancel(), PATIENCE)
        except asyncio.TimeoutError:
            if self._process:
                self._process.kill()

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events: the state as it is now, then at every change."""
        while not self._closed:
            changed = self._changed
            yield b"data: " + orjson.dumps(self.now()) + b"\n\n"
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), 15)  # a sign of life for proxies

    def now(self) -> dict[str, Any]:
        """The state and the last lines."""
        return {**self.state, "lines": list(self._said)}

    async def _follow(self, process: asyncio.subprocess.Process, job: Path, upload: Upload | None) -> None:
        try:
            await self._listen(process, job)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on and the next training may begin
            self._said.append(f"{type(error).__name__}: {error}")
            self._tell(state="failed")
            if process.returncode is None:
                process.kill()
        finally:
            if upload:
                await asyncio.to_thread(upload.delete)

    async def _listen(self, process: asyncio.subprocess.Process, job: Path) -> None:
        if process.stdout:
            async for line in process.stdout:
                self._said.append(line.decode(errors="replace").rstrip())
                found = EPOCH.search(self._said[-1])
                self._tell(**({"epoch": int(found[1]), "epochs": int(found[2])} if found else {}))
        failed = await process.wait()
        if self.state["state"] == "cancelling":
            self._tell(state="cancelled")
        elif failed:
            self._tell(state="failed", status=failed)
        else:
            await self._serve(job)

    async def _serve(self, job: Path) -> None:
        try:
            loaded = await asyncio.to_thread(self._service.load, str(job / "model"))
            self._tell(state="done", version=loaded["version"])
        except CANNOT_SERVE as error:
            self._said.append(str(error))
            self._tell(state="failed")

    def _tell(self, **changes: Any) -> None:
        self.state = {**self.state, **changes}
        self._changed.set()
        self._changed = asyncio.Event()


def routes(training: Training, max_upload_bytes: int) -> list[BaseRoute]:
    """``/train`` and ``/docs``."""

    async def train(request: Request) -> Response:
        _check_site(request)
        if request.method == "GET":
            if "text/event-stream" in request.headers.get("accept", ""):
                return StreamingResponse(training.events(), media_type="text/event-stream")
            return answered(orjson.dumps(training.now()))
        if request.method == "DELETE":
            await training.cancel()
            return answered(orjson.dumps(training.now()))
        training.check_idle()
        await training.start(*await uploads.read(request, max_upload_bytes))
        return answered(orjson.dumps(training.now()), 202)

    return [Route("/train", train, methods=["GET", "POST", "DELETE"]), *_docs()]


def _check_site(request: Request) -> None:
    """Any page that a developer visits may send requests here; only this server's own may train."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if origin and origin.split("://")[-1] != host:
        raise OtherSite("asked by another site's page")
    name = host.rsplit(":", 1)[0].strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if name != "localhost":  # a name that somebody else may point at this machine
            raise OtherSite("training is asked for at localhost or at an address, not at a name") from None


def _problems() -> list[str]:
    """What can be trained: the files of ``trainer/problems``, where the trainer is installed."""
    try:
        found = importlib.util.find_spec("trainer.problems")
    except ModuleNotFoundError:
        return []
    folders = list(found.submodule_search_locations or ()) if found else []
    return sorted(path.stem for folder in folders for path in Path(folder).glob("[a-z]*.py"))


def _docs() -> list[BaseRoute]:
    """Swagger UI from its package, so that it works offline; nothing where that is not installed."""
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
