"""Progress is printed as it happens, also to a pipe; long waits print heartbeats; a refused connection is an error."""

import contextlib
import os
import socket
import threading

import pytest

from deploy import __main__ as deploy
from deploy import jobs, spec
from deploy.vertex import Connection, VertexClient
from deploy.waiting import Clock, Wait
from tests.deploy.conftest import IMAGE
from trainer import storage

ENDPOINT = "projects/my-project/locations/us-central1/endpoints/countersign-staging"


class FakeTime:
    """A clock whose sleeps take no time; ``after_sleep`` is called with the time after each."""

    def __init__(self, after_sleep=lambda seconds: None):
        self.seconds, self._after_sleep = 0.0, after_sleep
        self.clock = Clock(lambda: self.seconds, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self._after_sleep(self.seconds)


@pytest.fixture
def start_apply(artifact, bucket):
    """``start_apply()`` runs ``python -m deploy apply --env staging --yes`` in a thread; returns the lines of its pipe.

    Standard output is buffered as Python does for a pipe.
    """
    flags = ["apply", "--env", "staging", "--poll-interval", "0.01", f"--store={bucket}/artifacts", "--yes"]
    flags += ["--artifact", str(artifact), "--image", IMAGE]
    read_end, write_end = os.pipe()

    def run():
        error = os.fdopen(os.dup(write_end), "w", buffering=1)
        with (
            os.fdopen(write_end, "w") as out,
            error,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(error),
        ):
            deploy.main(flags)

    def start():
        threading.Thread(target=run).start()
        return lines

    with os.fdopen(read_end) as lines:
        yield start


def test_each_step_is_printed_to_a_pipe_before_it_is_executed(start_apply, cloud):
    cloud.fail("DeployModel", "silent")
    lines = start_apply()
    assert any(line.startswith("  5/6 deploy") for line in lines)
    deployed_by_then = len(cloud.world.resources[ENDPOINT].deployed_models)
    cloud.released.set()
    assert list(lines)[-1] == "staging: 6 steps done\n"
    assert deployed_by_then == 0, "the line is printed while the call goes on"


def test_the_error_is_printed_after_the_steps_before_it(start_apply, cloud):
    cloud.fail("DeployModel", "operation fails")
    lines = list(start_apply())
    steps = [number for number, line in enumerate(lines) if line[2:5] in ("1/6", "2/6", "3/6", "4/6", "5/6")]
    (error,) = [number for number, line in enumerate(lines) if line.startswith("python -m deploy apply: stopped at")]
    assert len(steps) == 5
    assert steps[-1] < error


def test_a_wait_prints_every_half_minute_what_it_waits_for_and_for_how_long():
    printed: list[str] = []
    wait = Wait(FakeTime().clock, printed.append)
    for _ in range(20):
        wait.sleep(4, "the deployment")
    assert printed == ["waiting for the deployment: 30 s so far", "waiting for the deployment: 60 s so far"]
    wait.print_line("a line of its log")
    wait.sleep(29, "the deployment")
    assert printed[2:] == ["a line of its log"], "after a line, no heartbeat is due"
    wait.sleep(100, "the deployment")
    assert len(printed) == 7, "also during long sleeps"


def test_the_heartbeat_of_a_long_operation_names_it(cloud, environment):
    def after_sleep(seconds):
        cloud.world.polls_until_done = 10**9 if seconds < 70 else 0
        for operation in cloud.world.operations.values():
            operation["polls_left"] = cloud.world.polls_until_done

    printed: list[str] = []
    client = VertexClient(make_connection(cloud), FakeTime(after_sleep).clock, printed.append)
    cloud.world.polls_until_done = 10**9
    request = {"parent": client.parent, "endpoint": {"display_name": "x"}, "endpoint_id": "x"}
    client.change(client.endpoints.create_endpoint, request)
    assert len(printed) == 2
    assert "waiting for create_endpoint, endpoints/x/operations/" in printed[0]
    assert printed[1].endswith(": 60 s so far")


def test_a_job_without_log_lines_prints_heartbeats(cloud):
    environment = spec.load("staging", {"training_image": "trainer"}, "train")

    def after_sleep(seconds):
        if seconds > 70:
            cloud.world.set_job_state(name, "SUCCEEDED")

    printed: list[str] = []
    client = VertexClient(make_connection(cloud), FakeTime(after_sleep).clock)
    name = jobs.submit(client, jobs.make_custom_job(environment, "one", "abc"))
    jobs.follow(client, name, printed.append)
    id = name.rpartition("/")[2]
    assert printed[0] == f"{id}: pending"
    assert printed[1:3] == [f"waiting for job {id}, pending: {n} s so far" for n in (30, 60)]


@pytest.fixture
def closed_address(monkeypatch):
    """The address of a port on which no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_refused_connection_to_the_api_is_an_error_after_the_second_try(closed_address, monkeypatch, capsys):
    monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", closed_address)
    monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
    assert deploy.main(["status", "--env", "staging"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"python -m deploy status: nobody listens at {closed_address} (connection refused)")
    assert error.count("\n") == 1


def test_a_refused_connection_to_the_store_is_an_error_after_the_second_try(closed_address, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", closed_address)
    with pytest.raises(
        storage.StorageError, match=rf"'gs://bucket/x': nobody listens at {closed_address} \(connection"
    ):
        storage.list_paths("gs://bucket/x")


def make_connection(cloud) -> Connection:
    return Connection("my-project", "us-central1", cloud.url, anonymous=True, poll_interval=7)
