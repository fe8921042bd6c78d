"""Preparing on Beam gives the records, audit and manifest of a local run, byte for byte, whatever fails on the way."""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import pytest
from apache_beam.runners.dataflow import dataflow_runner
from google.cloud.storage import Client
from PIL import Image

from tests.conftest import ROOT
from tests.loopback.dataflow import dataflow_service
from tests.loopback.storage import cloud_storage
from trainer import prepare, storage
from trainer.console.errors import UserError
from trainer.data import blocking, image_index, records
from trainer.storage import remote_files

FLAGS = ["--problem", "same_writer", "--copies-share", "0", "--seed", "3"]
IN_MEMORY = ["--runner", "direct", "--", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


@pytest.fixture(scope="module")
def data(verification_data, tmp_path_factory):
    """Generated people with near copies in other folders, equal files, and files that are no images."""
    folder = shutil.copytree(verification_data, tmp_path_factory.mktemp("beam") / "people")
    for number, writer in enumerate(["001", "002", "003"]):
        original = min((folder / writer).iterdir())
        picture = Image.open(original).convert("L")
        size = picture.width * 11 // 10, picture.height * 11 // 10
        picture.resize(size).save(folder / f"00{number + 5}" / "resized.png")
        shutil.copy(original, folder / f"00{number + 6}" / f"same{original.suffix}")
        (folder / writer / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def small_parts(monkeypatch):
    """Chunks, blocks and shards of which the data has several."""
    monkeypatch.setattr(image_index, "IMAGES_PER_CHUNK", 16)
    monkeypatch.setattr(blocking, "MAX_BLOCK", 24)
    monkeypatch.setattr(records, "IMAGES_PER_SHARD", 40)


def prepare_records(data, job_dir, *arguments):
    return prepare.main(["--train-dir", str(data), "--job-dir", str(job_dir), *FLAGS, *arguments])


def read_files(job_dir):
    """Read what a run has prepared, by file name."""
    files = [job_dir / "audit.json", job_dir / "config.toml", *(job_dir / "records").rglob("*")]
    return {path.relative_to(job_dir).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def expected(data, tmp_path, small_parts):
    """The files of a local run."""
    assert prepare_records(data, tmp_path / "local") == 0
    files = read_files(tmp_path / "local")
    assert len([name for name in files if name.endswith(".gz")]) > 2, "several shards"
    assert json.loads(files["audit.json"])["duplicates"]["near"] >= 3
    return files


@pytest.mark.usefixtures("tensorflow")
def test_the_files_are_those_of_a_local_run(data, expected, tmp_path):
    assert prepare_records(data, tmp_path / "beam", *IN_MEMORY) == 0
    assert read_files(tmp_path / "beam") == expected
    assert not (tmp_path / "beam" / "survey").exists(), "work files are deleted"


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--runner", "direct", "--", "--direct_num_workers=2"],
        ["--runner", "portable"],
    ],
    ids=["two processes", "portable"],
)
def test_the_files_are_the_same_on_several_workers(data, arguments, tmp_path):
    for name, runner in (("local", []), ("beam", arguments)):
        assert prepare_records(data, tmp_path / name, *runner) == 0
    assert read_files(tmp_path / "beam") == read_files(tmp_path / "local")


@pytest.mark.usefixtures("tensorflow")
def test_steps_that_fail_after_their_work_are_retried_and_change_nothing(data, expected, tmp_path, monkeypatch):
    """A worker may die when its files are written and Beam does not know it."""
    from trainer.beam import duplicates, indexing, shards

    failures = collections.Counter()

    def fail_twice(step):
        process = step.process

        def process_and_fail(self, element):
            results = [*process(self, element)]
            if failures[step.__name__] < 2:
                failures[step.__name__] += 1
                raise ConnectionResetError("a planned failure")
            return iter(results)

        monkeypatch.setattr(step, "process", process_and_fail)

    for step in (indexing.IndexChunk, duplicates.CompareLeaf, duplicates.ConfirmPair, shards.WriteShard):
        fail_twice(step)
    options = ["--runner", "direct", "--", "--runner=BundleBasedDirectRunner"]  # the runner in Python that retries
    assert prepare_records(data, tmp_path / "beam", *options) == 0
    assert failures == dict.fromkeys(("IndexChunk", "CompareLeaf", "ConfirmPair", "WriteShard"), 2)
    assert read_files(tmp_path / "beam") == expected


@pytest.mark.usefixtures("tensorflow")
def test_a_run_that_is_stopped_goes_on_with_what_is_missing(data, expected, tmp_path, monkeypatch, capsys):
    from trainer.beam import indexing, shards

    counts = {"IndexChunk": 0, "WriteShard": 0}

    def stop_after(step, limit):
        process = step.process

        def process_until(self, element):
            counts[step.__name__] += 1
            if counts[step.__name__] == limit:
                raise OSError("the disk of a worker is full")
            yield from process(self, element)

        monkeypatch.setattr(step, "process", process_until)

    stop_after(indexing.IndexChunk, 4)
    stop_after(shards.WriteShard, 3)
    assert prepare_records(data, tmp_path / "beam", *IN_MEMORY) == 1
    assert "the disk of a worker is full" in capsys.readouterr().err
    assert not (tmp_path / "beam" / "records").exists(), "no part of records"
    assert prepare_records(data, tmp_path / "beam", *IN_MEMORY) == 1
    assert prepare_records(data, tmp_path / "beam", *IN_MEMORY) == 0
    chunks = -(-json.loads(expected["audit.json"])["images"] // 16)
    assert counts["IndexChunk"] == chunks + 1, "each chunk once, but for the one that failed"
    assert counts["WriteShard"] == len([name for name in expected if name.endswith(".gz")]) + 1
    assert read_files(tmp_path / "beam") == expected


@pytest.fixture
def bucket(data, monkeypatch, tmp_path):
    """A bucket that has the data, and an empty cache."""
    with cloud_storage("bank-scans") as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
        with contextlib.closing(Client(project="test")) as client:
            bucket = client.bucket("bank-scans")
            for path in data.rglob("*.*"):
                bucket.blob(f"people/{path.relative_to(data).as_posix()}").upload_from_filename(str(path))
            yield bucket
        remote_files._connect.cache_clear()  # connections to this emulator


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_data_on_cloud_storage_is_read_by_the_workers_alone(bucket, tmp_path):
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS]
    assert prepare.main([*flags, "--job-dir", "gs://bank-scans/runs/beam", *IN_MEMORY]) == 0
    assert not list((tmp_path / "cache").rglob("000.*")), "no image is downloaded to the machine of the command"
    stored = {blob.name for blob in bucket.list_blobs(prefix="runs/beam/")}
    assert "runs/beam/records/manifest.json" in stored
    assert not [name for name in stored if "survey" in name], "work files are deleted"
    assert prepare.main([*flags, "--job-dir", str(tmp_path / "local")]) == 0
    for name, expected in read_files(tmp_path / "local").items():
        if name != "config.toml":
            assert bucket.blob(f"runs/beam/{name}").download_as_bytes() == expected, name


@pytest.fixture
def dataflow(monkeypatch):
    """Dataflow on loopback and the options of Beam for it; its client asks at once, not every five seconds."""
    sleep = time.sleep
    clock = types.SimpleNamespace(sleep=lambda seconds: sleep(min(seconds, 0.05)), time=time.time)
    monkeypatch.setattr(dataflow_runner, "time", clock)
    options = ["--project=bank", "--region=europe-west4", "--sdk_container_image=docker.example/prepare@sha256:0a"]
    with dataflow_service() as (service, address):
        yield service, [*options, f"--dataflow_endpoint={address}", "--no_auth"]


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_jobs_of_dataflow_write_the_same_files(bucket, dataflow, tmp_path):
    service, options = dataflow
    options += ["--worker_machine_type=n2-standard-4", "--max_num_workers=40"]
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS]
    beam_flags = ["--job-dir", "gs://bank-scans/runs/beam", "--runner", "dataflow", "--", *options]
    assert prepare.main([*flags, *beam_flags]) == 0
    names = [job["name"].rpartition("-")[0] for job in service.jobs.values()]
    assert names[0] == "countersign-index"
    assert names[-1] == "countersign-records"
    assert set(names[1:-1]) == {"countersign-near-duplicates"}
    for job in service.jobs.values():
        (pool,) = job["environment"]["workerPools"]
        assert pool["machineType"] == "n2-standard-4"
        assert pool["autoscalingSettings"]["maxNumWorkers"] == 40
        assert [each["containerImage"] for each in pool["sdkHarnessContainerImages"]] == [
            "docker.example/prepare@sha256:0a"
        ]
    assert prepare.main([*flags, "--job-dir", str(tmp_path / "local")]) == 0
    for name, expected in read_files(tmp_path / "local").items():
        if name != "config.toml":
            assert bucket.blob(f"runs/beam/{name}").download_as_bytes() == expected, name


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_a_job_of_dataflow_that_fails_is_an_error_with_its_message(bucket, dataflow, monkeypatch, capsys):
    from trainer.beam import indexing

    def fail(self, element):
        raise OSError("the disk of a worker is full")

    monkeypatch.setattr(indexing.IndexChunk, "process", fail)
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS, "--job-dir", "gs://bank-scans/runs/beam"]
    assert prepare.main([*flags, "--runner", "dataflow", "--", *dataflow[1]]) == 1
    error = capsys.readouterr().err
    assert "the pipeline for index failed; the same command continues it" in error
    assert "the disk of a worker is full" in error


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_an_interrupted_command_cancels_its_job_of_dataflow(bucket, dataflow, monkeypatch):
    service, options = dataflow

    def interrupt(self, duration=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataflow_runner.DataflowPipelineResult, "wait_until_finish", interrupt)
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS, "--job-dir", "gs://bank-scans/runs/beam"]
    assert prepare.main([*flags, "--runner", "dataflow", "--", *options]) == 130
    (job,) = service.jobs.values()
    assert job["currentState"] == "JOB_STATE_CANCELLED"


@pytest.mark.slow
def test_sigterm_cancels_the_job_of_dataflow(bucket, dataflow, tmp_path):
    """Vertex AI sends it to the driver when its custom job is cancelled."""
    service, options = dataflow
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS, "--job-dir", "gs://bank-scans/runs/beam"]
    command = [sys.executable, "-m", "trainer.prepare", *flags, "--runner", "dataflow", "--", *options]
    output = tmp_path / "output.txt"
    with output.open("w") as file, subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file) as process:
        deadline = time.monotonic() + 120
        while not service.polled and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        process.wait(timeout=60)
    assert process.returncode == 130, output.read_text()
    assert "interrupted; the same command continues from here" in output.read_text()
    (job,) = service.jobs.values()
    assert job["requestedState"] == "cancelled"


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_what_workers_of_dataflow_read_is_not_read_through_the_mount_of_the_driver(
    bucket, dataflow, tmp_path, monkeypatch
):
    """On Vertex AI, where the driver runs, every bucket is mounted; the job dir would be a local folder."""
    monkeypatch.setattr(storage, "MOUNT", tmp_path / "gcs")
    (tmp_path / "gcs" / "bank-scans").mkdir(parents=True)
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS, "--job-dir", "gs://bank-scans/runs/beam"]
    assert prepare.main([*flags, "--runner", "dataflow", "--", *dataflow[1]]) == 0
    assert bucket.blob("runs/beam/records/manifest.json").exists()
    assert not list((tmp_path / "gcs").rglob("*.*"))
    assert not storage.is_remote("gs://bank-scans/runs/beam"), "mounts are used again"


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_a_training_whose_buckets_are_mounted_continues_what_workers_prepared(bucket, data, tmp_path, monkeypatch):
    """The files of a mount have other times than their objects; equal images are the same data."""
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS, "--job-dir"]
    assert prepare.main([*flags, "gs://bank-scans/runs/beam", *IN_MEMORY]) == 0
    mount = tmp_path / "gcs" / "bank-scans"
    for blob in bucket.list_blobs():
        (mount / blob.name).parent.mkdir(parents=True, exist_ok=True)
        blob.download_to_filename(str(mount / blob.name))
    monkeypatch.setattr(storage, "MOUNT", tmp_path / "gcs")
    prepared = {path: path.stat().st_mtime_ns for path in (mount / "runs" / "beam" / "records").rglob("*")}
    assert prepare.main([*flags, "gs://bank-scans/runs/beam"]) == 0
    assert {path: path.stat().st_mtime_ns for path in prepared} == prepared, "nothing is written again"
    assert not list((tmp_path / "cache").rglob("000.*")), "no image is downloaded"


@pytest.mark.parametrize(
    ("job_dir", "options", "message"),
    [
        ("runs/local", [], "needs a --job-dir on Cloud Storage (gs://BUCKET/PATH), not 'runs/local'"),
        ("gs://b/run", ["--project=p"], "needs, after --, --region=... and --sdk_container_image=..."),
    ],
)
def test_what_dataflow_needs_is_said(job_dir, options, message):
    from trainer.beam.options import make_options

    with pytest.raises(UserError, match=re.escape(message)):
        make_options("dataflow", options, job_dir)


@pytest.mark.usefixtures("tensorflow", "small_parts")
def test_a_run_on_cloud_storage_goes_on(bucket, tmp_path, monkeypatch, capsys):
    from trainer.beam import indexing

    process, calls = indexing.IndexChunk.process, []

    def process_until(self, element):
        calls.append(element)
        if len(calls) in (4, 7):
            raise OSError("the disk of a worker is full")
        yield from process(self, element)

    monkeypatch.setattr(indexing.IndexChunk, "process", process_until)
    flags = ["--train-dir", "gs://bank-scans/people", *FLAGS, "--job-dir", "gs://bank-scans/runs/beam", *IN_MEMORY]
    assert prepare.main(flags) == 1
    shutil.rmtree(tmp_path / "cache")  # another machine continues
    assert prepare.main(flags) == 1
    assert not list((tmp_path / "cache").rglob("*.images")), "the command downloads no images to continue"
    assert prepare.main(flags) == 0
    assert len(calls) == len(set(calls)) + 2, "no chunk but those that failed is made twice"


@pytest.mark.usefixtures("tensorflow")
def test_images_that_cannot_be_read_are_counted_and_named(data, tmp_path, capsys):
    assert prepare_records(data, tmp_path / "beam", *IN_MEMORY) == 0
    printed = capsys.readouterr().out
    assert "rejected images: 3" in printed
    assert "3 left out" in printed
    refused = json.loads((tmp_path / "beam" / "audit.json").read_text())["refused"]
    assert {entry["image"] for entry in refused} == {f"people/00{n}/broken.png" for n in (1, 2, 3)}


def test_a_killed_run_goes_on(data, tmp_path):
    command = [sys.executable, "-m", "trainer.prepare", "--train-dir", str(data), "--job-dir", str(tmp_path / "beam")]
    command += [*FLAGS, "--runner", "direct"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    survey = tmp_path / "beam" / "survey"
    deadline = time.monotonic() + 120
    while not any(survey.glob("*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "beam" / "records" / "manifest.json").exists()
    assert prepare_records(data, tmp_path / "beam", *IN_MEMORY) == 0
    assert prepare_records(data, tmp_path / "local") == 0
    assert read_files(tmp_path / "beam") == read_files(tmp_path / "local")


def test_options_of_beam_need_a_runner(capsys):
    with pytest.raises(SystemExit) as exit:
        prepare.main(["--train-dir", "scans", "--", "--direct_num_workers=2"])
    assert exit.value.code == 2
    assert "options of Beam (--direct_num_workers=2) need a --runner" in capsys.readouterr().err


def test_without_beam_the_error_says_what_to_install(data, tmp_path, monkeypatch, capsys):
    for name in [
        name for name in sys.modules if name.split(".")[0] == "apache_beam" or name.startswith("trainer.beam")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert prepare_records(data, tmp_path / "beam", "--runner", "direct") == 1
    assert "pip install 'countersign[beam]'" in capsys.readouterr().err


def test_a_published_file_is_whole_or_absent(tmp_path):
    from trainer.beam.work_folder import WorkFolder

    work = WorkFolder(str(tmp_path / "work"))

    def fail(folder):
        (folder / "a").write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), work.publish() as folder:
        fail(folder)
    assert work.list() == set()
    work.write("below/a", b"whole")
    assert work.list("below") == {"below/a"}
    assert work.read("below/a") == b"whole"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["below"]
