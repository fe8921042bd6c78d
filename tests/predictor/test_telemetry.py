"""What operators see of a request: one line, counters, and never an image."""

import base64
import json

import httpx

from predictor.telemetry import Record
from tests.conftest import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(printed: str) -> list[dict]:
    return [json.loads(line) for line in printed.splitlines() if '"predict"' in line]


def test_a_request_has_one_line_with_id_trace_counts_and_what_each_stage_took(artifact, signature, capsys):
    body = {"instances": [base64.b64encode(signature).decode()] * 2}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "mine-1"}
    with serving("--model", str(artifact)) as server:
        answer = httpx.post(server + "/predict", json=body, headers=headers)
        assert answer.headers["X-Request-Id"] == "mine-1"
        refused = httpx.post(server + "/predict", content=b"{", headers={"X-Request-Id": "a forged line"})
    told, other = lines(capsys.readouterr().out)
    assert (told["severity"], told["status"], told["id"]) == ("INFO", 200, "mine-1")
    assert told["logging.googleapis.com/trace"].endswith(TRACE)
    assert (told["instances"], told["images"]) == (2, 1), "an image named twice is looked at once"
    assert set(told["ms"]) == {"total", "parse", "wait", "image", "engine", "write"}
    assert (other["severity"], other["status"], other["error"]) == ("WARNING", 400, "bad_request")
    assert other["id"] == refused.headers["X-Request-Id"] != "a forged line"


def test_a_trace_is_taken_from_either_header_and_from_no_other_text():
    assert Record({"x-cloud-trace-context": f"{TRACE}/123;o=1"}).trace == TRACE
    assert Record({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}).trace == TRACE
    assert Record({"x-cloud-trace-context": "rm -rf /"}).trace is None


def test_prometheus_counts_requests_by_status_and_seconds_by_stage(artifact, signature):
    with serving("--model", str(artifact)) as server:
        body = {"instances": [base64.b64encode(signature).decode()]}
        for content in (body, body, {"instances": 3}):
            httpx.post(server + "/predict", json=content)
        text = httpx.get(server + "/metrics").text
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert counted['countersign_requests_total{status="200"}'] == "2.0"
    assert counted['countersign_requests_total{status="400"}'] == "1.0"
    assert counted["countersign_instances_total"] == "2.0"
    assert float(counted['countersign_stage_seconds_total{stage="image"}']) > 0
    assert counted["countersign_ready"] == "1.0"
    assert float(counted["process_resident_memory_bytes"]) > 1e7
