"""An environment on loopback: Cloud Storage, Vertex AI, and the platform that deploy works on."""

import dataclasses
import shutil

import pytest

from deploy import release, spec
from deploy.perform import Platform
from deploy.vertex import Connection, Vertex
from tests.loopback.machines import Machines
from tests.loopback.server import Loopback
from tests.loopback.storage import cloud_storage
from trainer.artifact import manifest

BUCKET = "my-project-countersign"
IMAGE = "us-central1-docker.pkg.dev/my-project/countersign/predictor@sha256:" + "1f" * 32


@pytest.fixture(scope="session")
def emulator():
    """A Cloud Storage with our bucket."""
    with cloud_storage(BUCKET) as url:
        yield url


@pytest.fixture
def bucket(emulator, monkeypatch, tmp_path):
    """Our bucket's path below which this test is alone; a cache of its own."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    release.opened.cache_clear()
    return f"gs://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def cloud(bucket, monkeypatch):
    """A loopback Vertex AI that every command finds; nothing runs on it."""
    with Loopback() as running:
        monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", running.url)
        monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
        yield running


@pytest.fixture
def running_cloud(bucket, monkeypatch):
    """A loopback Vertex AI whose jobs and deployments run."""
    with Loopback(Machines()) as running:
        monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", running.url)
        monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
        yield running


@pytest.fixture
def environment(artifact, bucket):
    """Staging, with the tests' artefact."""
    given = {"artifact": str(artifact), "image": IMAGE, "store": f"{bucket}/artifacts"}
    return spec.load("staging", given, "plan")


@pytest.fixture
def platform(cloud, environment):
    """The environment's place on the loopback Vertex AI."""
    return at(cloud, environment)


def at(cloud: Loopback, environment: spec.Environment) -> Platform:
    """An environment's place."""
    return Platform(vertex(cloud), environment, release.given(environment))


def vertex(cloud: Loopback) -> Vertex:
    """A connection that looks often."""
    return Vertex(Connection("my-project", "us-central1", cloud.url, anonymous=True, poll=0.01))


@pytest.fixture
def another(artifact, tmp_path):
    """``another(name, **metrics)``: a copy of the artefact that is another one, with other published errors."""

    def made(name: str, **errors: float):
        folder = tmp_path / name
        shutil.copytree(artifact, folder)
        described = manifest.read(folder)
        metrics = {**described.metrics, "errors": {**described.metrics["errors"], **errors}}
        manifest.write(dataclasses.replace(described, metrics=metrics, created_at=name), folder)
        return folder

    return made
