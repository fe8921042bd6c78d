"""The prediction container, really built and run: ``make test-image``. Not in the default run: it asks registries.

With a docker daemon where there is one, else with buildah, podman and runc, which need none. Where the base image
cannot be pulled, a Debian of the same release stands in for it.
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
LARGEST = 500_000_000  # bytes, of the whole image
OFFICIAL = 135_000_000  # bytes of the official base, for when another stands in for it


def runs(*command: str) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True).returncode == 0


DOCKER = runs("docker", "info")
NO_HEALTH = [] if DOCKER else ["--health-cmd", "none"]  # podman's needs systemd
PODMAN = all(shutil.which(program) for program in ("buildah", "podman", "runc"))


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory):
    """Podman without systemd."""
    path = tmp_path_factory.mktemp("podman") / "containers.conf"
    limits = '["nofile=4096:4096", "nproc=4096:4096"]'
    path.write_text(f'[containers]\ndefault_ulimits={limits}\n[engine]\ncgroup_manager="cgroupfs"\nruntime="runc"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(path))
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    """The base image: what it is called here."""
    if not (DOCKER or PODMAN):
        pytest.skip("no docker daemon, and no buildah, podman and runc (Debian packages)")
    if DOCKER or runs("podman", "image", "exists", PULLED) or runs("podman", "pull", "-q", PULLED):
        return BASE
    standing_in = "localhost/stand-in:bookworm"
    if not runs("podman", "image", "exists", standing_in):
        if not shutil.which("debootstrap"):
            pytest.skip(f"{PULLED} cannot be pulled, and there is no debootstrap to stand in for it")
        root = tmp_path_factory.mktemp("debian") / "root"
        wanted = "--include=python3,python3-venv,python3-pip,ca-certificates"
        made = subprocess.run(["debootstrap", "--variant=minbase", wanted, "bookworm", root], capture_output=True)
        if made.returncode:
            pytest.skip(f"{PULLED} cannot be pulled, and debootstrap failed with {made.returncode}")
        (root / "usr/bin/python").symlink_to("python3")
        packed = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["podman", "import", "-q", "-", standing_in], stdin=packed.stdout, check=True)
        packed.wait()
        packed.stdout.close()  # type: ignore[union-attr]
    return standing_in


@pytest.fixture(scope="module")
def image(base, tmp_path_factory) -> str:
    """The image of the tree as it is. Skips where containers cannot be built or run at all."""
    trial = tmp_path_factory.mktemp("trial")
    (trial / "Dockerfile").write_text(f"FROM {base}\nRUN true\n")
    if not runs(*build(), "-t", "localhost/countersign-trial", str(trial)):
        pytest.skip("this machine does not let a container be built (two lines that do nothing)")
    if not runs(engine(), "run", "--rm", "--network", "host", *NO_HEALTH, "localhost/countersign-trial", "true"):
        pytest.skip("this machine does not let a container run")
    given = ["--build-arg", f"BASE={base}", "--build-arg", "REVISION=test", "-f", "Dockerfile.serve", "-t", IMAGE]
    subprocess.run([*build(), *given, str(ROOT)], cwd=ROOT, check=True)
    return IMAGE


def build() -> list[str]:
    """The command that builds. How this machine reaches its package index goes into the build, not into the image."""
    if DOCKER:
        return ["docker", "build"]
    shared = [place for place in ("/etc/pip.conf", "/etc/ssl/certs") if Path(place).exists()]
    volumes = [f"--volume={place}:{place}:ro" for place in shared]
    return ["buildah", "bud", "--format", "docker", "--isolation", "chroot", "--pull-never", *volumes]


def engine() -> str:
    return "docker" if DOCKER else "podman"


def described(image: str) -> dict:
    return json.loads(subprocess.run([engine(), "inspect", image], capture_output=True, check=True).stdout)[0]


@contextlib.contextmanager
def running(image: str, model: Path, *more: str):
    """A container as strict as can be: its address and its name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"countersign-test-{port}"
    strict = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command = [
        engine(),
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "host",
        *NO_HEALTH,
        *strict,
        "-v",
        f"{model}:/model:ro",
    ]
    environment = ["-v", f"{model}:/model:ro", "-e", "AIP_STORAGE_URI=/model", "-e", f"AIP_HTTP_PORT={port}"]
    subprocess.run([*command, *environment, *more, image], check=True, capture_output=True)
    try:
        give_up = time.monotonic() + 60
        while True:
            assert time.monotonic() < give_up, subprocess.run([engine(), "logs", name], capture_output=True).stdout
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
        yield f"http://127.0.0.1:{port}", name
    finally:
        subprocess.run([engine(), "rm", "-f", name], capture_output=True)


def test_the_container_answers_as_a_stranger_on_a_read_only_disk_and_stops_with_status_0(image, artifact):
    for path in (artifact, *artifact.rglob("*")):  # pytest's folders are for one user
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    for parent in list(artifact.parents)[:4]:
        os.chmod(parent, 0o755)
    with running(image, artifact) as (address, name):
        assert container.check(address, artifact) == 9
        assert httpx.get(address + "/").status_code == 200
        assert httpx.get(address + "/train").status_code == 404, "prod is the default"
        probe = subprocess.run([engine(), "exec", name, "python", "-m", "predictor.probe"], capture_output=True)
        assert probe.returncode == 0
        who = subprocess.run([engine(), "exec", name, "id", "-u"], capture_output=True, text=True)
        assert who.stdout.strip() == "10001"
        subprocess.run([engine(), "stop", "-t", "20", name], check=True, capture_output=True)
        assert described(name)["State"]["ExitCode"] == 0, "process 1 answers SIGTERM"


def test_the_image_is_small_labelled_and_stops_as_it_should(image, base):
    found = described(image)
    size = found["Size"] - (0 if base == BASE else described(base)["Size"] - OFFICIAL)
    assert size < LARGEST
    settings = found["Config"]
    assert settings["User"] == "10001"
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Labels"]["org.opencontainers.image.revision"] == "test"
    assert "ENV_MODE=prod" in settings["Env"]
    assert any(
        "predictor.probe" in str(value) for value in (settings.get("Healthcheck") or found["Healthcheck"]).values()
    )


def test_there_is_no_compiler_and_no_tensorflow_in_it(image):
    code = (
        "import shutil, importlib.util as u; print(shutil.which('gcc'), u.find_spec('tensorflow'), u.find_spec('pip'))"
    )
    said = subprocess.run(
        [engine(), "run", "--rm", *NO_HEALTH, image, "python", "-c", code], capture_output=True, text=True
    )
    assert said.stdout.split() == ["None"] * 3, said.stderr
