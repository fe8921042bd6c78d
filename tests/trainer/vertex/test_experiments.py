"""Metrics arrive in Vertex AI's studies and experiments if requested, and no failure there fails a run."""

import json
import threading
import time

import pytest

from tests.loopback.server import Loopback
from trainer.settings import experiment
from trainer.vertex import experiments, hypertune

PARENT = "projects/my-project/locations/us-central1"
TENSORBOARD = f"{PARENT}/tensorboards/1"


@pytest.fixture
def cloud(monkeypatch):
    """A loopback Vertex AI with a TensorBoard."""
    from google.cloud import aiplatform_v1 as api

    with Loopback() as running:
        monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", running.url)
        monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
        tensorboard = api.Tensorboard(name=TENSORBOARD)
        running.world.resources[TENSORBOARD] = type(tensorboard).pb(tensorboard)
        yield running


def track_run(tensorboard=""):
    tracker = experiments.Tracker(f"{PARENT}/hands/run-1", tensorboard, "ignored")
    tracker.log_params({"model": {"backbone": "strokes", "dropout": None}, "training": {"epochs": 3, "augment": True}})
    tracker.log_epoch(1, {"loss": 0.5})
    tracker.log_epoch(2, {"loss": 0.25})
    tracker.log_metrics({"accuracy": 97.5, "errors": {"error": 2.5}})
    tracker.close()


def get_context(cloud):
    return cloud.world.resources[f"{PARENT}/metadataStores/default/contexts/hands-run-1"].metadata


def test_parameters_metrics_and_curves_arrive(cloud, capsys):
    track_run(TENSORBOARD)
    assert "not in Vertex Experiments" not in capsys.readouterr().out
    assert dict(get_context(cloud)["_params"]) == {
        "model.backbone": "strokes",
        "training.epochs": 3,
        "training.augment": 1,
    }
    assert dict(get_context(cloud)["_metrics"]) == {"accuracy": 97.5, "errors.error": 2.5}
    assert cloud.world.points == [("loss", 1, 0.5), ("loss", 2, 0.25)]


def test_a_continued_run_is_the_same_run_and_without_a_tensorboard_there_are_no_curves(cloud):
    track_run()
    track_run()
    assert cloud.world.points == []
    runs = [name for name in cloud.world.resources if "/contexts/hands-run-1" in name]
    assert len(runs) == 1


@pytest.mark.parametrize(("failed", "state"), [(False, "COMPLETE"), (True, "FAILED")])
def test_the_state_of_a_run_is_how_it_ended(cloud, failed, state):
    tracker = experiments.Tracker(f"{PARENT}/hands/run-1", "", "ignored")
    tracker.close(failed)
    assert get_context(cloud)["_state"] == state


@pytest.mark.parametrize("failure", ["forbidden", "fails"])
def test_a_service_that_fails_costs_the_run_one_line(cloud, capsys, failure):
    cloud.fail("CreateContext", failure, times=9)
    track_run()
    printed = capsys.readouterr().out
    assert printed.count("not in Vertex Experiments") == 1
    assert "the run is not affected" in printed


def test_the_end_of_a_run_waits_for_a_silent_service_for_a_limited_time(cloud, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "CLOSE_SECONDS", 0.5)
    cloud.fail("GetContext", "silent", times=9)
    start = time.monotonic()
    track_run()
    assert time.monotonic() - start < 5
    assert "did not take everything" in capsys.readouterr().out
    cloud.released.set()
    (sender,) = [thread for thread in threading.enumerate() if thread.name.endswith("(_send)")]
    sender.join(timeout=20)


@pytest.mark.parametrize("name", ["hands", "projects/p/locations/r", "projects/p/locations/r/Hands"])
def test_a_name_that_is_no_experiment_is_an_error(name):
    with pytest.raises(ValueError, match="it has to be projects/"):
        experiment.parse_experiment_name(name)


def test_a_trial_writes_the_file_that_vertex_reads_and_no_other_run_does(tmp_path):
    file = tmp_path / "deep" / "output.metrics"
    hypertune.report_metrics({"val_loss": 0.5}, 1, {})
    assert not file.exists()
    trial = {"CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": "7"}
    hypertune.report_metrics({"val_loss": 0.5, "val_accuracy": 0.75}, 1, trial)
    hypertune.report_metrics({"val_loss": 0.25}, 2, trial)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row.pop("timestamp") > 1e9 for row in rows] == [True] * 3
    assert rows == [
        {"trial": "7", "val_loss": "0.5", "global_step": "1"},
        {"trial": "7", "val_accuracy": "0.75", "global_step": "1"},
        {"trial": "7", "val_loss": "0.25", "global_step": "2"},
    ]
