"""Logs and metrics of requests: one line each, counters, and never an image."""

import base64
import json

import httpx

from predictor.telemetry import RequestLog
from tests.conftest import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def read_request_lines(output: str) -> list[dict]:
    """The lines of requests in the output of a server."""
    return [json.loads(line) for line in output.splitlines() if '"predict"' in line]


def test_a_request_has_one_line_with_id_trace_counts_and_the_time_of_each_stage(artifact, signature, capsys):
    body = {"instances": [base64.b64encode(signature).decode()] * 2}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "client-1"}
    with serving("--artifact", str(artifact)) as server:
        response = httpx.post(server + "/predict", json=body, headers=headers)
        assert response.headers["X-Request-Id"] == "client-1"
        refused = httpx.post(server + "/predict", content=b"{", headers={"X-Request-Id": "a forged line"})
    first, second = read_request_lines(capsys.readouterr().out)
    assert (first["severity"], first["status"], first["id"]) == ("INFO", 200, "client-1")
    assert first["logging.googleapis.com/trace"].endswith(TRACE)
    assert (first["instances"], first["images"]) == (2, 1), "an image in two instances is encoded once"
    assert set(first["ms"]) == {"total", "parse", "wait", "image", "engine", "decide", "write"}
    assert (second["severity"], second["status"], second["error"]) == ("WARNING", 400, "bad_request")
    assert second["id"] == refused.headers["X-Request-Id"] != "a forged line"


def test_the_trace_is_read_from_either_header_if_it_has_its_form():
    assert RequestLog({"x-cloud-trace-context": f"{TRACE}/123;o=1"}).trace == TRACE
    assert RequestLog({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}).trace == TRACE
    assert RequestLog({"x-cloud-trace-context": "rm -rf /"}).trace is None


def test_prometheus_counts_requests_by_status_and_seconds_by_stage(artifact, signature):
    with serving("--artifact", str(artifact)) as server:
        body = {"instances": [base64.b64encode(signature).decode()]}
        for content in (body, body, {"instances": 3}):
            httpx.post(server + "/predict", json=content)
        text = httpx.get(server + "/metrics").text
    metrics = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert metrics['countersign_requests_total{status="200"}'] == "2.0"
    assert metrics['countersign_requests_total{status="400"}'] == "1.0"
    assert metrics["countersign_instances_total"] == "2.0"
    assert float(metrics['countersign_stage_seconds_total{stage="image"}']) > 0
    assert metrics["countersign_ready"] == "1.0"
    assert float(metrics["process_resident_memory_bytes"]) > 1e7
