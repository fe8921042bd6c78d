"""Cloud Storage with the real client and an emulator: transfers are complete, and errors name what is missing."""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from google.cloud.storage import Client

from tests.conftest import CLASSIFIER_FLAGS, ROOT, serving
from tests.faults import FaultProxy
from tests.loopback.storage import cloud_storage
from trainer import prepare, storage, task
from trainer.artifact import manifest
from trainer.data import records, sources
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings.config import parse_config
from trainer.storage import StorageError, Workdir, objects

# Google's client does not close the sockets of refused and broken answers; the garbage collector does.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_local_file_is_a_copy_of_an_object_if_time_and_size_are_those_of_its_generation(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    os.utime(tmp_path / "file", ns=(7000, 7000))
    listed = objects.RemoteObject("file", PurePosixPath("file"), generation=7, size=3, crc32c="")
    assert listed.is_stored_at(tmp_path / "file")
    assert not dataclasses.replace(listed, size=4).is_stored_at(tmp_path / "file"), "cut short"
    assert not dataclasses.replace(listed, generation=8).is_stored_at(tmp_path / "file")
    assert not listed.is_stored_at(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def emulator():
    """A server with the bucket ``bank-scans``."""
    with cloud_storage("bank-scans") as url:
        yield url


@pytest.fixture
def bucket(emulator, monkeypatch, tmp_path):
    """The bucket, and an empty cache; clients use the emulator by ``STORAGE_EMULATOR_HOST``, also in subprocesses."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    with contextlib.closing(Client(project="test")) as client:
        yield client.bucket("bank-scans")


@pytest.fixture
def proxy(bucket, emulator, monkeypatch):
    """A proxy before the emulator, which causes faults; timeouts and chunks are small."""
    with FaultProxy(emulator) as fault_proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fault_proxy.url)
        monkeypatch.setattr(objects, "TIMEOUT", 1.0)
        monkeypatch.setattr(objects, "RETRY_SECONDS", 20.0)
        monkeypatch.setattr(objects, "CHUNK_BYTES", 50_000)
        yield fault_proxy
        gc.collect()  # closes sockets now, not in another test


@pytest.fixture
def folder(tmp_path):
    """A folder of two files, one of them in a subfolder."""
    created = tmp_path / "made"
    (created / "deep").mkdir(parents=True)
    (created / "manifest.json").write_text("{}")
    (created / "deep" / "weights.bin").write_bytes(bytes(range(256)) * 500)
    return created


def upload(folder, path, last):
    """Upload a folder to a prefix, as a run does with its artefact."""
    Workdir(folder, path).push(last)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_downloaded_as_it_was_uploaded(bucket, folder, tmp_path):
    upload(folder, "gs://bank-scans/models/1", last="manifest.json")
    fetched = storage.fetch("gs://bank-scans/models/1/", tmp_path / "fetched")
    assert contents(fetched) == contents(folder)


def test_the_file_that_marks_completeness_is_uploaded_last(bucket, folder):
    upload(folder, "gs://bank-scans/models/2", last="manifest.json")
    by_age = sorted(bucket.client.list_blobs(bucket, prefix="models/2/"), key=lambda blob: blob.time_created)
    assert by_age[-1].name == "models/2/manifest.json"


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(bucket, folder, tmp_path):
    upload(folder, "gs://bank-scans/models/30", last="manifest.json")
    with pytest.raises(StorageError, match="nothing below"):
        storage.fetch("gs://bank-scans/models/3", tmp_path / "fetched")
    assert contents(tmp_path) == {f"made/{name}": data for name, data in contents(folder).items()}


def test_the_error_for_a_missing_bucket_names_it(bucket, folder, tmp_path):
    with pytest.raises(StorageError, match="gs://no-such-bucket"):
        storage.fetch("gs://no-such-bucket/x", tmp_path / "fetched")
    with pytest.raises(StorageError, match="gs://no-such-bucket"):
        upload(folder, "gs://no-such-bucket/x", last="manifest.json")
    with pytest.raises(StorageError, match="names no bucket"):
        storage.fetch("gs://", tmp_path / "fetched")


def test_the_error_for_a_missing_permission_names_the_path(proxy, folder, tmp_path):
    proxy.fail("403", "GET", "/b/bank-scans/o")
    with pytest.raises(StorageError, match="no permission for 'gs://bank-scans/private'"):
        storage.fetch("gs://bank-scans/private", tmp_path / "fetched")
    proxy.fail("403", "POST", "/upload/", times=2)
    with pytest.raises(StorageError, match="no permission"):
        upload(folder, "gs://bank-scans/private", last="manifest.json")


@pytest.mark.parametrize("name", ["evil/../../escaped.txt", "evil//etc/passwd", "evil/a/../../x"])
def test_an_object_name_cannot_leave_the_target_folder(name):
    """Tests the function directly, because the emulator keeps objects as files and refuses such names."""
    with pytest.raises(StorageError, match="leaves its folder"):
        objects.relative(name, "evil/")


def test_local_and_mounted_paths_are_used_without_copies(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MOUNT", tmp_path)
    (tmp_path / "bucket" / "a").mkdir(parents=True)
    assert storage.get_local_path("gs://bucket/a/b") == tmp_path / "bucket" / "a" / "b"
    assert storage.fetch("gs://bucket/a") == tmp_path / "bucket" / "a"
    assert Workdir.from_path("gs://bucket/a") == Workdir(tmp_path / "bucket" / "a")
    assert not storage.is_remote("gs://bucket/a")
    assert storage.is_remote("gs://elsewhere/a")
    with pytest.raises(StorageError, match="not mounted"):
        storage.get_local_path("gs://elsewhere/a")


def test_a_second_fetch_downloads_only_new_generations(bucket, folder, proxy, tmp_path):
    path = "gs://bank-scans/cached"
    upload(folder, path, last="manifest.json")
    proxy.log.clear()
    first = storage.fetch(path)
    assert proxy.requests("GET", "alt=media") > 0
    proxy.log.clear()
    assert storage.fetch(path) == first
    assert proxy.requests("GET", "alt=media") == 0
    (folder / "manifest.json").write_text("[1]")
    os.remove(folder / "deep" / "weights.bin")
    (folder / "deep" / "more.bin").write_bytes(b"more")
    upload(folder, path, last="manifest.json")
    bucket.blob("cached/deep/weights.bin").delete()
    proxy.log.clear()
    assert contents(storage.fetch(path)) == contents(folder), "a file that was deleted there is deleted here"
    assert proxy.requests("GET", "alt=media") == 2


@pytest.mark.parametrize("fault", ["reset", "503", "flip", "hang", "lost"])
def test_a_fault_during_a_download_does_not_change_the_result(folder, proxy, tmp_path, fault):
    upload(folder, f"gs://bank-scans/down-{fault}", last="manifest.json")
    proxy.fail(fault, "GET", f"down-{fault}/deep/weights.bin", times=2)
    fetched = storage.fetch(f"gs://bank-scans/down-{fault}", tmp_path / "fetched")
    assert proxy.unused == 0
    assert contents(fetched) == contents(folder)


@pytest.mark.parametrize("fault", ["reset", "503", "flip request", "hang", "lost"])
def test_a_fault_during_an_upload_does_not_change_the_result(folder, proxy, tmp_path, fault):
    path = f"gs://bank-scans/up-{fault.replace(' ', '-')}"
    proxy.fail(fault, "POST", "/upload/", times=1)
    upload(folder, path, last="manifest.json")
    assert proxy.unused == 0
    assert contents(storage.fetch(path, tmp_path / "fetched")) == contents(folder)


def test_a_file_that_always_arrives_damaged_is_an_error_and_never_has_its_final_name(bucket, folder, proxy, tmp_path):
    upload(folder, "gs://bank-scans/bad", last="manifest.json")
    proxy.fail("flip", "GET", "bad/deep/weights.bin", times=99)
    with pytest.raises(StorageError, match=r"bad/deep/weights\.bin arrives damaged"):
        storage.fetch("gs://bank-scans/bad", tmp_path / "fetched")
    assert not (tmp_path / "fetched" / "deep" / "weights.bin").exists()
    proxy.fail("flip request", "POST", "/upload/", times=99)
    with pytest.raises(StorageError, match="arrives damaged"):
        upload(folder, "gs://bank-scans/bad-up", last="manifest.json")
    assert list(bucket.client.list_blobs(bucket, prefix="bad-up/")) == []


@pytest.mark.slow
def test_a_server_that_never_answers_is_an_error_after_the_time_of_retries(folder, proxy, monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "RETRY_SECONDS", 3.0)
    proxy.fail("hang", "GET", "/b/bank-scans/o", times=99)
    with pytest.raises(StorageError, match="gs://bank-scans/silent"):
        storage.fetch("gs://bank-scans/silent", tmp_path / "fetched")


def test_an_interrupted_download_continues_after_the_last_chunk(folder, proxy, monkeypatch, tmp_path):
    upload(folder, "gs://bank-scans/resumed", last="manifest.json")
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.5)
    with objects.Bucket("gs://bank-scans/resumed") as remote:
        (big,) = [item for item in remote.list() if item.name.endswith("weights.bin")]
        first_sizes = []

        def interrupt_after_two(size):
            first_sizes.append(size)
            if len(first_sizes) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            remote.download(big, tmp_path / "big", interrupt_after_two)
        assert not (tmp_path / "big").exists()
        second_sizes = []
        remote.download(big, tmp_path / "big", second_sizes.append)
    assert sum(first_sizes) == 100_000
    assert sum(second_sizes) == big.size - 100_000
    assert (tmp_path / "big").read_bytes() == (folder / "deep" / "weights.bin").read_bytes()


def test_an_upload_that_fails_before_its_marker_does_not_look_complete(folder, proxy, monkeypatch, tmp_path):
    path = "gs://bank-scans/models/4"
    upload(folder, path, last="manifest.json")
    (folder / "deep" / "weights.bin").write_bytes(b"new")
    monkeypatch.setattr(objects, "RETRY_SECONDS", 1.0)
    proxy.fail("503", "POST", "/upload/", times=99)
    with pytest.raises(StorageError):
        upload(folder, path, last="manifest.json")
    proxy.cancel()
    assert not (storage.fetch(path, tmp_path / "fetched") / "manifest.json").exists()


def test_a_push_uploads_only_what_changed_and_deletes_what_was_deleted(folder, proxy):
    workdir = Workdir(folder, "gs://bank-scans/pushed", is_excluded=lambda name: name.suffix == ".partial")
    (folder / "half.partial").write_text("half")
    workdir.push("manifest.json")
    proxy.log.clear()
    workdir.push("manifest.json")
    assert proxy.log == []
    (folder / "deep" / "weights.bin").rename(folder / "deep" / "weights-2.bin")
    workdir.push("manifest.json")
    assert proxy.requests("POST", "/upload/") == 1
    pulled = Workdir(folder.with_name("pulled"), "gs://bank-scans/pushed")
    pulled.pull()
    assert set(contents(pulled.folder)) == {"manifest.json", "deep/weights-2.bin"}


def test_a_complete_upload_is_not_repeated_and_its_marker_is_not_deleted(folder, proxy):
    upload(folder, "gs://bank-scans/again", last="manifest.json")
    proxy.log.clear()
    upload(folder, "gs://bank-scans/again", last="manifest.json")
    assert {method for method, _ in proxy.log} == {"GET"}


def test_fetching_data_at_a_prefix_above_a_job_does_not_change_the_files_of_the_job(bucket, folder):
    job = Workdir.from_path("gs://bank-scans/above/job")
    job.folder.mkdir(parents=True)
    (job.folder / "checkpoint").write_text("not uploaded yet")
    upload(folder, "gs://bank-scans/above/data", last="manifest.json")
    storage.fetch("gs://bank-scans/above")
    assert (job.folder / "checkpoint").exists()


OUTER, INNER = "gs://bank-scans/nested", "gs://bank-scans/nested/gate"


@pytest.fixture
def nested(bucket, folder):
    """Data at a prefix, and an artefact at a prefix below it: the files of both, by path."""
    (folder / "scan.png").write_bytes(b"scan")
    upload(folder, INNER, last="manifest.json")
    bucket.blob("nested/other.png").upload_from_string(b"other")
    return {OUTER: {"other.png": b"other", "gate/scan.png": b"scan"}, INNER: contents(folder)}


def is_image(name):
    return name.endswith(".png")


def fetch(path):
    """Fetch the images of the outer prefix, or all of the inner one; return the folder."""
    return storage.fetch(path, is_selected=is_image if path == OUTER else lambda name: True)


@pytest.mark.parametrize("order", [(OUTER, INNER), (INNER, OUTER)], ids=["outer first", "inner first"])
def test_fetching_a_prefix_deletes_no_file_of_a_nested_prefix(nested, order):
    folders = {path: fetch(path) for path in order}
    assert {path: contents(folder) for path, folder in folders.items()} == nested


def test_threads_and_processes_may_fetch_nested_prefixes_at_the_same_time(nested, tmp_path):
    code = f"""
from trainer import storage
for _ in range(5):
    storage.fetch({OUTER!r}, is_selected=lambda name: name.endswith(".png"))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = [OUTER, INNER] * 12
        results = list(pool.map(lambda path: (path, contents(fetch(path))), paths))
    assert process.wait(timeout=60) == 0
    assert all(files == nested[path] for path, files in results)
    assert contents(fetch(INNER)) == nested[INNER]


def test_fetching_a_selection_does_not_delete_the_other_files_of_the_prefix(nested):
    fetched = storage.fetch(INNER)
    assert storage.fetch(INNER, is_selected=is_image) == fetched
    assert contents(fetched) == nested[INNER]


def test_pulling_a_job_does_not_change_the_files_of_a_job_below_it(bucket, folder):
    inner = Workdir.from_path("gs://bank-scans/runs/7")
    inner.folder.mkdir(parents=True)
    (inner.folder / "checkpoint").write_text("not uploaded yet")
    upload(folder, "gs://bank-scans/runs", last="manifest.json")
    Workdir.from_path("gs://bank-scans/runs").pull()
    assert (inner.folder / "checkpoint").read_text() == "not uploaded yet"


def test_a_second_process_does_not_change_a_job_that_is_locked(bucket, tmp_path):
    config = parse_config(["--job-dir", "gs://bank-scans/locked"])
    with open_run_dir(config, datetime.datetime.now()) as opened:
        (opened.folder / "audit.json").write_text("not uploaded yet")
        code = """
import datetime
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings.config import parse_config
open_run_dir(parse_config(["--job-dir", "gs://bank-scans/locked"]), datetime.datetime.now())
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert "another process is working" in done.stderr
        assert (opened.folder / "audit.json").exists()


def test_an_index_on_cloud_storage_is_fetched_with_its_images(bucket, tmp_path):
    indexed = tmp_path / "indexed"
    indexed.mkdir()
    (indexed / "a.png").write_bytes(b"a")
    (indexed / "notes.txt").write_text("not needed")
    (indexed / "list.csv").write_text("path,label\na.png,text\n")
    upload(indexed, "gs://bank-scans/indexed", last="list.csv")
    source = sources.fetch_source("gs://bank-scans/indexed/list.csv")
    assert source.root.read_text().startswith("path")
    assert source.name == "list"
    assert sorted(p.name for p in source.root.parent.iterdir()) == ["a.png", "list.csv"]


@pytest.mark.whole
def test_a_run_exports_to_cloud_storage_and_a_server_serves_from_there(bucket, scans, tmp_path, capsys):
    model_dir = "gs://bank-scans/run/model"
    arguments = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--model-dir", model_dir]
    assert task.main([*arguments, *CLASSIFIER_FLAGS, "--epochs", "1"]) == 0
    assert model_dir in capsys.readouterr().out
    exported = storage.fetch(model_dir, tmp_path / "exported")
    manifest.verify(manifest.read(exported), exported)
    (tmp_path / "tmp").mkdir()
    with serving(AIP_STORAGE_URI=model_dir, TMPDIR=str(tmp_path / "tmp")):  # ready after the golden answers
        assert list((tmp_path / "tmp").iterdir()) == [], "the server must delete what it downloaded"


def read_metrics(folder):
    """Return the classification metrics in the report of a run."""
    return json.loads((folder / "report" / "report.json").read_text())["classification"]


@pytest.mark.whole
def test_zip_and_prefix_give_the_metrics_of_the_folder_and_a_job_continues(bucket, scans, run_dir, tmp_path):
    """Data as a zip file or a prefix, the job with its checkpoints and the artefact are all on Cloud Storage."""
    archive = shutil.make_archive(str(tmp_path / "scans"), "zip", scans.parent, "scans")
    for path in (p for p in scans.rglob("*") if p.is_file()):
        bucket.blob(f"data/scans/{path.relative_to(scans).as_posix()}").upload_from_filename(str(path))
    bucket.blob("data/scans.zip").upload_from_filename(archive)
    job = "gs://bank-scans/jobs/a"
    command = ["--train-dir", "gs://bank-scans/data/scans.zip", "--job-dir", job, *CLASSIFIER_FLAGS]
    assert prepare.main(command) == 0
    shutil.rmtree(tmp_path / "cache")  # as on another machine
    assert task.main(command) == 0
    copy = storage.fetch(job, tmp_path / "job")
    assert read_metrics(copy) == read_metrics(run_dir)
    assert records.read(copy / "records").data_sources[0]["path"] == "gs://bank-scans/data/scans.zip"
    manifest.verify(manifest.read(copy / "model"), copy / "model")
    assert (copy / "checkpoints" / "newest" / "checkpoint").is_file()
    log = (copy / "log.txt").read_text()
    assert log.index("records: ") < log.index("epoch 1/3") < log.index("artefact: gs://"), "the log of both commands"
    job_dir, remote = tmp_path / "from-prefix", "gs://bank-scans/jobs/b"
    folders = [
        "--job-dir",
        str(job_dir),
        "--checkpoint-dir",
        f"{remote}/saved",
        "--tensorboard-dir",
        f"{remote}/curves",
    ]
    assert task.main(["--train-dir", "gs://bank-scans/data/scans", *folders, *CLASSIFIER_FLAGS]) == 0
    assert read_metrics(job_dir) == read_metrics(run_dir)
    uploaded = [blob.name for blob in bucket.client.list_blobs(bucket, prefix="jobs/b/")]
    assert "jobs/b/saved/newest/checkpoint" in uploaded
    assert any("events.out" in name for name in uploaded)
    with serving("--artifact", f"{job}/model"):
        pass
