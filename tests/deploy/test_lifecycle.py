"""The lifecycle of a model with the real SDK on loopback, by the commands that people type."""

import json

import pytest

from deploy import __main__ as deploy
from tests.deploy.conftest import BUCKET, IMAGE
from trainer import storage

IMAGES = {n: IMAGE.replace("1f", f"{n}f") for n in "23"}


@pytest.fixture
def command(capsys):
    """``command("plan", ...)`` runs ``python -m deploy plan --env production ...``; returns its output."""

    def run(name: str, *flags: str, status: int = 0) -> str:
        exit_status = deploy.main([name, "--env", "production", "--poll-interval", "0.05", *flags])
        captured = capsys.readouterr()
        assert exit_status == status, captured.out + captured.err
        return captured.out + captured.err

    return run


def traffic(cloud):
    (endpoint,) = [resource for name, resource in cloud.world.resources.items() if "/endpoints/" in name]
    versions = {model.id: model.model_version_id for model in endpoint.deployed_models}
    return {versions[id]: percentage for id, percentage in endpoint.traffic_split.items()}


@pytest.mark.whole
def test_a_model_is_trained_deployed_promoted_rolled_back_and_removed(
    command, running_cloud, bucket, scans, tmp_path, monkeypatch
):
    cloud = running_cloud
    monkeypatch.chdir(tmp_path)
    storage.Workdir(scans, f"{bucket}/scans").push()
    settings = ["--epochs=2", "--batch-size=16", "--image-height=32", "--image-width=64"]
    flags = [f"--arguments={flag}" for flag in settings]
    output = command(
        "train",
        "--name=one",
        f"--output={bucket}/jobs",
        "--training-image=trainer",
        "--data-version=v3",
        "--commit=abc",
        f"--train-dir={bucket}/scans",
        *flags,
    )
    assert f"artefact: {bucket}/jobs/one/model" in output
    assert "ROC-AUC" in output, "the log is followed"
    (job,) = [job for name, job in cloud.world.resources.items() if "/customJobs/" in name]
    assert dict(job.labels)["data-version"] == "v3"

    artifact = f"{bucket}/jobs/one/model"
    store = [f"--store={bucket}/artifacts"]
    smoke = "--smoke-requests=10"
    first = ["--artifact", artifact, "--image", IMAGES["2"], *store]
    assert "6 steps" in command("plan", *first)
    command("apply", *first)
    assert traffic(cloud) == {"1": 100}
    assert "nothing to do" in command("plan", *first)
    assert "nothing has changed" in command("apply", "--yes", *first)
    assert "golden answers as recorded" in command("smoke", *store, smoke)
    image = next((scans / "signature").iterdir())
    assert json.loads(command("predict", str(image), *store))["label"] in ("signature", "text")

    second = ["--artifact", artifact, "--image", IMAGES["3"], *store]
    command("apply", "--yes", *second)
    assert traffic(cloud) == {"1": 90, "2": 10}
    output = command("promote", *second, smoke)
    assert output.count("smoke test: ") == 6, "shown, and executed, before each stage and at the end"
    assert traffic(cloud) == {"2": 100}
    assert "version 2" in command("status", *store)
    command("rollback", *store)
    assert traffic(cloud) == {"1": 100}

    output = command("batch", f"{bucket}/scans/text", f"--output={bucket}/answers", *store)
    assert "70 answered" in output
    output = command("teardown", *store, status=1)
    assert "--confirm countersign" in output
    command("teardown", "--confirm=countersign", *store)
    assert not [name for name in cloud.world.resources if "/endpoints/" in name]
    assert BUCKET in bucket
