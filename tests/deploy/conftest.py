"""Fixtures on loopback: Cloud Storage, Vertex AI, an environment and its executor; and the generator of a page."""

import dataclasses
import importlib.util
import shutil

import pytest

from deploy import artifact_store, spec
from deploy.executor import VertexExecutor
from deploy.vertex import Connection, VertexClient
from tests.conftest import ROOT
from tests.loopback.machines import Machines
from tests.loopback.server import Loopback
from tests.loopback.storage import cloud_storage
from trainer.artifact import manifest

BUCKET = "my-project-countersign"
IMAGE = "us-central1-docker.pkg.dev/my-project/countersign/predictor@sha256:" + "1f" * 32


@pytest.fixture(scope="session")
def emulator():
    """Run a Cloud Storage emulator with the bucket; its address."""
    with cloud_storage(BUCKET) as url:
        yield url


@pytest.fixture
def bucket(emulator, monkeypatch, tmp_path):
    """A prefix of the bucket for this test alone, and a separate cache."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    artifact_store.open_artifact.cache_clear()
    return f"gs://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def cloud(bucket, monkeypatch):
    """A loopback Vertex AI that every command uses; no job and no deployed model runs."""
    with Loopback() as loopback:
        monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", loopback.url)
        monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
        yield loopback


@pytest.fixture
def running_cloud(bucket, monkeypatch):
    """A loopback Vertex AI whose jobs and deployed models run."""
    with Loopback(Machines()) as loopback:
        monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", loopback.url)
        monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
        yield loopback


@pytest.fixture
def environment(artifact, bucket):
    """Staging, with the tests' artefact."""
    overrides = {"artifact": str(artifact), "image": IMAGE, "store": f"{bucket}/artifacts"}
    return spec.load("staging", overrides, "plan")


@pytest.fixture
def executor(cloud, environment):
    """The executor of the environment on the loopback Vertex AI."""
    return make_executor(cloud, environment)


def make_executor(cloud: Loopback, environment: spec.Environment) -> VertexExecutor:
    """Return an executor of an environment."""
    return VertexExecutor(make_client(cloud), environment, artifact_store.open_declared(environment))


def make_client(cloud: Loopback) -> VertexClient:
    """Return a client that polls often."""
    return VertexClient(Connection("my-project", "us-central1", cloud.url, anonymous=True, poll_interval=0.01))


@pytest.fixture
def copy_artifact(artifact, tmp_path):
    """``copy_artifact(name, **errors)`` makes a copy of the artefact with another identity and other error rates."""

    def copy(name: str, **errors: float):
        folder = tmp_path / name
        shutil.copytree(artifact, folder)
        original = manifest.read(folder)
        metrics = {**original.metrics, "errors": {**original.metrics["errors"], **errors}}
        manifest.write(dataclasses.replace(original, metrics=metrics, created_at=name), folder)
        return folder

    return copy


@pytest.fixture(scope="session")
def calculator():
    """The module of docs/calculator.py."""
    module_spec = importlib.util.spec_from_file_location("calculator", ROOT / "docs" / "calculator.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module
