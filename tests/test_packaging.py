"""The package installs where Vertex AI installs it: from setup.py alone, from an sdist, from a wheel."""

import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT

ROOMS = ("trainer", "predictor", "deploy")


def run(*command, cwd, env=None):
    """``python COMMAND``; returns what it printed."""
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_setup_py_installs_alone_in_an_empty_directory(tmp_path):
    shutil.copy(ROOT / "setup.py", tmp_path)
    run(
        "-m",
        "pip",
        "install",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "--target",
        "installed",
        cwd=tmp_path,
    )
    assert list((tmp_path / "installed").glob("countersign-*.dist-info"))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A wheel that was built from the sdist, and the folder of both."""
    source = tmp_path_factory.mktemp("source")
    for name in ROOMS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run("-m", "build", "--no-isolation", "--outdir", "dist", ".", cwd=source)
    return source / "dist"


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_runs_without_the_source(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {p.relative_to(ROOT).as_posix() for room in ROOMS for p in (ROOT / room).rglob("*.py")} <= inside
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "predictor" / "web").iterdir()} <= inside
    run("-m", "pip", "install", str(wheel), "--no-deps", "--quiet", "--target", str(tmp_path / "site"), cwd=tmp_path)
    code = "import trainer.settings.config as c; assert '/site/' in c.__file__; c.from_command_line(['--help'])"
    assert "--train-dir" in run("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})


def pinned(path):
    return {re.split(r"[=\[ ;]", line)[0].lower() for line in path.read_text().splitlines() if "==" in line}


def test_every_requirement_is_pinned_and_serving_has_no_tensorflow():
    serving = pinned(ROOT / "predictor" / "requirements.txt")
    asked = (ROOT / "predictor" / "requirements.in").read_text().splitlines()
    asked = {re.split("[<>;]", line)[0].replace(".", "-") for line in asked if not line.startswith("#")}
    assert asked <= serving
    assert not serving & {"tensorflow", "keras", "scikit-learn", "matplotlib", "scipy"}
    assert serving <= pinned(ROOT / "requirements.txt") <= pinned(ROOT / "requirements-dev.txt")


def test_the_serving_image_holds_what_the_server_imports(artifact, tmp_path):
    """The Dockerfile's COPY lines, carried out; then the server answers offline from that copy alone."""
    for line in (ROOT / "Dockerfile.serve").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line and "requirements" not in line:
            *sources, target = line.split()[1:]
            for source in sources:
                place = tmp_path / target / ("" if source.endswith("/") else source.rsplit("/", 1)[-1])
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                place.parent.mkdir(parents=True, exist_ok=True)
                copy(ROOT / source, place)
    image = next((artifact / "golden").glob("*.png"))
    run("-m", "predictor.offline", str(artifact), str(image), cwd=tmp_path, env={"PATH": ""})
    here = f"assert trainer.__file__.startswith({str(tmp_path)!r})"
    run("-c", f"import predictor.app, predictor.__main__, trainer; {here}", cwd=tmp_path, env={"PATH": ""})


def let_through(name):
    """What an ignore file that begins with everything lets through."""
    lines = (ROOT / name).read_text().splitlines()
    return {line.strip("!/") for line in lines if line.startswith("!")}


def test_docker_gets_what_images_are_made_of_and_no_data_that_lies_beside_it():
    wanted = {"setup.py", "requirements.txt", "trainer"}  # of gcloud's own packaging
    for file in ("Dockerfile.serve", "deploy/jobs/Dockerfile"):
        for line in (ROOT / file).read_text().splitlines():
            if line.startswith("COPY") and "--from" not in line:
                wanted |= {source.split("/")[0] for source in line.split()[1:-1]}
    assert let_through(".dockerignore") == wanted


def test_cloud_build_gets_every_file_of_the_project_and_no_data_that_lies_beside_it():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a checkout")
    there = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    allowed = let_through(".gcloudignore")
    assert {name for name in there if name not in allowed and not name.startswith("requirements")} == set()


def test_no_registry_or_machine_path_is_named_in_a_tracked_file():
    pattern = "pypi" + r"\.org|deb\.deb" + "ian|" + "/ro" + "ot/|/wo" + "rk/"
    found = subprocess.run(["git", "grep", "-nE", pattern], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode in (1, 128), found.stdout  # 128: not a checkout
