"""Numbers for Vertex AI's studies and experiments: they arrive where asked for, and never fail a run."""

import json
import threading
import time

import pytest

from tests.loopback.server import Loopback
from trainer.settings import experiment
from trainer.vertex import experiments, hypertune

WHERE = "projects/my-project/locations/us-central1"
TENSORBOARD = f"{WHERE}/tensorboards/1"


@pytest.fixture
def cloud(monkeypatch):
    """A loopback Vertex AI with a TensorBoard."""
    from google.cloud import aiplatform_v1 as api

    with Loopback() as running:
        monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", running.url)
        monkeypatch.setenv("COUNTERSIGN_ANONYMOUS", "1")
        board = api.Tensorboard(name=TENSORBOARD)
        running.world.resources[TENSORBOARD] = type(board).pb(board)
        yield running


def tracked(tensorboard=""):
    tracker = experiments.Tracker(f"{WHERE}/hands/run-1", tensorboard, "ignored")
    tracker.parameters({"model": {"backbone": "strokes", "dropout": None}, "training": {"epochs": 3, "augment": True}})
    tracker.epoch(1, {"loss": 0.5})
    tracker.epoch(2, {"loss": 0.25})
    tracker.numbers({"accuracy": 97.5, "errors": {"error": 2.5}})
    tracker.close()


def context(cloud):
    return cloud.world.resources[f"{WHERE}/metadataStores/default/contexts/hands-run-1"].metadata


def test_parameters_numbers_and_curves_arrive(cloud, capsys):
    tracked(TENSORBOARD)
    assert "not in Vertex Experiments" not in capsys.readouterr().out
    assert dict(context(cloud)["_params"]) == {"model.backbone": "strokes", "training.epochs": 3, "training.augment": 1}
    assert dict(context(cloud)["_metrics"]) == {"accuracy": 97.5, "errors.error": 2.5}
    assert cloud.world.points == [("loss", 1, 0.5), ("loss", 2, 0.25)]


def test_a_run_that_goes_on_is_the_same_run_and_without_a_tensorboard_there_are_no_curves(cloud):
    tracked()
    tracked()
    assert cloud.world.points == []
    runs = [name for name in cloud.world.resources if "/contexts/hands-run-1" in name]
    assert len(runs) == 1


@pytest.mark.parametrize(("failed", "state"), [(False, "COMPLETE"), (True, "FAILED")])
def test_how_a_run_ended_is_told(cloud, failed, state):
    tracker = experiments.Tracker(f"{WHERE}/hands/run-1", "", "ignored")
    tracker.close(failed)
    assert context(cloud)["_state"] == state


@pytest.mark.parametrize("kind", ["forbidden", "fails"])
def test_a_service_that_refuses_costs_the_run_one_line(cloud, capsys, kind):
    cloud.fail("CreateContext", kind, times=9)
    tracked()
    said = capsys.readouterr().out
    assert said.count("not in Vertex Experiments") == 1
    assert "the run is not affected" in said


def test_a_service_that_says_nothing_is_waited_for_no_longer_than_that(cloud, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "PATIENCE", 0.5)
    cloud.fail("GetContext", "silent", times=9)
    began = time.monotonic()
    tracked()
    assert time.monotonic() - began < 5
    assert "did not take everything" in capsys.readouterr().out
    cloud.released.set()
    (sender,) = [thread for thread in threading.enumerate() if thread.name.endswith("(_send)")]
    sender.join(timeout=20)


@pytest.mark.parametrize("name", ["hands", "projects/p/locations/r", "projects/p/locations/r/Hands"])
def test_a_name_that_is_no_experiment_is_an_error(name):
    with pytest.raises(ValueError, match="it has to be projects/"):
        experiment.checked(name)


def test_a_trial_writes_what_vertex_reads_and_nothing_else_does(tmp_path):
    file = tmp_path / "deep" / "output.metrics"
    hypertune.report({"val_loss": 0.5}, 1, {})
    assert not file.exists()
    trial = {"CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": "7"}
    hypertune.report({"val_loss": 0.5, "val_accuracy": 0.75}, 1, trial)
    hypertune.report({"val_loss": 0.25}, 2, trial)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row.pop("timestamp") > 1e9 for row in rows] == [True] * 3
    assert rows == [
        {"trial": "7", "val_loss": "0.5", "global_step": "1"},
        {"trial": "7", "val_accuracy": "0.75", "global_step": "1"},
        {"trial": "7", "val_loss": "0.25", "global_step": "2"},
    ]
