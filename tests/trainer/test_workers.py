"""Several machines train one model: only the primary writes, and the model is that of one machine with two devices."""

import dataclasses
import json
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT, SMALL_RUN
from trainer import task
from trainer.artifact import manifest
from trainer.pipeline.train import train
from trainer.settings.config import from_command_line as settings_of
from trainer.settings.flags import BadSetting
from trainer.training import cluster
from trainer.training.cluster import BadCluster


def config(kind, index, **cluster):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (True, 1)),
        (config("chief", 0, chief=["a:1"], worker=["b:1"]), (True, 2)),
        (config("worker", 0, chief=["a:1"], worker=["b:1"]), (False, 2)),
        (config("worker", 0, worker=["a:1", "b:1", "c:1"]), (True, 3)),
        (config("worker", 1, worker=["a:1", "b:1", "c:1"]), (False, 3)),
        (config("master", 0, master=["a:1"]), (True, 1)),
    ],
)
def test_the_primary_is_the_chief_or_the_first_worker(environment, expected):
    assert cluster.role(environment) == expected


@pytest.mark.parametrize("told", ["{", '{"cluster": 3}', '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps"}}'])
def test_a_cluster_that_cannot_train_is_an_error_that_says_so(told):
    with pytest.raises(BadCluster, match="TF_CONFIG"):
        cluster.role({"TF_CONFIG": told})


def together(settings, folder):
    """Two workers on this machine; what each printed, and how it ended."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in (first, second)]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    processes = []
    for kind in ("chief", "worker"):
        place = {**os.environ, **config(kind, 0, **cluster), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "trainer.task", *settings]
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": folder, "env": place}
        processes.append(subprocess.Popen(command, **how))
    return [(process.communicate(timeout=200)[0], process.returncode) for process in processes]


@dataclasses.dataclass
class Devices:
    """A strategy of so many devices, of which training never gets to ask for more."""

    num_replicas_in_sync: int


def test_a_batch_with_one_writer_for_each_device_is_refused_before_anything_is_written(tmp_path):
    flags = ["--problem", "same_writer", "--batch-size", "16", "--job-dir", str(tmp_path / "job")]
    with pytest.raises(BadSetting, match=r"--batch-size 16: .* 32\b"):
        train(settings_of(flags), cluster.Role(strategy=Devices(2)))
    assert not (tmp_path / "job").exists()


def test_one_machine_without_accelerators_is_one_device():
    assert cluster.Role().replicas == 1
    assert cluster.Role(strategy=Devices(6)).replicas == 6


def read(path):
    return [float(value) for line in path.read_text().splitlines()[1:] for value in line.split(",")]


@pytest.mark.whole
def test_two_workers_make_one_model_and_only_the_primary_writes(scans, tmp_path):
    # Without dropout, whose chances differ between devices, it is the model that one machine makes.
    settings = ["--train-dir", str(scans), *SMALL_RUN, "--epochs", "2", "--dropout", "0"]
    assert task.main([*settings, "--job-dir", str(tmp_path / "alone")]) == 0
    settings += ["--job-dir", str(tmp_path / "job")]
    (said, ended), (other, other_ended) = together(settings, tmp_path)
    assert (ended, other_ended) == (0, 0), said + other
    assert "ROC-AUC" in said
    assert "ROC-AUC" not in other
    found = manifest.read(tmp_path / "job" / "model")
    manifest.verify(found, tmp_path / "job" / "model")
    rows, alone = (read(tmp_path / name / "training.csv") for name in ("job", "alone"))
    assert rows == pytest.approx(alone, abs=2e-3), "the same batches, in two halves"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "job"]
