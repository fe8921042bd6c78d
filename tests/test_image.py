"""The prediction container, built and run: ``make test-image``. Not in the default run, because it needs a network.

Uses a docker daemon if there is one, else buildah, podman and runc, which need none. A Debian of the same release
replaces a base image that cannot be pulled.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.contract import container

pytestmark = [pytest.mark.image, pytest.mark.timeout(1500)]
IMAGE = "localhost/countersign-predictor:test"
BASE = re.search(r"ARG BASE=(\S+)", (ROOT / "Dockerfile.serve").read_text())[1]  # type: ignore[index]
PULLED = f"docker.io/library/{BASE}"
MAX_IMAGE_BYTES = 500_000_000
BASE_BYTES = 135_000_000  # of the official base image, to correct the size if another base replaces it


def runs(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True).returncode == 0


DOCKER = runs("docker", "info")
NO_HEALTH = [] if DOCKER else ["--health-cmd", "none"]  # podman's needs systemd
PODMAN = all(shutil.which(program) for program in ("buildah", "podman", "runc"))


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory):
    """Settings of podman for a machine without systemd."""
    path = tmp_path_factory.mktemp("podman") / "containers.conf"
    limits = '["nofile=4096:4096", "nproc=4096:4096"]'
    path.write_text(f'[containers]\ndefault_ulimits={limits}\n[engine]\ncgroup_manager="cgroupfs"\nruntime="runc"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(path))
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    """The name of the base image on this machine."""
    if not (DOCKER or PODMAN):
        pytest.skip("no docker daemon, and no buildah, podman and runc (Debian packages)")
    if DOCKER or runs("podman", "image", "exists", PULLED) or runs("podman", "pull", "-q", PULLED):
        return BASE
    replacement = "localhost/stand-in:bookworm"
    if not runs("podman", "image", "exists", replacement):
        if not shutil.which("debootstrap"):
            pytest.skip(f"{PULLED} cannot be pulled, and there is no debootstrap to make a replacement")
        root = tmp_path_factory.mktemp("debian") / "root"
        include = "--include=python3,python3-venv,python3-pip,ca-certificates"
        done = subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", root], capture_output=True)
        if done.returncode:
            pytest.skip(f"{PULLED} cannot be pulled, and debootstrap failed with {done.returncode}")
        (root / "usr/bin/python").symlink_to("python3")
        archive = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["podman", "import", "-q", "-", replacement], stdin=archive.stdout, check=True)
        archive.wait()
        archive.stdout.close()  # type: ignore[union-attr]
    return replacement


@pytest.fixture(scope="module")
def image(base, tmp_path_factory) -> str:
    """The image of the current tree. Skips on a machine that cannot build or run containers."""
    trial = tmp_path_factory.mktemp("trial")
    (trial / "Dockerfile").write_text(f"FROM {base}\nRUN true\n")
    if not runs(*build(), "-t", "localhost/countersign-trial", str(trial)):
        pytest.skip("this machine cannot build a container (of two lines that do nothing)")
    if not runs(engine(), "run", "--rm", "--network", "host", *NO_HEALTH, "localhost/countersign-trial", "true"):
        pytest.skip("this machine cannot run a container")
    options = ["--build-arg", f"BASE={base}", "--build-arg", "REVISION=test", "-f", "Dockerfile.serve", "-t", IMAGE]
    subprocess.run([*build(), *options, str(ROOT)], cwd=ROOT, check=True)
    return IMAGE


def build() -> list[str]:
    """Return the command that builds, with the package index and certificates of this machine mounted read-only."""
    if DOCKER:
        return ["docker", "build"]
    paths = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    volumes = [f"--volume={path}:{path}:ro" for path in paths]
    return ["buildah", "bud", "--format", "docker", "--isolation", "chroot", "--pull-never", *volumes]


def engine() -> str:
    return "docker" if DOCKER else "podman"


def inspect(image: str) -> dict:
    return json.loads(subprocess.run([engine(), "inspect", image], capture_output=True, check=True).stdout)[0]


@contextlib.contextmanager
def running(image: str, model: Path):
    """Run a container with as few rights as possible; yield its address and its name."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    name = f"countersign-test-{port}"
    restrictions = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command = [engine(), "run", "-d", "--name", name, "--network", "host", *NO_HEALTH, *restrictions]
    environment = ["-v", f"{model}:/model:ro", "-e", "AIP_STORAGE_URI=/model", "-e", f"AIP_HTTP_PORT={port}"]
    subprocess.run([*command, *environment, image], check=True, capture_output=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, subprocess.run([engine(), "logs", name], capture_output=True).stdout
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
        yield f"http://127.0.0.1:{port}", name
    finally:
        subprocess.run([engine(), "rm", "-f", name], capture_output=True)


def test_the_container_answers_as_another_user_on_a_read_only_disk_and_stops_with_status_0(image, artifact):
    for path in (artifact, *artifact.rglob("*")):  # only this user may read the folders of pytest
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    for parent in list(artifact.parents)[:4]:
        os.chmod(parent, 0o755)
    with running(image, artifact) as (address, name):
        assert container.check_container(address, artifact) == 9
        assert httpx.get(address + "/").status_code == 200
        assert httpx.get(address + "/train").status_code == 404, "prod is the default"
        probe = subprocess.run([engine(), "exec", name, "python", "-m", "predictor.healthcheck"], capture_output=True)
        assert probe.returncode == 0
        user = subprocess.run([engine(), "exec", name, "id", "-u"], capture_output=True, text=True)
        assert user.stdout.strip() == "10001"
        subprocess.run([engine(), "stop", "-t", "20", name], check=True, capture_output=True)
        assert inspect(name)["State"]["ExitCode"] == 0, "process 1 answers SIGTERM"


def test_the_image_is_small_and_has_labels_stop_signal_and_health_check(image, base):
    described = inspect(image)
    size = described["Size"] - (0 if base == BASE else inspect(base)["Size"] - BASE_BYTES)
    assert size < MAX_IMAGE_BYTES
    settings = described["Config"]
    assert settings["User"] == "10001"
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Labels"]["org.opencontainers.image.revision"] == "test"
    assert "ENV_MODE=prod" in settings["Env"]
    health_check = settings.get("Healthcheck") or described["Healthcheck"]
    assert any("predictor.healthcheck" in str(value) for value in health_check.values())


def test_the_image_has_no_compiler_no_tensorflow_and_no_pip(image):
    code = "import shutil, importlib.util as u; print(shutil.which('gcc'), *map(u.find_spec, ('tensorflow', 'pip')))"
    command = [engine(), "run", "--rm", *NO_HEALTH, image, "python", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["None"] * 3, done.stderr
