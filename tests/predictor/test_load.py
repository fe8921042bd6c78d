"""A busy, overloaded or stopping server keeps its promises to clients. The tests check order, not times."""

import base64
import concurrent.futures
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, serving, terminate
from tests.predictor.test_server import get_error, predict
from trainer.generators import signatures as generator

LARGE_BODIES = "--max-body-bytes=100000000"


def connect(server: str) -> socket.socket:
    """Open a connection to the server at an address."""
    return socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])))


def make_head(length: int) -> bytes:
    """The head of a request to predict with a body of so many bytes."""
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def large_body() -> bytes:
    """The body of a request with 80 different images."""
    images = [
        generator.generate_image(8, writer, "genuine", number)[0] for writer in range(1, 21) for number in range(4)
    ]
    return json.dumps({"instances": [base64.b64encode(image).decode() for image in images]}).encode()


def get_in_flight(server: str, client=httpx) -> float:
    """The metric of images that are processed or waiting."""
    lines = client.get(server + "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("countersign_images_in_flight "))


def count_by_status(server: str) -> dict[str, int]:
    """The number of requests that were answered with each status."""
    pattern = r'^countersign_requests_total{status="(\d+)"} (\d+)'
    return {status: int(n) for status, n in re.findall(pattern, httpx.get(server + "/metrics").text, re.M)}


def test_health_is_answered_while_every_thread_is_busy(artifact, large_body):
    # One connection for all requests: on a busy machine, a new one for each takes longer than the work.
    with serving("--artifact", str(artifact), LARGE_BODIES) as server, httpx.Client() as client:
        connection = connect(server)
        connection.sendall(make_head(len(large_body)) + large_body)
        while not get_in_flight(server, client):
            pass
        health_count = 0
        while get_in_flight(server, client):
            assert client.get(server + "/health").status_code == 200
            health_count += 1
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()
    assert health_count > 1, "between the first image and the last"


def test_a_draining_server_reports_not_ready_and_answers_what_it_accepted(artifact, large_body):
    with serving("--artifact", str(artifact), "--threads", "1", LARGE_BODIES) as server:
        connection = connect(server)
        connection.sendall(make_head(len(large_body)) + large_body)
        while get_in_flight(server) < 40:
            pass
        terminate(server)
        response = httpx.get(server + "/health")
        while response.status_code == 200:  # until the signal arrives
            response = httpx.get(server + "/health")
        assert response.status_code == 503
        assert get_error(response)["message"] == "the server is shutting down"
        refused = predict(server, {"instances": []})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_a_client_that_disconnects_frees_its_slots(artifact, large_body, signature):
    with serving("--artifact", str(artifact), "--threads", "1", "--max-waiting-images", "80", LARGE_BODIES) as server:
        connection = connect(server)
        connection.sendall(make_head(len(large_body)) + large_body)
        while get_in_flight(server) < 40:
            pass
        connection.close()
        while get_in_flight(server):
            pass
        assert count_by_status(server) == {"499": 1}, "its waiting images were cancelled"
        body = {"instances": [base64.b64encode(signature).decode()]}
        assert predict(server, body).status_code == 200


def test_bodies_over_the_common_limit_are_refused_and_the_others_answered(artifact, signature):
    body = json.dumps({"instances": [base64.b64encode(signature).decode()]}).encode()
    limits = [f"--max-waiting-bytes={int(1.5 * len(body))}", f"--max-body-bytes={len(body)}"]
    with serving("--artifact", str(artifact), *limits) as server:
        slow = connect(server)
        slow.sendall(make_head(len(body)) + body[:-1])
        statuses = set()
        while statuses != {429}:  # until the bytes of the slow request have arrived
            response = predict(server, body)
            statuses = {response.status_code}
        assert get_error(response)["code"] == "busy"
        assert response.headers["Retry-After"] == "1"
        slow.sendall(body[-1:])
        assert slow.recv(12) == b"HTTP/1.1 200"
        slow.close()
        assert predict(server, body).status_code == 200


def test_the_answers_do_not_depend_on_the_number_of_threads(artifact, large_body):
    scores = {}
    for threads in ("1", "3"):
        with serving("--artifact", str(artifact), "--threads", threads, LARGE_BODIES) as server:
            predictions = predict(server, large_body).json()["predictions"]
            scores[threads] = [prediction["score"] for prediction in predictions]
    assert scores["1"] == pytest.approx(scores["3"], abs=1e-5)


def test_every_accepted_request_is_answered_in_time_and_every_other_refused_at_once(artifact, large_body):
    """Under twice the load that the server has slots for, it answers with no other status."""
    images = json.loads(large_body)["instances"]
    with serving("--artifact", str(artifact), "--max-waiting-images", "8", "--deadline", "20") as server:
        with concurrent.futures.ThreadPoolExecutor(24) as clients:
            bodies = [{"instances": [image]} for image in images * 3]
            responses = list(clients.map(lambda body: predict(server, body), bodies))
        assert {response.status_code for response in responses} <= {200, 429}
        assert sum(response.status_code == 200 for response in responses) >= 20
        assert get_in_flight(server) == 0


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-pf", "true"], capture_output=True).returncode != 0,
    reason="no right to make a process namespace here (unshare -pf)",
)
def test_as_process_1_the_server_exits_with_status_0_at_sigterm_even_while_it_loads(artifact, tmp_path):
    """In a container the server is process 1, which ignores signals for which it has no handler."""
    log = tmp_path / "log"
    command = f'exec "{sys.executable}" -m predictor --artifact "{artifact}" --port 0 > "{log}"'
    for log_text in ("", "ready"):  # at once, and when the log contains it
        log.write_text("")
        process = subprocess.Popen(["unshare", "-pf", "--kill-child", "sh", "-c", command], cwd=ROOT)
        while not (process_1 := list_children(process.pid)) or log_text not in log.read_text():
            assert process.poll() is None
        while process.poll() is None:  # before Python sets its handler, the kernel drops signals to process 1
            subprocess.run(["kill", "-TERM", *process_1], capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        assert process.returncode == 0


def list_children(pid: int) -> list[str]:
    """The ids of the child processes."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
