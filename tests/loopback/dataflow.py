"""Dataflow on loopback, for the real client of Beam: a job is run here by Beam's local runner, from what was staged.

The service reads the pipeline that the client staged on Cloud Storage (the emulator) and runs it in a thread, so that a
job ends as its pipeline does. Requests are parsed as the API's messages, which refuse unknown fields.
"""

import contextlib
import http.server
import json
import re
import threading
import traceback
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
from google.cloud import dataflow
from google.protobuf import json_format

from trainer.storage import remote_files

JOBS = re.compile(r"/v1b3/projects/[^/]+/locations/[^/]+/jobs(/(?P<id>[^/]+))?(/(?P<part>\w+))?")


class DataflowService:
    """A running service: ``jobs`` by id, as JSON, in the order in which they were created.

    ``polled`` are the ids of those whose state a client has asked for.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.polled: set[str] = set()
        self.errors: dict[str, str] = {}
        self.counters: dict[str, list[dict[str, Any]]] = {}
        self.threads: list[threading.Thread] = []

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer one request."""
        match = JOBS.fullmatch(path.partition("?")[0])
        if not match:
            return 404, {"error": {"code": 404, "message": f"no method at {path}"}}
        if method == "POST" and not match["id"]:
            return 200, self._create(body)
        if method == "PUT":  # a request to cancel, which takes effect at once here
            json_format.ParseDict(body, dataflow.Job.pb(dataflow.Job()))
            self.jobs[match["id"]] |= {"requestedState": "cancelled", "currentState": "JOB_STATE_CANCELLED"}
            return 200, {"id": match["id"], "currentState": "JOB_STATE_CANCELLED"}
        if match["part"] == "messages":
            error = self.errors.get(match["id"])
            message = {"id": "1", "messageText": error, "messageImportance": "JOB_MESSAGE_ERROR"}
            return 200, {"jobMessages": [message] if error else []}
        if match["part"] == "metrics":
            return 200, {"metrics": self.counters.get(match["id"], [])}
        self.polled.add(match["id"])
        return 200, self.jobs[match["id"]]

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        json_format.ParseDict(body, dataflow.Job.pb(dataflow.Job()))
        id = f"2026-01-01_00_00_00-{len(self.jobs)}"
        self.jobs[id] = {**body, "id": id, "currentState": "JOB_STATE_RUNNING"}
        self.threads.append(threading.Thread(target=self._run, args=(id,)))
        self.threads[-1].start()
        return self.jobs[id]

    def _run(self, id: str) -> None:
        job = self.jobs[id]
        try:
            staged = remote_files.read_bytes(job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"])
            pipeline = beam_runner_api_pb2.Pipeline.FromString(staged)
            for environment in pipeline.components.environments.values():  # in this process, not in its container
                environment.CopyFrom(EmbeddedPythonEnvironment.default().to_runner_api(None))
            options = PipelineOptions(["--direct_num_workers=1"])
            result = FnApiRunner().run_via_runner_api(pipeline, options)
            result.wait_until_finish()
            for counter in result.metrics().query()["counters"]:
                for tentative in ("true", "false"):
                    context = {"namespace": counter.key.metric.namespace, "step": counter.key.step}
                    context |= {"tentative": tentative} if tentative == "true" else {}
                    name = {"origin": "user", "name": counter.key.metric.name, "context": context}
                    self.counters.setdefault(id, []).append({"name": name, "scalar": counter.committed})
            if "requestedState" not in job:
                job["currentState"] = "JOB_STATE_DONE"
        except Exception:  # noqa: BLE001 - whatever the code of a worker raises
            self.errors[id] = traceback.format_exc()
            job["currentState"] = "JOB_STATE_FAILED"


@contextlib.contextmanager
def dataflow_service():
    """Run the service; yield it and its address."""
    service = DataflowService()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, content = service.answer(self.command, self.path, json.loads(self.rfile.read(length) or b"{}"))
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _reply

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield service, f"http://localhost:{server.server_port}"
    finally:
        for job in service.threads:
            job.join()
        server.shutdown()
        server.server_close()
        thread.join()
