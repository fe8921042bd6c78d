"""Requests that cannot be queued are refused before their body is read, cheaply, and health checks are answered."""

import asyncio
import json
import socket
import time

import httptools
import httpx
import pytest

from predictor import admission
from predictor.admission import Admission
from predictor.protocol import DROP_TIMEOUT, BoundedProtocol
from predictor.request import build_body
from predictor.responses import RETRY_SECONDS
from tests.bench import load
from tests.conftest import serving


class FakeTransport:
    """Identifies a connection."""


@pytest.fixture
def make_admission():
    """A function that makes an admission for two images, and the list that it reports refusals to."""
    reports: list[int] = []
    return lambda images=0: (Admission("/predict", 2, lambda: images, reports.append), reports)


def test_predictions_are_refused_while_the_queue_is_full_and_other_routes_never(make_admission):
    full, _ = make_admission(images=2)
    assert full.is_refused(b"POST", b"/predict")
    assert full.is_refused(b"POST", b"/predict?far=1")
    assert not full.is_refused(b"GET", b"/predict")
    assert not full.is_refused(b"GET", b"/health")
    assert not full.is_refused(b"POST", b"/people")


def test_requests_that_are_being_read_count_before_they_are_queued(make_admission):
    idle, _ = make_admission()
    for _ in range(2):
        assert not idle.is_refused(b"POST", b"/predict")
        idle.begin()
    assert idle.is_refused(b"POST", b"/predict")
    idle.end()
    assert not idle.is_refused(b"POST", b"/predict")


def test_refused_connections_are_read_again_so_late_that_refusals_stay_rare(make_admission):
    async def choose_pauses(count: int) -> list[float]:
        full, _ = make_admission()
        return [full.choose_pause(FakeTransport()) for _ in range(count)]

    pauses = asyncio.run(choose_pauses(2000))
    assert pauses[0] == admission.PAUSE
    assert pauses[250] == pytest.approx(251 / admission.REFUSALS_PER_SECOND, abs=0.1)
    assert max(pauses) == pauses[-1] == RETRY_SECONDS


def test_where_there_are_too_many_connections_one_that_was_refused_is_cut_off(make_admission):
    async def choose():
        full, _ = make_admission()
        refused, new = FakeTransport(), FakeTransport()
        assert full.choose_victim(new, admission.MAX_CONNECTIONS) is None
        assert full.choose_victim(new, admission.MAX_CONNECTIONS + 1) is new
        full.choose_pause(refused)
        assert full.choose_victim(new, admission.MAX_CONNECTIONS + 1) is refused
        full.end_pause(refused)
        assert full.choose_victim(new, admission.MAX_CONNECTIONS + 1) is new

    asyncio.run(choose())


def test_refusals_are_reported_as_one_count(make_admission, monkeypatch):
    monkeypatch.setattr(admission, "LOG_INTERVAL", 0.01)

    async def refuse() -> bytes:
        full, reports = make_admission()
        responses = [full.make_refusal([(b"x-request-id", b"abc")], is_closing=True) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert reports == [5]
        return responses[0]

    head, _, body = asyncio.run(refuse()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"x-request-id: abc" in head
    assert b"retry-after: 1" in head
    assert b"connection: close" in head
    assert json.loads(body)["error"]["code"] == "busy"


@pytest.fixture(scope="module")
def small_server(artifact):
    """A server that takes one image at a time and lets none wait."""
    with serving("--artifact", str(artifact), "--threads", "1", "--max-waiting-images", "0") as address:
        yield address


def test_a_flood_is_answered_in_part_and_health_throughout(small_server, signature):
    port = int(small_server.rpartition(":")[2])
    time.sleep(admission.LOG_INTERVAL + 0.2)  # refusals, also those of other tests, are counted once a second
    before = count_refused(small_server)
    request = load.make_post("/predict", build_body([signature]).encode())
    flood, health = load.run(port, [request], 40, 2.0, load.make_get("/health"))
    statuses = {status for status, _ in flood.answers}
    assert statuses == {200, 429}, "no connection was cut off"
    assert health.answers
    assert {status for status, _ in health.answers} == {200}
    time.sleep(admission.LOG_INTERVAL + 0.2)
    assert count_refused(small_server) - before == sum(status == 429 for status, _ in flood.answers)


def count_refused(address: str) -> int:
    lines = httpx.get(address + "/metrics").text.splitlines()
    return next((int(float(line.split()[1])) for line in lines if 'requests_total{status="429"}' in line), 0)


def test_a_refused_body_that_never_ends_does_not_keep_its_connection():
    class Loop:
        def call_later(self, seconds, function):
            timers.append((seconds, function))

    class Transport:
        def write(self, data):
            written.append(data)

        def abort(self):
            written.append(b"aborted")

    timers, written = [], []
    protocol = make_protocol(Loop(), Transport())
    protocol.data_received(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\nx")
    assert written[0].startswith(b"HTTP/1.1 429 ")
    ((seconds, function),) = timers
    function()
    assert (seconds, written[-1]) == (DROP_TIMEOUT, b"aborted")


def make_protocol(loop, transport) -> BoundedProtocol:
    """Make the protocol of a connection to a server whose queue is full."""
    protocol = BoundedProtocol.__new__(BoundedProtocol)
    full = Admission("/predict", 0, lambda: 0, lambda count: None)
    full.make_refusal = lambda headers, is_closing: b"HTTP/1.1 429 Too Many Requests\r\n\r\n"
    protocol.loop, protocol.transport, protocol.cycle = loop, transport, None
    protocol.timeout_keep_alive_task, protocol._admission = None, full
    protocol.server = protocol.client = protocol.scheme = None
    protocol.asgi_version, protocol.root_path, protocol.app_state = "3.0", "", {}
    protocol.parser = httptools.HttpRequestParser(protocol)
    return protocol


@pytest.mark.parametrize("expectation", ["", "Expect: 100-continue\r\n", "Connection: close\r\n"])
def test_a_refusal_is_received_before_the_body_is_sent(small_server, signature, expectation):
    port = int(small_server.rpartition(":")[2])
    slow = socket.create_connection(("127.0.0.1", port))
    slow.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")  # holds the only place
    time.sleep(0.2)
    with slow, socket.create_connection(("127.0.0.1", port), timeout=10) as refused:
        refused.sendall(f"POST /predict HTTP/1.1\r\nHost: here\r\n{expectation}Content-Length: 5000\r\n\r\n".encode())
        assert refused.recv(1000).startswith(b"HTTP/1.1 429 ")
        if not expectation:  # the connection goes on after the body
            refused.sendall(b"x" * 5000 + b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
            assert refused.recv(10000).startswith(b"HTTP/1.1 200 ")
        else:
            assert refused.recv(1000) == b"", "closed"
