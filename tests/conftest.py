"""Shared fixtures: a small generated dataset, one run trained on it, and a server that serves it.

Each is made once a session, through the commands people use. All images are generated.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from trainer import quiet, samples, task
from trainer.samples import Amount

ROOT = Path(__file__).parent.parent
SMALL = Amount(writers=14, genuine=3, forged=2, text=5)
HANDS = Amount("paired_folders", writers=16, genuine=7, forged=3)
HANDS_RUN = ["--problem", "same_writer", "--epochs", "3", "--batch-size", "40", "--image-height", "32"]
HANDS_RUN += ["--image-width", "64"]
SMALL_RUN = ["--epochs", "3", "--batch-size", "16", "--image-height", "32", "--image-width", "64"]


@pytest.fixture(scope="session", autouse=True)
def tensorflow():
    """TensorFlow, imported once and quietly."""
    return quiet.import_tensorflow()


@pytest.fixture(scope="session")
def scans(tmp_path_factory) -> Path:
    """A class-folder dataset of 14 writers."""
    folder = tmp_path_factory.mktemp("data") / "scans"
    for _ in samples.write(folder, SMALL, seed=5):
        pass
    return folder


@pytest.fixture(scope="session")
def run_dir(scans, tmp_path_factory) -> Path:
    """The job dir of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert task.main(["--train-dir", str(scans), "--job-dir", str(folder), *SMALL_RUN]) == 0
    return folder


@pytest.fixture(scope="session")
def artifact(run_dir) -> Path:
    """An exported artefact."""
    return run_dir / "model"


@pytest.fixture(scope="session")
def hands_data(tmp_path_factory) -> Path:
    """Genuine signatures and skilled forgeries of 16 people, in paired folders."""
    folder = tmp_path_factory.mktemp("hands") / "people"
    for _ in samples.write(folder, HANDS, seed=6):
        pass
    return folder


@pytest.fixture(scope="session")
def hands_run(hands_data, tmp_path_factory) -> Path:
    """The job dir of a verifier that compares hands."""
    folder = tmp_path_factory.mktemp("runs") / "hands"
    assert task.main(["--train-dir", str(hands_data), "--job-dir", str(folder), *HANDS_RUN]) == 0
    return folder


@pytest.fixture(scope="session")
def hands(hands_run) -> Path:
    """An exported verifier."""
    return hands_run / "model"


@pytest.fixture(scope="session")
def hands_server(hands):
    """The address of a running server of the verifier."""
    with serving("--model", str(hands)) as address:
        yield address


@pytest.fixture
def signature(scans) -> bytes:
    """One signature file."""
    return sorted((scans / "signature").iterdir())[0].read_bytes()


@pytest.fixture(scope="session")
def server(artifact):
    """The address of a running prediction server."""
    with serving("--model", str(artifact)) as address:
        yield address


_PROCESSES: dict[str, subprocess.Popen] = {}


def terminate(address: str) -> None:
    """SIGTERM to the server at an address."""
    _PROCESSES[address].terminate()


@contextlib.contextmanager
def serving(*arguments: str, **environment: str):
    """Start ``python -m predictor`` on a free port, wait until it is ready, yield its address, stop it with SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "predictor", "--port", str(port), *arguments]
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - not a pipe: a full one would stop the server
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    _PROCESSES[address] = process
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            while process.poll() is None and client.get(address + "/health").status_code == 503:
                pass
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        with log:
            log.seek(0)
            output = log.read()
        print(output, end="")  # what the server logged, for tests that read it
        assert process.returncode == 0, output
