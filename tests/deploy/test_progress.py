"""Progress is printed as it happens, also into a pipe; long waits say so; a refused connection is an error at once."""

import contextlib
import os
import socket
import threading

import pytest

from deploy import __main__ as deploy
from deploy import jobs, spec
from deploy.vertex import Connection, Vertex
from deploy.waiting import Clock, Wait
from tests.deploy.conftest import IMAGE
from trainer import storage

ENDPOINT = "projects/my-project/locations/us-central1/endpoints/countersign-staging"


class Hands:
    """A clock whose pauses take no time; ``reached`` is called with the seconds after each."""

    def __init__(self, reached=lambda seconds: None):
        self.seconds, self._reached = 0.0, reached
        self.clock = Clock(lambda: self.seconds, self._pause)

    def _pause(self, seconds: float) -> None:
        self.seconds += seconds
        self._reached(self.seconds)


@pytest.fixture
def applying(artifact, bucket):
    """``applying()`` runs ``python -m deploy apply --env staging --yes`` in a thread; the lines of its pipe.

    Standard output is buffered as Python does for a pipe.
    """
    flags = ["apply", "--env", "staging", "--every", "0.01", f"--store={bucket}/artifacts", "--yes"]
    flags += ["--artifact", str(artifact), "--image", IMAGE]
    reading, writing = os.pipe()

    def run():
        error = os.fdopen(os.dup(writing), "w", buffering=1)
        with os.fdopen(writing, "w") as out, error, contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            deploy.main(flags)

    def started():
        threading.Thread(target=run).start()
        return lines

    with os.fdopen(reading) as lines:
        yield started


def test_each_step_is_seen_in_a_pipe_before_it_is_done(applying, cloud):
    cloud.fail("DeployModel", "silent")
    lines = applying()
    assert any(line.startswith("  5/6 deploy") for line in lines)
    deployed_by_then = len(cloud.world.resources[ENDPOINT].deployed_models)
    cloud.released.set()
    assert list(lines)[-1] == "staging: 6 steps done\n"
    assert deployed_by_then == 0, "the line came while the call went on"


def test_the_error_stands_after_the_steps_before_it(applying, cloud):
    cloud.fail("DeployModel", "operation fails")
    lines = list(applying())
    steps = [number for number, line in enumerate(lines) if line[2:5] in ("1/6", "2/6", "3/6", "4/6", "5/6")]
    (error,) = [number for number, line in enumerate(lines) if line.startswith("python -m deploy apply: stopped at")]
    assert len(steps) == 5
    assert steps[-1] < error


def test_a_wait_says_every_half_minute_what_it_waits_for_and_for_how_long():
    said: list[str] = []
    wait = Wait(Hands().clock, said.append)
    for _ in range(20):
        wait.pause(4, "the deployment")
    assert said == ["waiting for the deployment: 30 s so far", "waiting for the deployment: 60 s so far"]
    wait.tell("a line of its log")
    wait.pause(29, "the deployment")
    assert said[2:] == ["a line of its log"], "whoever sees lines come need not be told"
    wait.pause(100, "the deployment")
    assert len(said) == 7, "also where the pauses are long"


def test_a_long_operation_is_waited_for_with_its_name(cloud, environment):
    def reached(seconds):
        cloud.world.looks = 10**9 if seconds < 70 else 0
        for operation in cloud.world.operations.values():
            operation["left"] = cloud.world.looks

    said: list[str] = []
    vertex = Vertex(_connection(cloud), Hands(reached).clock, said.append)
    cloud.world.looks = 10**9
    request = {"parent": vertex.parent, "endpoint": {"display_name": "x"}, "endpoint_id": "x"}
    vertex.change(vertex.endpoints.create_endpoint, request)
    assert len(said) == 2
    assert "waiting for create_endpoint, endpoints/x/operations/" in said[0]
    assert said[1].endswith(": 60 s so far")


def test_a_job_without_a_log_says_what_it_does(cloud):
    environment = spec.load("staging", {"training_image": "trainer"}, "train")

    def reached(seconds):
        if seconds > 70:
            cloud.world.job(name, "SUCCEEDED")

    said: list[str] = []
    vertex = Vertex(_connection(cloud), Hands(reached).clock)
    name = jobs.submit(vertex, jobs.custom(environment, "one", "abc"))
    jobs.follow(vertex, name, 5, said.append)
    id = name.rpartition("/")[2]
    assert said[0] == f"{id}: pending"
    assert said[1:3] == [f"waiting for job {id}, pending: {n} s so far" for n in (30, 60)]


@pytest.fixture
def closed(monkeypatch):
    """The address of a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_service_that_nobody_runs_is_said_after_the_second_try(closed, monkeypatch, capsys):
    monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", closed)
    monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
    assert deploy.main(["status", "--env", "staging"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"python -m deploy status: nobody listens at {closed} (connection refused)")
    assert said.count("\n") == 1


def test_a_store_that_nobody_runs_is_said_after_the_second_try(closed, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", closed)
    with pytest.raises(storage.StorageError, match=rf"'gs://bucket/x': nobody listens at {closed} \(connection"):
        storage.names("gs://bucket/x")


def _connection(cloud) -> Connection:
    return Connection("my-project", "us-central1", cloud.url, anonymous=True, poll=7)
