"""The HTTP server of a ``World``, with faults: ``with Loopback() as cloud: cloud.fail("DeployModel", "lost")``.

A fault applies to the next calls of a method: an error of the API (``fails``, ``forbidden``, ``quota``, ``too many
requests``, ``unavailable``), an operation that ends with an error (``operation fails``), a connection that breaks
before the call takes effect (``dropped``) or after (``lost``; ``lost 503`` answers with that status), a server that
does not answer until ``released`` is set (``silent``), or calls that wait until there are two (``together``).
"""

import contextlib
import http.server
import json
import re
import threading
import urllib.parse
from typing import Any

from google.protobuf import json_format

from tests.loopback import cloud_run, routes
from tests.loopback.resources import Refused
from tests.loopback.world import World

ERRORS = {
    "fails": (500, "INTERNAL", "Internal error encountered."),
    "forbidden": (403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.deploy' denied."),
    "quota": (
        429,
        "RESOURCE_EXHAUSTED",
        "The following quotas are exceeded: CustomModelServingCPUsPerProjectPerRegion",
    ),
    "too many requests": (
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Resource management (CRUD) requests' and limit "
        "'Resource management (CRUD) requests per minute per region' of service 'aiplatform.googleapis.com'.",
    ),
    "unavailable": (503, "UNAVAILABLE", "The service is currently unavailable."),
}
FAULTS = {*ERRORS, "operation fails", "dropped", "lost", "lost 503", "silent", "together"}


class Loopback:
    """A running loopback Vertex AI; ``world`` is its state."""

    def __init__(self, machines: Any = None):
        self.world = World(machines)
        self.released = threading.Event()
        self.barrier = threading.Barrier(2)
        self.builds: list[dict[str, Any]] = []  # the builds submitted to Cloud Build
        self.cloud_run = cloud_run.CloudRun()
        self.alerting: dict[str, list[dict[str, Any]]] = {"metrics": [], "alertPolicies": []}
        self.written: list[dict[str, Any]] = []  # entries that clients wrote to Cloud Logging
        self.log_page_size = 1000  # entries of Cloud Logging in one reply
        self._faults: list[list[Any]] = []
        owner = self

        class Handler(_Handler):
            loopback = owner

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, rpc: str, kind: str, times: int = 1, skip: int = 0) -> None:
        """Plan a fault for the next calls of a method, after ``skip`` good calls."""
        assert kind in FAULTS
        self._faults.append([rpc, kind, times, skip])

    def clear_faults(self) -> None:
        """Forget all faults that are planned."""
        self._faults.clear()

    def take_fault(self, rpc: str) -> str | None:
        """Return the fault for a call and count it as used."""
        for fault in self._faults:
            if fault[0] == rpc and fault[2]:
                if fault[3]:
                    fault[3] -= 1
                    continue
                fault[2] -= 1
                return fault[1]
        return None

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        if self.world.machines:
            self.world.machines.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        if url.path == "/v2/entries:list":
            if fault := self.loopback.take_fault("logs"):
                return self._answer(ERRORS[fault][0], _error(*ERRORS[fault]))
            return self._logs(json.loads(body))
        path = urllib.parse.unquote(url.path)
        if url.path == "/v2/entries:write":
            self.loopback.written += json.loads(body)["entries"]
            return self._answer(200, {})
        if alerting := re.fullmatch(r"/v[23]/projects/[^/]+/(metrics|alertPolicies)", path):
            return self._create_alerting(path, alerting[1], json.loads(body))
        if cloud_run.is_mine(path):
            return self._answer(*self.loopback.cloud_run.answer(self.command, path, json.loads(body or b"{}")))
        if "/builds" in path:
            return self._build(json.loads(body) if body else None)
        route_match = routes.find(self.command, path)
        if route_match is None:
            return self._answer(404, _error(404, "NOT_FOUND", f"no method at {self.command} {path}"))
        route, match = route_match
        self.loopback.world.calls.append(route.rpc)
        fault = self.loopback.take_fault(route.rpc)
        if fault in ERRORS:
            return self._answer(ERRORS[fault][0], _error(*ERRORS[fault]))
        if fault == "silent":
            self.loopback.released.wait(60)
        if fault == "together":
            self.loopback.barrier.wait(30)
        if fault == "dropped":
            return self._drop()
        try:
            content = json.loads(body) if body else None
            request = route.request(match, query, content)
            response = self.loopback.world.call(route, request, path, fault == "operation fails")
        except (routes.BadRequest, ValueError) as error:
            return self._answer(400, _error(400, "INVALID_ARGUMENT", str(error)))
        except Refused as error:
            return self._answer(error.code, _error(error.code, error.status, str(error)))
        if fault == "lost":
            return self._drop()
        if fault == "lost 503":
            return self._answer(503, _error(*ERRORS["unavailable"]))
        return self._answer(200, response)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def _build(self, submitted: dict[str, Any] | None) -> None:
        """Answer as Cloud Build: accept a build whose fields its messages have, and report success."""
        from google.cloud.devtools import cloudbuild_v1

        builds = self.loopback.builds
        if submitted is not None:
            message = cloudbuild_v1.Build()
            try:
                json_format.ParseDict(submitted, cloudbuild_v1.Build.pb(message))
            except json_format.ParseError as error:
                return self._answer(400, _error(400, "INVALID_ARGUMENT", str(error)))
            builds.append(submitted)
        build = {"id": f"b-{len(builds)}", "projectId": "my-project", "status": "SUCCESS", "logUrl": "http://nowhere"}
        build |= {"options": {"logging": "CLOUD_LOGGING_ONLY"}, "createTime": "2026-01-01T00:00:00Z"}
        kind = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
        operation = {"name": f"operations/build/my-project/{build['id']}", "metadata": {"@type": kind, "build": build}}
        return self._answer(200, operation if submitted is not None else build)

    def _create_alerting(self, path: str, kind: str, created: dict[str, Any]) -> None:
        """Answer as Cloud Logging and Cloud Monitoring do, which refuse fields that they do not have."""
        from tests.loopback import alerting

        try:
            alerting.check(kind, created)
        except json_format.ParseError as error:
            return self._answer(400, _error(400, "INVALID_ARGUMENT", str(error)))
        self.loopback.alerting[kind].append(created)
        return self._answer(200, {**created, "name": created.get("name", f"{path[4:]}/1")})

    def _logs(self, body: dict[str, Any]) -> None:
        wanted = dict(re.findall(r'resource\.labels\.(\w+)="([^"]*)"', body["filter"]))
        entries = [entry for entry in self.loopback.world.logs if wanted.items() <= entry["resource"]["labels"].items()]
        if after := re.search(r'timestamp>="([^"]*)"', body["filter"]):
            entries = [entry for entry in entries if entry["timestamp"] >= after[1]]
        start, size = int(body.get("pageToken", 0)), self.loopback.log_page_size
        more = {"nextPageToken": str(start + size)} if start + size < len(entries) else {}
        self._answer(200, {"entries": entries[start : start + size], **more})

    def _answer(self, status: int, response: Any) -> None:
        pb = type(response).pb(response) if hasattr(type(response), "pb") else response
        content = json.dumps(pb if isinstance(pb, dict) else json_format.MessageToDict(pb)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        pass


def _error(code: int, status: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message}}
