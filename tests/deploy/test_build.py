"""``cloudbuild.yaml`` has only fields of Cloud Build, and its steps work, as far as a machine without docker shows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.cloud.devtools import cloudbuild_v1
from google.protobuf import json_format

from tests.conftest import ROOT
from tests.loopback import gcloud
from tests.loopback.machines import Machines
from tests.loopback.server import Loopback

BUILD = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
STEPS = {step["id"]: step for step in BUILD["steps"]}
BUILT_IN = {"PROJECT_ID", "BUILD_ID", "SHORT_SHA", "TAG_NAME", "COMMIT_SHA"}  # substitutions of Cloud Build itself


def test_the_build_has_only_fields_of_cloud_build():
    json_format.ParseDict(BUILD, cloudbuild_v1.Build.pb(cloudbuild_v1.Build()))


def test_an_unknown_field_is_refused():
    with pytest.raises(json_format.ParseError, match="retires"):
        json_format.ParseDict({**BUILD, "retires": 3}, cloudbuild_v1.Build.pb(cloudbuild_v1.Build()))


def test_every_substitution_is_declared_and_used():
    text = "\n".join([step["script"] for step in BUILD["steps"]] + list(BUILD["substitutions"].values()))
    used = set(re.findall(r"\$\{?(_[A-Z_]+)", text))
    assert used == set(BUILD["substitutions"])
    others = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text)) - {"PWD"}
    assert others <= BUILT_IN


def test_steps_wait_for_steps_that_come_before_them():
    earlier = {"-"}
    for step in BUILD["steps"]:
        assert set(step.get("waitFor", ["-"])) <= earlier, step["id"]
        earlier.add(step["id"])


def test_every_file_that_a_step_names_exists():
    for step in BUILD["steps"]:
        for name in re.findall(r"--file=(\S+)|bash (\.ci/\S+)", step["script"]):
            assert (ROOT / "".join(name)).is_file()
        for module in re.findall(r"python -m (\S+)", step["script"]):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_the_docs_list_every_substitution():
    page = (ROOT / "docs" / "vertex.md").read_text()
    assert set(re.findall(r"^\| `(_[A-Z]+)`", page, re.MULTILINE)) == set(BUILD["substitutions"])


@pytest.fixture
def workspace(tmp_path, bucket, artifact):
    """The tree as Cloud Build has it after the test step, and a cloud whose deployed models answer."""
    root = tmp_path / "workspace"
    root.mkdir()
    for name in ("deploy", "trainer", "predictor", "tests", "Dockerfile.serve", "cloudbuild.yaml"):
        (root / name).symlink_to(ROOT / name)
    (root / ".venv").symlink_to(sys.prefix)
    shutil.copytree(artifact, root / "runs" / "contract" / "model")
    with Loopback(Machines(jobs=False)) as cloud:
        yield Workspace(root, cloud, bucket, tmp_path)


class Workspace:
    """Runs scripts of the build as Cloud Build does, with the substitutions as environment variables."""

    def __init__(self, root: Path, cloud: Loopback, bucket: str, folder: Path):
        self.root, self.cloud = root, cloud
        storage = os.environ["STORAGE_EMULATOR_HOST"]
        path = bucket.removeprefix("gs://")
        self.environment = {
            **os.environ,
            **gcloud.environment(cloud.url, storage, folder / "cloud"),
            **BUILD["substitutions"],
            "PROJECT_ID": "my-project",
            "BUILD_ID": "b1",
            "_VERSION": "abc",
            "_BUCKET": path,
            "_REPOSITORY": "us-central1-docker.pkg.dev/my-project/countersign",
            "PYTHONPATH": "",
        }

    def run(self, step: str, **changes: str) -> str:
        script = STEPS[step]["script"].replace("flags=(", "flags=(--smoke-requests 10 ")  # 100 take seconds
        environment = {**self.environment, **changes}
        shell = subprocess.run(
            ["bash", "-c", script], timeout=100, cwd=self.root, capture_output=True, text=True, env=environment
        )
        assert shell.returncode == 0, shell.stdout + shell.stderr
        return shell.stdout

    @property
    def docker_calls(self) -> list[str]:
        """The arguments of each call of docker."""
        return Path(self.environment["DOCKER_LOG"]).read_text().splitlines()

    def traffic(self, endpoint: str) -> list[int]:
        name = f"projects/my-project/locations/us-central1/endpoints/{endpoint}"
        return sorted(self.cloud.world.resources[name].traffic_split.values())


def test_images_are_built_run_strictly_and_pushed_by_digest(workspace):
    for step in ("build-predictor", "build-trainer", "build-preparation", "start", "push"):
        workspace.run(step)
    assert [line.split()[0] for line in workspace.docker_calls] == [
        "build",
        "build",
        "build",
        "run",
        *["push", "inspect"] * 3,
    ]
    assert "--read-only" in workspace.docker_calls[3]
    assert "--cap-drop=ALL" in workspace.docker_calls[3]
    assert re.fullmatch(r".*/predictor@sha256:[0-9a-f]{64}\n", (workspace.root / "predictor.image").read_text())


def test_a_server_of_this_tree_passes_the_contract_step(workspace, server, monkeypatch):
    monkeypatch.setitem(
        STEPS["contract"], "script", STEPS["contract"]["script"].replace("http://predictor:8080", server)
    )
    assert "keeps the contract: 9" in workspace.run("contract", PYTHONPATH=".")


def test_a_build_without_an_artefact_ends_after_pushing(workspace):
    workspace.run("push")
    assert "no artefact to deploy" in workspace.run("train")
    for step in ("gate", "staging", "production"):
        assert workspace.run(step) == ""
    assert not workspace.cloud.world.calls


@pytest.mark.whole
def test_an_artefact_goes_through_gate_and_staging_and_on_a_tag_to_production(workspace):
    workspace.run("push")
    workspace.run("train", _ARTIFACT="runs/contract/model")
    assert "passes the gate" in workspace.run("gate")
    assert "golden answers as recorded" in workspace.run("staging")
    assert workspace.traffic("countersign-staging") == [100]
    assert workspace.run("production") == "", "only on a tag"
    workspace.run("production", TAG_NAME="v1")
    assert workspace.traffic("countersign") == [100]


def test_training_is_submitted_with_the_image_of_this_build_when_asked(workspace):
    """The job is submitted; it is followed to its end in ``test_lifecycle.py``."""
    workspace.run("push")
    script = STEPS["train"]["script"].replace("--commit", "--no-follow --commit")
    shell = subprocess.run(
        ["bash", "-c", script],
        cwd=workspace.root,
        env={**workspace.environment, "_TRAIN": "yes"},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert shell.returncode == 0, shell.stderr
    (job,) = [job for name, job in workspace.cloud.world.resources.items() if "/customJobs/" in name]
    assert "trainer@sha256:" in job.job_spec.worker_pool_specs[0].container_spec.image_uri
    assert (workspace.root / "artifact.path").read_text().endswith("/jobs/build-b1/model\n")
