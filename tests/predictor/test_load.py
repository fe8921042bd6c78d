"""What a busy, overloaded or stopping server owes its clients. Nothing here is timed: it is a matter of order."""

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
from tests.predictor.test_server import ask, error_of
from trainer.samples import generator

ROOMY = "--max-body-bytes=100000000"


def connect(server: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])))


def head(length: int) -> bytes:
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def work() -> bytes:
    """A request of many different images."""
    images = [generator.image(8, writer, "genuine", number)[0] for writer in range(1, 21) for number in range(4)]
    return json.dumps({"instances": [base64.b64encode(image).decode() for image in images]}).encode()


def taken(server: str, client=httpx) -> float:
    lines = client.get(server + "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("countersign_images_taken "))


def answered(server: str) -> dict[str, int]:
    """How many requests were answered with each status."""
    found = re.findall(r'^countersign_requests_total{status="(\d+)"} (\d+)', httpx.get(server + "/metrics").text, re.M)
    return {status: int(count) for status, count in found}


def test_health_is_answered_while_every_thread_is_at_work(artifact, work):
    # One connection for all questions: making them anew takes longer than the work on a busy machine.
    with serving("--model", str(artifact), ROOMY) as server, httpx.Client() as client:
        asking = connect(server)
        asking.sendall(head(len(work)) + work)
        while not taken(server, client):
            pass
        answered = 0
        while taken(server, client):
            assert client.get(server + "/health").status_code == 200
            answered += 1
        assert asking.recv(12) == b"HTTP/1.1 200"
        asking.close()
    assert answered > 1, "between the first image and the last"


def test_a_draining_server_says_so_and_finishes_what_it_took(artifact, work):
    with serving("--model", str(artifact), "--threads", "1", ROOMY) as server:
        asking = connect(server)
        asking.sendall(head(len(work)) + work)
        while taken(server) < 40:
            pass
        terminate(server)
        response = httpx.get(server + "/health")
        while response.status_code == 200:  # the signal is on its way
            response = httpx.get(server + "/health")
        assert response.status_code == 503
        assert error_of(response)["message"] == "the server is shutting down"
        refused = ask(server, {"instances": []})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert asking.recv(12) == b"HTTP/1.1 200"
        asking.close()


def test_a_client_that_leaves_frees_its_place(artifact, work, signature):
    with serving("--model", str(artifact), "--threads", "1", "--waiting", "80", ROOMY) as server:
        asking = connect(server)
        asking.sendall(head(len(work)) + work)
        while taken(server) < 40:
            pass
        asking.close()
        while taken(server):
            pass
        assert answered(server) == {"499": 1}, "its other images were given up, not answered to nobody"
        body = {"instances": [base64.b64encode(signature).decode()]}
        assert ask(server, body).status_code == 200


def test_bodies_that_would_not_fit_in_memory_together_are_refused_and_the_others_answered(artifact, signature):
    body = json.dumps({"instances": [base64.b64encode(signature).decode()]}).encode()
    limits = [f"--max-waiting-bytes={int(1.5 * len(body))}", f"--max-body-bytes={len(body)}"]
    with serving("--model", str(artifact), *limits) as server:
        slow = connect(server)
        slow.sendall(head(len(body)) + body[:-1])
        statuses = set()
        while statuses != {429}:  # once the slow one's bytes have come
            response = ask(server, body)
            statuses = {response.status_code}
        assert error_of(response)["code"] == "busy"
        assert response.headers["Retry-After"] == "1"
        slow.sendall(body[-1:])
        assert slow.recv(12) == b"HTTP/1.1 200"
        slow.close()
        assert ask(server, body).status_code == 200


def test_a_request_gets_all_threads_and_its_answers_are_the_same(artifact, work):
    found = []
    for threads in ("1", "3"):
        with serving("--model", str(artifact), "--threads", threads, ROOMY) as server:
            found.append(ask(server, work).json()["predictions"])
    one, three = ([answer["score"] for answer in answers] for answers in found)
    assert one == pytest.approx(three, abs=1e-5)


def test_every_accepted_request_is_answered_in_time_and_every_other_told_so_at_once(artifact, work):
    """Twice what the server has room for: no status but the stated ones."""
    images = json.loads(work)["instances"]
    with serving("--model", str(artifact), "--waiting", "8", "--deadline", "20") as server:
        with concurrent.futures.ThreadPoolExecutor(24) as clients:
            bodies = [{"instances": [image]} for image in images * 3]
            answers = list(clients.map(lambda body: ask(server, body), bodies))
        assert {answer.status_code for answer in answers} <= {200, 429}
        assert sum(answer.status_code == 200 for answer in answers) >= 20
        assert taken(server) == 0


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-pf", "true"], capture_output=True).returncode != 0,
    reason="no right to make a process namespace here (unshare -pf)",
)
def test_as_process_1_sigterm_ends_it_with_status_0_even_while_it_loads(artifact, tmp_path):
    """In a container the server is process 1, which ignores signals that it has no handler for."""
    log = tmp_path / "log"
    command = f'exec "{sys.executable}" -m predictor --model "{artifact}" --port 0 > "{log}"'
    for wanted in ("", "ready"):
        log.write_text("")
        started = subprocess.Popen(["unshare", "-pf", "--kill-child", "sh", "-c", command], cwd=ROOT)
        while not (first := children(started.pid)) or wanted not in log.read_text():
            assert started.poll() is None
        while started.poll() is None:  # before Python has a handler, the kernel drops what is sent to process 1
            subprocess.run(["kill", "-TERM", *first], capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(0.5)
        assert started.returncode == 0


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
