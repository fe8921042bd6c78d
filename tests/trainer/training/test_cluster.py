"""Several machines train one model: only the chief writes, and the model is that of one machine."""

import csv
import dataclasses
import json
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import CLASSIFIER_FLAGS, ROOT
from trainer import task
from trainer.artifact import manifest
from trainer.pipeline.train import train
from trainer.settings.config import parse_config
from trainer.settings.flags import BadSetting
from trainer.training import cluster
from trainer.training.cluster import BadCluster


def make_tf_config(task_type, index, **cluster):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": task_type, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (True, 1)),
        (make_tf_config("chief", 0, chief=["a:1"], worker=["b:1"]), (True, 2)),
        (make_tf_config("worker", 0, chief=["a:1"], worker=["b:1"]), (False, 2)),
        (make_tf_config("worker", 0, worker=["a:1", "b:1", "c:1"]), (True, 3)),
        (make_tf_config("worker", 1, worker=["a:1", "b:1", "c:1"]), (False, 3)),
        (make_tf_config("master", 0, master=["a:1"]), (True, 1)),
    ],
)
def test_the_chief_is_the_task_of_that_type_or_worker_0(environment, expected):
    assert cluster.parse_tf_config(environment) == expected


@pytest.mark.parametrize("text", ["{", '{"cluster": 3}', '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps"}}'])
def test_an_unsupported_cluster_is_an_error_that_names_tf_config(text):
    with pytest.raises(BadCluster, match="TF_CONFIG"):
        cluster.parse_tf_config({"TF_CONFIG": text})


def run_two_workers(flags, folder):
    """Train with two workers on this machine; return what each printed, and its exit status."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{bound.getsockname()[1]}" for bound in (first, second)]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    processes = []
    for task_type in ("chief", "worker"):
        environment = {**os.environ, **make_tf_config(task_type, 0, **cluster), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "trainer.task", *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen(command, cwd=folder, env=environment, **pipes))
    return [(process.communicate(timeout=200)[0], process.returncode) for process in processes]


@dataclasses.dataclass
class FakeStrategy:
    """A strategy that knows nothing but its number of devices."""

    num_replicas_in_sync: int


def test_a_batch_with_too_few_writers_for_the_devices_is_refused_before_anything_is_written(tmp_path):
    flags = ["--problem", "same_writer", "--batch-size", "16", "--job-dir", str(tmp_path / "job")]
    with pytest.raises(BadSetting, match=r"--batch-size 16: .* 32\b"):
        train(parse_config(flags), cluster.Worker(strategy=FakeStrategy(4)))
    assert not (tmp_path / "job").exists()


def test_a_machine_without_accelerators_is_one_replica():
    assert cluster.Worker().num_replicas == 1
    assert cluster.Worker(strategy=FakeStrategy(6)).num_replicas == 6


def read_numbers(path):
    return [float(value) for line in path.read_text().splitlines()[1:] for value in line.split(",")]


def read_losses(path) -> list[float]:
    """Read the losses of all epochs: error rates of few writers change in steps."""
    with path.open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.whole
def test_two_workers_make_one_model_and_only_the_chief_writes(scans, tmp_path):
    # Without dropout, which draws other numbers on each device, it is the model that one machine makes.
    flags = ["--train-dir", str(scans), *CLASSIFIER_FLAGS, "--epochs", "2", "--dropout", "0"]
    assert task.main([*flags, "--job-dir", str(tmp_path / "alone")]) == 0
    (chief_output, chief_status), (worker_output, worker_status) = run_two_workers(
        [*flags, "--job-dir", str(tmp_path / "job")], tmp_path
    )
    assert (chief_status, worker_status) == (0, 0), chief_output + worker_output
    assert "ROC-AUC" in chief_output
    assert "ROC-AUC" not in worker_output
    artifact_dir = tmp_path / "job" / "model"
    manifest.verify(manifest.read(artifact_dir), artifact_dir)
    history, expected = (read_numbers(tmp_path / name / "training.csv") for name in ("job", "alone"))
    assert history == pytest.approx(expected, abs=2e-3), "the same batches, in two halves"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "job"]


@pytest.mark.whole
def test_two_workers_compare_the_images_of_both(tmp_path):
    """The similarities of a batch are of images of both workers, so the numbers are those of one machine."""
    flags = ["--problem", "same_writer", "--writers", "12", "--image-height", "32", "--image-width", "64"]
    flags += ["--epochs", "2", "--batch-size", "32", "--copies-share", "0"]
    assert task.main([*flags, "--job-dir", str(tmp_path / "alone")]) == 0
    results = run_two_workers([*flags, "--job-dir", str(tmp_path / "job")], tmp_path)
    assert [status for _, status in results] == [0, 0], results[0][0] + results[1][0]
    losses, expected = (read_losses(tmp_path / name / "training.csv") for name in ("job", "alone"))
    assert losses == pytest.approx(expected, rel=5e-3), "the same batches, in two halves"
