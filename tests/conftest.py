"""Shared fixtures: small datasets, one run trained on each, and servers of their artefacts.

Each is made once a session, by the commands that users run, also where several processes run the tests. All images are
drawn or generated, with the fonts that installed packages carry, so that they are the same on every machine. A fixture
imports what it needs when it is first used, so that a single test starts at once.

``--without-tensorflow`` skips every test, and every test file, that imports TensorFlow. Tests need no marker for it:
the import itself skips them.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.console import quiet

os.environ["COUNTERSIGN_FONTS"] = "bundled"  # here, so that every process that a test starts inherits it
ROOT = Path(__file__).parent.parent
VERIFIER_FLAGS = ["--problem", "same_writer", "--epochs", "3", "--batch-size", "40", "--image-height", "32"]
VERIFIER_FLAGS += ["--image-width", "64"]
CLASSIFIER_FLAGS = ["--epochs", "3", "--batch-size", "16", "--image-height", "32", "--image-width", "64"]
CLASSIFIER_FLAGS += ["--init-from", "none"]
FINDER_FLAGS = ["--problem", "signature_on_page", "--epochs", "1", "--batch-size", "4", "--image-height", "96"]
FINDER_FLAGS += ["--image-width", "96", "--test-fraction", "0.3", "--validation-fraction", "0.3"]


class TensorFlowSkips:
    """A finder of modules that skips the test, or the test file, that imports TensorFlow."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Skip on TensorFlow and Keras; return ``None`` for any other module, which leaves it to the next finder."""
        if name in ("tensorflow", "keras"):
            pytest.skip("needs TensorFlow", allow_module_level=True)


def pytest_addoption(parser):
    """Add the option of ``make test-fast``."""
    parser.addoption("--without-tensorflow", action="store_true", help="skip every test that imports TensorFlow")


def pytest_configure(config):
    """Install the finder, also in the processes of pytest-xdist."""
    if config.getoption("--without-tensorflow"):
        sys.meta_path.insert(0, TensorFlowSkips)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Run slow tests first, so that no process still runs one when the others have finished."""
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


@pytest.fixture(scope="session")
def tensorflow():
    """TensorFlow, imported without its messages. Fixtures that train request it first, so that they can skip early."""
    return quiet.import_tensorflow()


@pytest.fixture(scope="session")
def make_once(tmp_path_factory):
    """``make_once(name, make)`` makes a folder once for all processes of pytest; no test writes into it."""
    from trainer.storage import lock

    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def make_under_lock(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / f"once-{name}" / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock_file:
            lock.acquire(lock_file.fileno())
            if not done.exists():
                folder.parent.mkdir()
                make(folder)
                done.touch()
        return folder

    return make_under_lock


@pytest.fixture(scope="session", autouse=True)
def train_in_parallel(request):
    """In a run of all tests, train the two shared artefacts at the same time, in the first two processes."""
    fixture_name = {"gw0": "run_dir", "gw1": "verifier_run_dir"}.get(os.environ.get("PYTEST_XDIST_WORKER", ""))
    num_users = sum(fixture_name in item.fixturenames for item in request.session.items)
    if num_users > 20 and not request.config.getoption("--without-tensorflow"):
        request.getfixturevalue(fixture_name)


@pytest.fixture(scope="session")
def scans(make_once) -> Path:
    """Drawn signatures and words of 14 writers, five each, in class folders; easy, so that three epochs suffice."""
    from tests import drawings

    counts = {"signature": 5, "text": 5}
    return make_once("scans", lambda folder: drawings.write_dataset(folder, "class_folders", 14, counts))


@pytest.fixture(scope="session")
def run_dir(tensorflow, scans, make_once) -> Path:
    """The job dir of a finished run that tells signatures from text."""
    return make_once("small", lambda folder: _train(scans, folder, CLASSIFIER_FLAGS))


@pytest.fixture(scope="session")
def artifact(run_dir) -> Path:
    """The artefact of ``run_dir``."""
    return run_dir / "model"


@pytest.fixture
def ready_artifact(artifact, tmp_path, monkeypatch) -> Path:
    """``artifact`` as the only ready one, ``ready:signature_vs_text``, also in processes that the test starts."""
    folder = tmp_path / "ready" / "signature_vs_text"
    folder.parent.mkdir()
    folder.symlink_to(artifact)
    monkeypatch.setenv("COUNTERSIGN_READY", str(folder.parent))
    return folder


@pytest.fixture
def no_ready_artifact(tmp_path, monkeypatch) -> None:
    """An installation without any ready artefact."""
    (tmp_path / "none-ready").mkdir()
    monkeypatch.setenv("COUNTERSIGN_READY", str(tmp_path / "none-ready"))


@pytest.fixture(scope="session")
def verification_data(make_once) -> Path:
    """Generated signatures and skilled forgeries of 16 writers, in paired folders."""
    return make_once("people", _generate_verification_data)


@pytest.fixture(scope="session")
def verifier_run_dir(tensorflow, verification_data, make_once) -> Path:
    """The job dir of a finished run that verifies signatures."""
    return make_once("verifier", lambda folder: _train(verification_data, folder, VERIFIER_FLAGS))


def _generate_verification_data(folder: Path) -> None:
    from trainer.generators import signatures as generator
    from trainer.samples.amount import DatasetSpec

    spec = DatasetSpec("paired_folders", writers=16, genuine=7, forged=3)
    list(generator.write_dataset(folder, spec, seed=6))


def _train(data: Path, folder: Path, flags: list[str]) -> None:
    from trainer import task

    assert task.main(["--train-dir", str(data), "--job-dir", str(folder), *flags]) == 0


@pytest.fixture(scope="session")
def verifier_artifact(verifier_run_dir) -> Path:
    """The artefact of ``verifier_run_dir``."""
    return verifier_run_dir / "model"


@pytest.fixture(scope="session")
def verifier_server(verifier_artifact):
    """The address of a running server of ``verifier_artifact``."""
    with serving("--artifact", str(verifier_artifact)) as address:
        yield address


@pytest.fixture(scope="session")
def two_model_server(artifact, verifier_artifact):
    """The address of a running server of ``artifact`` with ``verifier_artifact`` beside it."""
    with serving("--artifact", str(artifact), "--verifier", str(verifier_artifact)) as address:
        yield address


@pytest.fixture(scope="session")
def finder_run_dir(tensorflow, make_once) -> Path:
    """The job dir of a finished run that finds signatures on pages, on a small canvas; it has learnt little."""
    return make_once("finder", _train_finder)


def _train_finder(folder: Path) -> None:
    from trainer.samples import __main__ as samples

    pages = folder.parent / "pages"
    assert samples.main([str(pages), "--pages", "24", "--layout", "yolo", "--seed", "3"]) == 0
    _train(pages, folder, FINDER_FLAGS)


@pytest.fixture(scope="session")
def finder_artifact(finder_run_dir) -> Path:
    """The artefact of ``finder_run_dir``."""
    return finder_run_dir / "model"


@pytest.fixture(scope="session")
def chain(finder_artifact, artifact, verifier_artifact, tmp_path_factory) -> Path:
    """An artefact that finds, classifies and compares; its thresholds are so low that every page has regions."""
    import dataclasses

    from trainer.artifact import manifest
    from trainer.artifact.copy import write_copy

    folder = tmp_path_factory.mktemp("chain") / "model"
    described = manifest.read(finder_artifact)
    low = {"thresholds": dict.fromkeys(described.decision["thresholds"], 1e-4), "overlap": 0.05}
    changed = dataclasses.replace(described, decision={**described.decision, **low})
    write_copy(finder_artifact, changed, folder, parts={"signature_check": artifact, "verifier": verifier_artifact})
    return folder


@pytest.fixture(scope="session")
def signature() -> bytes:
    """The bytes of one generated signature, 16 kB."""
    return min((ROOT / "tests" / "golden" / "scans").iterdir()).read_bytes()


@pytest.fixture(scope="session")
def server(artifact):
    """The address of a running server of ``artifact``."""
    with serving("--artifact", str(artifact)) as address:
        yield address


@pytest.fixture(scope="session")
def chain_server(chain):
    with serving("--artifact", str(chain), "--max-pages", "3") as address:
        yield address


@pytest.fixture(scope="session")
def signed_page(signature):
    """A page, as a PIL image, with one generated signature on it."""
    from PIL import Image

    page = Image.new("L", (600, 800), 255)
    page.paste(Image.open(io.BytesIO(signature)).convert("L").resize((240, 90)), (200, 600))
    return page


@pytest.fixture(scope="session")
def document(signed_page) -> bytes:
    """A PDF of two signed pages, at 100 dots per inch."""
    file = io.BytesIO()
    signed_page.save(file, "PDF", resolution=100, save_all=True, append_images=[signed_page])
    return file.getvalue()


_PROCESSES: dict[str, subprocess.Popen] = {}


def terminate(address: str) -> None:
    """Send SIGTERM to the server at an address."""
    _PROCESSES[address].terminate()


def kill_server(address: str) -> None:
    """Send SIGKILL to the server at an address, which ``serving`` then reports as a failure."""
    _PROCESSES[address].kill()


@contextlib.contextmanager
def serving(*arguments: str, **environment: str):
    """Run ``python -m predictor`` on a free port; yields its address once it is ready, and stops it with SIGTERM."""
    import httpx

    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        port = free_socket.getsockname()[1]
    command = [sys.executable, "-m", "predictor", "--port", str(port), *arguments]
    health_route = environment.get("AIP_HEALTH_ROUTE", "/health")
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - a file, because a full pipe would block the server
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    _PROCESSES[address] = process
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            while (
                process.poll() is None
                and client.get(address + health_route).json().get("error", {}).get("code") == "not_ready"
            ):
                pass
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        with log:
            log.seek(0)
            output = log.read()
        print(output, end="")  # for tests that read what the server has logged
        assert process.returncode == 0, output
