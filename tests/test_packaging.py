"""Packaging: the package can be installed from setup.py alone, as Vertex AI does, from an sdist and from a wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.conftest import ROOT
from trainer.artifact import manifest
from trainer.settings.flags import CONSOLE_SCRIPTS

PACKAGES = ("trainer", "predictor", "deploy")


def run(*command, cwd, env=None):
    """Run ``python COMMAND``; return what it printed."""
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_setup_py_installs_alone_in_an_empty_directory(tmp_path):
    shutil.copy(ROOT / "setup.py", tmp_path)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--target", "installed"]
    run("-m", "pip", "install", ".", *options, cwd=tmp_path)
    assert list((tmp_path / "installed").glob("countersign-*.dist-info"))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder of an sdist, and of a wheel that was built from it."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run("-m", "build", "--no-isolation", "--outdir", "dist", ".", cwd=source)
    return source / "dist"


@pytest.fixture(scope="session")
def site(built, tmp_path_factory):
    """A folder in which the wheel is installed, with its console scripts in ``bin``."""
    (wheel,) = built.glob("*.whl")
    folder = tmp_path_factory.mktemp("installed") / "site"
    run("-m", "pip", "install", str(wheel), "--no-deps", "--quiet", "--target", str(folder), cwd=folder.parent)
    return folder


@pytest.mark.slow
def test_the_wheel_has_every_module_and_runs_without_the_source(built, site, tmp_path):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {p.relative_to(ROOT).as_posix() for package in PACKAGES for p in (ROOT / package).rglob("*.py")} <= names
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "predictor" / "web").rglob("*.*")} <= names
    code = "import trainer.settings.config as c; assert '/site/' in c.__file__; c.parse_config(['--help'])"
    assert "--train-dir" in run("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site)})


@pytest.mark.slow
def test_wheel_and_sdist_have_every_file_of_the_ready_artefacts(built, site):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    artifacts = [path.parent for path in (site / "trainer" / "ready").glob("*/manifest.json")]
    assert artifacts
    for folder in artifacts:
        relative = folder.relative_to(site).as_posix()
        expected = {f"{relative}/{name}" for name in ("manifest.json", *manifest.read(folder).files)}
        assert expected <= names
        assert expected <= in_sdist
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.slow
def test_an_installation_in_an_empty_folder_answers_without_training_and_without_network(site, tmp_path):
    shutil.copy(next((ROOT / "tests" / "golden").rglob("*.png")), tmp_path / "scan.png")
    no_network = "import socket; socket.socket.connect = socket.create_connection = None"
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "sitecustomize.py").write_text(no_network)
    environment = {"PYTHONPATH": f"{tmp_path / 'patches'}{os.pathsep}{site}", "HOME": str(tmp_path)}
    printed = run("-m", "predictor.offline", "scan.png", "--format", "csv", cwd=tmp_path, env=environment)
    assert printed.splitlines()[1].startswith("scan.png,")
    command = ("-m", "predictor.offline", "scan.png", "--reference", "scan.png", "--format", "csv")
    for flags, start in (["--task", "verify"], "scan.png,accept,"), ([], "scan.png,"):
        assert run(*command, *flags, cwd=tmp_path, env=environment).splitlines()[1].startswith(start)
    assert {path.name for path in tmp_path.iterdir()} == {"scan.png", "patches"}, "nothing was written"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "name"), CONSOLE_SCRIPTS.items())
def test_every_console_script_prints_its_help(site, tmp_path, command, name):
    process = subprocess.run(
        [site / "bin" / name, "--help"], cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert command in process.stdout, "the name in messages"


@pytest.mark.slow
def test_a_console_script_does_what_its_module_does(site, artifact, tmp_path):
    image = next((artifact / "golden").glob("*.png"))
    (tmp_path / "broken.png").write_bytes(b"no image")
    arguments = ["--artifact", str(artifact), str(image), "broken.png", "--format", "jsonl"]
    script, module = (
        subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True)
        for command in (
            [site / "bin" / "countersign-predict", *arguments],
            [sys.executable, "-m", "predictor.offline", *arguments],
        )
    )
    assert (script.returncode, script.stdout, script.stderr) == (module.returncode, module.stdout, module.stderr)
    assert script.returncode == 1, "one image is broken"
    assert "unreadable_image" in script.stdout


@pytest.mark.slow
def test_a_training_that_a_console_script_started_stops_at_sigterm(site, scans, tmp_path):
    command = [site / "bin" / "countersign-train", "--train-dir", scans, "--job-dir", tmp_path / "run"]
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        process.stdout.readline()
        process.terminate()
        output = process.stdout.read()
    assert process.returncode == 130, output
    assert "interrupted; the same command continues" in output


def read_pinned(path):
    """Return the names of the packages that a requirements file pins."""
    return {re.split(r"[=\[ ;]", line)[0].lower() for line in path.read_text().splitlines() if "==" in line}


def test_every_requirement_is_pinned_and_serving_has_no_tensorflow():
    serving = read_pinned(ROOT / "predictor" / "requirements.txt")
    lines = (ROOT / "predictor" / "requirements.in").read_text().splitlines()
    required = {re.split("[<>;]", line)[0].replace(".", "-") for line in lines if not line.startswith("#")}
    assert required <= serving
    assert not serving & {"tensorflow", "keras", "scikit-learn", "matplotlib", "scipy"}
    assert serving <= read_pinned(ROOT / "requirements.txt") <= read_pinned(ROOT / "requirements-dev.txt")
    preparing = read_pinned(ROOT / "requirements-prepare.txt")
    assert (
        {"apache-beam", "tensorflow", "google-cloud-storage"} <= preparing <= read_pinned(ROOT / "requirements-dev.txt")
    )


def test_the_preparation_image_starts_workers_with_the_pinned_version_of_beam():
    lines = (ROOT / "deploy" / "jobs" / "Dockerfile.prepare").read_text().splitlines()
    (pinned,) = re.findall(r"^apache-beam==(\S+)", (ROOT / "requirements-prepare.txt").read_text(), re.MULTILINE)
    assert f"ARG BEAM=apache/beam_python3.11_sdk:{pinned}" in lines
    assert "COPY --from=beam /opt/apache/beam /opt/apache/beam" in lines
    assert lines[-1] == 'ENTRYPOINT ["/opt/apache/beam/boot"]'


def test_the_serving_image_has_what_the_server_imports(artifact, tmp_path):
    """Execute the COPY lines of the Dockerfile; then predict offline with that copy alone."""
    for line in (ROOT / "Dockerfile.serve").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line and "requirements" not in line:
            *sources, target = line.split()[1:]
            for source in sources:
                path = tmp_path / target / ("" if source.endswith("/") else source.rsplit("/", 1)[-1])
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                path.parent.mkdir(parents=True, exist_ok=True)
                copy(ROOT / source, path)
    image = next((artifact / "golden").glob("*.png"))
    run("-m", "predictor.offline", "--artifact", str(artifact), str(image), cwd=tmp_path, env={"PATH": ""})
    run("-m", "predictor.offline", str(image), cwd=tmp_path, env={"PATH": ""})
    check = f"assert trainer.__file__.startswith({str(tmp_path)!r})"
    run("-c", f"import predictor.app, predictor.__main__, trainer; {check}", cwd=tmp_path, env={"PATH": ""})


def read_included(name):
    """Return the exceptions of an ignore file that excludes everything else."""
    lines = (ROOT / name).read_text().splitlines()
    return {line.strip("!/") for line in lines if line.startswith("!")}


def test_docker_builds_include_the_files_that_images_copy_and_no_data():
    copied = {"setup.py", "requirements.txt", "trainer"}  # files that the packaging of gcloud needs
    for file in ("Dockerfile.serve", "deploy/jobs/Dockerfile", "deploy/jobs/Dockerfile.prepare"):
        for line in (ROOT / file).read_text().splitlines():
            if line.startswith("COPY") and "--from" not in line:
                copied |= {source.split("/")[0] for source in line.split()[1:-1]}
    assert read_included(".dockerignore") == copied


def test_cloud_build_includes_all_files_of_the_project_and_no_data():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a checkout")
    names = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    included = read_included(".gcloudignore")
    assert {name for name in names if name not in included and not name.startswith("requirements")} == set()


def test_no_registry_or_machine_path_is_named_in_a_tracked_file():
    pattern = "pypi" + r"\.org|deb\.deb" + "ian|" + "/ro" + "ot/|/wo" + "rk/"
    done = subprocess.run(["git", "grep", "-nE", pattern], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 128), done.stdout  # 1: no match; 128: not a checkout
