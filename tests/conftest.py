"""Shared fixtures: a small generated dataset, one run trained on it, and a server that serves it.

Each is made once a session, through the commands people use, also where several processes run the tests. All images
are generated. A fixture imports what it needs when it is first used, so that a single test starts at once.

``--without-tensorflow`` skips every test, and every test file, that imports TensorFlow. Nothing has to be marked: the
import itself skips.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.console import quiet

ROOT = Path(__file__).parent.parent
SMALL = {"writers": 14, "genuine": 3, "forged": 2, "text": 5}
HANDS = {"layout": "paired_folders", "writers": 16, "genuine": 7, "forged": 3}
HANDS_RUN = ["--problem", "same_writer", "--epochs", "3", "--batch-size", "40", "--image-height", "32"]
HANDS_RUN += ["--image-width", "64"]
SMALL_RUN = ["--epochs", "3", "--batch-size", "16", "--image-height", "32", "--image-width", "64"]


class TensorFlowSkips:
    """A finder of modules that skips the test, or the test file, that imports TensorFlow."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Skip for TensorFlow and Keras; leave every other module to the next finder."""
        if name in ("tensorflow", "keras"):
            pytest.skip("needs TensorFlow", allow_module_level=True)


def pytest_addoption(parser):
    """Add the option of ``make test-fast``."""
    parser.addoption("--without-tensorflow", action="store_true", help="skip every test that imports TensorFlow")


def pytest_configure(config):
    """Let imports of TensorFlow skip, also in the processes of pytest-xdist."""
    if config.getoption("--without-tensorflow"):
        sys.meta_path.insert(0, TensorFlowSkips)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """The slow ones first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


@pytest.fixture(scope="session")
def tensorflow():
    """TensorFlow, imported once and quietly. What trains or exports requests it before anything that takes time."""

    return quiet.import_tensorflow()


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """``once(name, make)`` makes a folder once for all of pytest's processes; no test writes into it."""
    from trainer.storage import lock

    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / f"once-{name}" / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as guard:
            lock.wait(guard.fileno())
            if not done.exists():
                folder.parent.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def trained_in_parallel(request):
    """In a run of everything, each process trains another of the artefacts that all need, instead of waiting for it."""
    mine = {"gw0": "run_dir", "gw1": "hands_run"}.get(os.environ.get("PYTEST_XDIST_WORKER", ""))
    users = sum(mine in item.fixturenames for item in request.session.items)
    if users > 20 and not request.config.getoption("--without-tensorflow"):
        request.getfixturevalue(mine)


@pytest.fixture(scope="session")
def scans(once) -> Path:
    """A class-folder dataset of 14 writers."""
    return once("scans", lambda folder: _generated(folder, SMALL, seed=5))


@pytest.fixture(scope="session")
def run_dir(tensorflow, scans, once) -> Path:
    """The job dir of a finished run."""
    return once("small", lambda folder: _trained(scans, folder, SMALL_RUN))


@pytest.fixture(scope="session")
def artifact(run_dir) -> Path:
    """An exported artefact."""
    return run_dir / "model"


@pytest.fixture(scope="session")
def hands_data(once) -> Path:
    """Genuine signatures and skilled forgeries of 16 people, in paired folders."""
    return once("people", lambda folder: _generated(folder, HANDS, seed=6))


@pytest.fixture(scope="session")
def hands_run(tensorflow, hands_data, once) -> Path:
    """The job dir of a verifier that compares hands."""
    return once("hands", lambda folder: _trained(hands_data, folder, HANDS_RUN))


def _generated(folder: Path, amount: dict, seed: int) -> None:
    from trainer.samples import generator
    from trainer.samples.amount import Amount

    list(generator.write(folder, Amount(**amount), seed=seed))


def _trained(data: Path, folder: Path, settings: list[str]) -> None:
    from trainer import task

    assert task.main(["--train-dir", str(data), "--job-dir", str(folder), *settings]) == 0


@pytest.fixture(scope="session")
def hands(hands_run) -> Path:
    """An exported verifier."""
    return hands_run / "model"


@pytest.fixture(scope="session")
def hands_server(hands):
    """The address of a running server of the verifier."""
    with serving("--model", str(hands)) as address:
        yield address


@pytest.fixture(scope="session")
def signature() -> bytes:
    """One signature file: the first of ``scans``."""
    from trainer.samples import generator

    return generator.image(5, 1, "genuine", 0)[0]


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
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "predictor", "--port", str(port), *arguments]
    health = environment.get("AIP_HEALTH_ROUTE", "/health")
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - not a pipe: a full one would stop the server
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    _PROCESSES[address] = process
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            while (
                process.poll() is None
                and client.get(address + health).json().get("error", {}).get("code") == "not_ready"
            ):
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
