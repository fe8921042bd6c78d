"""``cloudbuild.yaml``: only what Cloud Build knows, and steps that work, as far as a machine without docker tells."""

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
GIVEN = {"PROJECT_ID", "BUILD_ID", "SHORT_SHA", "TAG_NAME", "COMMIT_SHA"}  # by Cloud Build itself


def test_it_holds_only_what_cloud_build_knows():
    json_format.ParseDict(BUILD, cloudbuild_v1.Build.pb(cloudbuild_v1.Build()))


def test_an_unknown_field_would_be_refused():
    with pytest.raises(json_format.ParseError, match="retires"):
        json_format.ParseDict({**BUILD, "retires": 3}, cloudbuild_v1.Build.pb(cloudbuild_v1.Build()))


def test_every_substitution_is_declared_and_used():
    text = "\n".join([step["script"] for step in BUILD["steps"]] + list(BUILD["substitutions"].values()))
    used = set(re.findall(r"\$\{?(_[A-Z_]+)", text))
    assert used == set(BUILD["substitutions"])
    others = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text)) - {"PWD"}
    assert others <= GIVEN


def test_steps_wait_for_steps_that_come_before_them():
    seen = {"-"}
    for step in BUILD["steps"]:
        assert set(step.get("waitFor", ["-"])) <= seen, step["id"]
        seen.add(step["id"])


def test_every_file_that_a_step_names_is_there():
    for step in BUILD["steps"]:
        for name in re.findall(r"--file=(\S+)|bash (\.ci/\S+)", step["script"]):
            assert (ROOT / "".join(name)).is_file()
        for module in re.findall(r"python -m (\S+)", step["script"]):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_docs_tell_every_substitution():
    page = (ROOT / "docs" / "vertex.md").read_text()
    assert set(re.findall(r"^\| `(_[A-Z]+)`", page, re.MULTILINE)) == set(BUILD["substitutions"])


@pytest.fixture
def workspace(tmp_path, bucket, artifact):
    """The tree as Cloud Build lays it out, with what the test step makes; and a cloud whose deployments answer."""
    place = tmp_path / "workspace"
    place.mkdir()
    for name in ("deploy", "trainer", "predictor", "tests", "Dockerfile.serve", "cloudbuild.yaml"):
        (place / name).symlink_to(ROOT / name)
    (place / ".venv").symlink_to(sys.prefix)
    shutil.copytree(artifact, place / "runs" / "contract" / "model")
    with Loopback(Machines(jobs=False)) as cloud:
        yield Workspace(place, cloud, bucket, tmp_path)


class Workspace:
    """Runs steps of the build as Cloud Build does: their script, with the substitutions as environment."""

    def __init__(self, place: Path, cloud: Loopback, bucket: str, folder: Path):
        self.place, self.cloud = place, cloud
        storage = os.environ["STORAGE_EMULATOR_HOST"]
        path = bucket.removeprefix("gs://")
        self.environment = {
            **os.environ, **gcloud.environment(cloud.url, storage, folder / "cloud"), **BUILD["substitutions"],
            "PROJECT_ID": "my-project", "BUILD_ID": "b1", "_VERSION": "abc", "_BUCKET": path,
            "_REPOSITORY": "us-central1-docker.pkg.dev/my-project/countersign", "PYTHONPATH": "",
        }  # fmt: skip

    def run(self, step: str, **changes: str) -> str:
        how = {"cwd": self.place, "capture_output": True, "text": True, "env": {**self.environment, **changes}}
        script = STEPS[step]["script"].replace("of=(", "of=(--smoke-requests 10 ")  # 100 take seconds
        done = subprocess.run(["bash", "-c", script], timeout=100, **how)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def asked(self) -> list[str]:
        """What docker was asked."""
        return Path(self.environment["DOCKER_LOG"]).read_text().splitlines()

    def traffic(self, endpoint: str) -> list[int]:
        name = f"projects/my-project/locations/us-central1/endpoints/{endpoint}"
        return sorted(self.cloud.world.resources[name].traffic_split.values())


def test_images_are_built_run_strictly_and_pushed_by_digest(workspace):
    for step in ("build-predictor", "build-trainer", "start", "push"):
        workspace.run(step)
    assert [line.split()[0] for line in workspace.asked] == [
        "build", "build", "run", "push", "inspect", "push", "inspect",
    ]  # fmt: skip
    assert "--read-only" in workspace.asked[2]
    assert "--cap-drop=ALL" in workspace.asked[2]
    assert re.fullmatch(r".*/predictor@sha256:[0-9a-f]{64}\n", (workspace.place / "predictor.image").read_text())


def test_the_contract_step_holds_for_a_server_of_this_tree(workspace, server, monkeypatch):
    monkeypatch.setitem(
        STEPS["contract"], "script", STEPS["contract"]["script"].replace("http://predictor:8080", server)
    )
    assert "the contract holds: 9" in workspace.run("contract", PYTHONPATH=".")


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
    assert "the gate is open" in workspace.run("gate")
    assert "golden answers as recorded" in workspace.run("staging")
    assert workspace.traffic("countersign-staging") == [100]
    assert workspace.run("production") == "", "only on a tag"
    workspace.run("production", TAG_NAME="v1")
    assert workspace.traffic("countersign") == [100]


def test_training_is_submitted_with_the_image_of_this_build_when_asked(workspace):
    """The job is submitted; it is followed to its end in ``test_life.py``."""
    workspace.run("push")
    script = STEPS["train"]["script"].replace("--commit", "--no-follow --commit")
    done = subprocess.run(
        ["bash", "-c", script], cwd=workspace.place, env={**workspace.environment, "_TRAIN": "yes"}, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (job,) = [of for name, of in workspace.cloud.world.resources.items() if "/customJobs/" in name]
    assert "trainer@sha256:" in job.job_spec.worker_pool_specs[0].container_spec.image_uri
    assert (workspace.place / "artifact.path").read_text().endswith("/jobs/build-b1/model\n")
