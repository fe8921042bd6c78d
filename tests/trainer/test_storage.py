"""Cloud Storage with the real client against a real emulator: what is copied is whole, what is missing is named."""

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

from tests.conftest import ROOT, SMALL_RUN, serving
from tests.faults import FaultProxy
from tests.loopback.storage import cloud_storage
from trainer import prepare, storage, task
from trainer.artifact import manifest
from trainer.data import records, sources
from trainer.pipeline import run_dir
from trainer.settings import config
from trainer.storage import Place, StorageError, objects

# Google's client drops refused and broken answers unread, so their sockets are closed by the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_local_file_is_an_object_when_both_its_time_and_its_size_are_that_of_its_generation(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    os.utime(tmp_path / "file", ns=(7000, 7000))
    listed = objects.Remote("file", PurePosixPath("file"), generation=7, size=3, crc32c="")
    assert listed.is_at(tmp_path / "file")
    assert not dataclasses.replace(listed, size=4).is_at(tmp_path / "file"), "cut short"
    assert not dataclasses.replace(listed, generation=8).is_at(tmp_path / "file")
    assert not listed.is_at(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def emulator():
    """A server with the bucket ``bank-scans``."""
    with cloud_storage("bank-scans") as url:
        yield url


@pytest.fixture
def bucket(emulator, monkeypatch, tmp_path):
    """The bucket; ``STORAGE_EMULATOR_HOST`` points the client, and processes we start, at it. A cache of its own."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    with contextlib.closing(Client(project="test")) as client:
        yield client.bucket("bank-scans")


@pytest.fixture
def proxy(bucket, emulator, monkeypatch):
    """A proxy in front of the emulator that breaks things; short waits."""
    with FaultProxy(emulator) as between:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", between.url)
        monkeypatch.setattr(objects, "TIMEOUT", 1.0)
        monkeypatch.setattr(objects, "PATIENCE", 20.0)
        monkeypatch.setattr(objects, "PIECE", 50_000)
        yield between
        gc.collect()  # here, and not in somebody else's test


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "manifest.json").write_text("{}")
    (made / "deep" / "weights.bin").write_bytes(bytes(range(256)) * 500)
    return made


def send(folder, path, last):
    """A whole folder to a prefix, as a run sends its artefact."""
    Place(folder, path).push(last)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_comes_back_as_it_was_sent(bucket, folder, tmp_path):
    send(folder, "gs://bank-scans/models/1", last="manifest.json")
    fetched = storage.fetch("gs://bank-scans/models/1/", tmp_path / "fetched")
    assert contents(fetched) == contents(folder)


def test_the_file_that_marks_completeness_goes_last(bucket, folder):
    send(folder, "gs://bank-scans/models/2", last="manifest.json")
    by_age = sorted(bucket.client.list_blobs(bucket, prefix="models/2/"), key=lambda blob: blob.time_created)
    assert by_age[-1].name == "models/2/manifest.json"


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(bucket, folder, tmp_path):
    send(folder, "gs://bank-scans/models/30", last="manifest.json")
    with pytest.raises(StorageError, match="nothing below"):
        storage.fetch("gs://bank-scans/models/3", tmp_path / "fetched")
    assert contents(tmp_path) == {f"made/{name}": data for name, data in contents(folder).items()}


def test_a_missing_bucket_is_named(bucket, folder, tmp_path):
    with pytest.raises(StorageError, match="gs://no-such-bucket"):
        storage.fetch("gs://no-such-bucket/x", tmp_path / "fetched")
    with pytest.raises(StorageError, match="gs://no-such-bucket"):
        send(folder, "gs://no-such-bucket/x", last="manifest.json")
    with pytest.raises(StorageError, match="names no bucket"):
        storage.fetch("gs://", tmp_path / "fetched")


def test_a_missing_permission_is_named(proxy, folder, tmp_path):
    proxy.fail("403", "GET", "/b/bank-scans/o")
    with pytest.raises(StorageError, match="no permission for 'gs://bank-scans/private'"):
        storage.fetch("gs://bank-scans/private", tmp_path / "fetched")
    proxy.fail("403", "POST", "/upload/", times=2)
    with pytest.raises(StorageError, match="no permission"):
        send(folder, "gs://bank-scans/private", last="manifest.json")


@pytest.mark.parametrize("name", ["evil/../../escaped.txt", "evil//etc/passwd", "evil/a/../../x"])
def test_an_object_name_cannot_leave_the_target_folder(name):
    """Asked of the function itself: the emulator keeps objects as files and will not store such a name."""
    with pytest.raises(StorageError, match="leaves its folder"):
        objects.relative(name, "evil/")


def test_local_and_mounted_paths_are_plain_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MOUNT", tmp_path)
    (tmp_path / "bucket" / "a").mkdir(parents=True)
    assert storage.local("gs://bucket/a/b") == tmp_path / "bucket" / "a" / "b"
    assert storage.fetch("gs://bucket/a") == tmp_path / "bucket" / "a"
    assert Place.of("gs://bucket/a") == Place(tmp_path / "bucket" / "a")
    assert not storage.is_remote("gs://bucket/a")
    assert storage.is_remote("gs://elsewhere/a")
    with pytest.raises(StorageError, match="not mounted"):
        storage.local("gs://elsewhere/a")


def test_a_second_fetch_downloads_nothing_and_a_new_generation_only_itself(bucket, folder, proxy, tmp_path):
    place = "gs://bank-scans/cached"
    send(folder, place, last="manifest.json")
    proxy.log.clear()
    first = storage.fetch(place)
    assert proxy.requests("GET", "alt=media") > 0
    proxy.log.clear()
    assert storage.fetch(place) == first
    assert proxy.requests("GET", "alt=media") == 0
    (folder / "manifest.json").write_text("[1]")
    os.remove(folder / "deep" / "weights.bin")
    (folder / "deep" / "more.bin").write_bytes(b"more")
    send(folder, place, last="manifest.json")
    bucket.blob("cached/deep/weights.bin").delete()
    proxy.log.clear()
    assert contents(storage.fetch(place)) == contents(folder), "what is gone there is gone here"
    assert proxy.requests("GET", "alt=media") == 2


@pytest.mark.parametrize("fault", ["reset", "503", "flip", "hang", "lost"])
def test_a_fault_while_downloading_changes_nothing_of_what_arrives(folder, proxy, tmp_path, fault):
    send(folder, f"gs://bank-scans/down-{fault}", last="manifest.json")
    proxy.fail(fault, "GET", f"down-{fault}/deep/weights.bin", times=2)
    fetched = storage.fetch(f"gs://bank-scans/down-{fault}", tmp_path / "fetched")
    assert proxy.left == 0
    assert contents(fetched) == contents(folder)


@pytest.mark.parametrize("fault", ["reset", "503", "flip request", "hang", "lost"])
def test_a_fault_while_uploading_changes_nothing_of_what_is_stored(folder, proxy, tmp_path, fault):
    place = f"gs://bank-scans/up-{fault.replace(' ', '-')}"
    proxy.fail(fault, "POST", "/upload/", times=1)
    send(folder, place, last="manifest.json")
    assert proxy.left == 0
    assert contents(storage.fetch(place, tmp_path / "fetched")) == contents(folder)


def test_what_always_arrives_damaged_is_an_error_and_not_left_under_its_name(bucket, folder, proxy, tmp_path):
    send(folder, "gs://bank-scans/bad", last="manifest.json")
    proxy.fail("flip", "GET", "bad/deep/weights.bin", times=99)
    with pytest.raises(StorageError, match=r"bad/deep/weights\.bin arrives damaged"):
        storage.fetch("gs://bank-scans/bad", tmp_path / "fetched")
    assert not (tmp_path / "fetched" / "deep" / "weights.bin").exists()
    proxy.fail("flip request", "POST", "/upload/", times=99)
    with pytest.raises(StorageError, match="arrives damaged"):
        send(folder, "gs://bank-scans/bad-up", last="manifest.json")
    assert list(bucket.client.list_blobs(bucket, prefix="bad-up/")) == []


@pytest.mark.slow
def test_a_server_that_never_answers_is_an_error_in_the_end(folder, proxy, monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "PATIENCE", 3.0)
    proxy.fail("hang", "GET", "/b/bank-scans/o", times=99)
    with pytest.raises(StorageError, match="gs://bank-scans/silent"):
        storage.fetch("gs://bank-scans/silent", tmp_path / "fetched")


def test_an_interrupted_download_goes_on_where_it_stopped(folder, proxy, monkeypatch, tmp_path):
    send(folder, "gs://bank-scans/resumed", last="manifest.json")
    monkeypatch.setattr(objects, "PATIENCE", 0.5)
    with objects.Bucket("gs://bank-scans/resumed") as where:
        (big,) = [found for found in where.list() if found.name.endswith("weights.bin")]
        counted = []

        def until_killed(size):
            counted.append(size)
            if len(counted) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            where.bring(big, tmp_path / "big", until_killed)
        assert not (tmp_path / "big").exists()
        again = []
        where.bring(big, tmp_path / "big", again.append)
    assert sum(counted) == 100_000
    assert sum(again) == big.size - 100_000
    assert (tmp_path / "big").read_bytes() == (folder / "deep" / "weights.bin").read_bytes()


def test_an_upload_that_dies_before_its_marker_does_not_look_complete(folder, proxy, monkeypatch, tmp_path):
    place = "gs://bank-scans/models/4"
    send(folder, place, last="manifest.json")
    (folder / "deep" / "weights.bin").write_bytes(b"new")
    monkeypatch.setattr(objects, "PATIENCE", 1.0)
    proxy.fail("503", "POST", "/upload/", times=99)
    with pytest.raises(StorageError):
        send(folder, place, last="manifest.json")
    proxy._planned.clear()
    assert not (storage.fetch(place, tmp_path / "seen") / "manifest.json").exists()


def test_a_place_sends_only_what_changed_and_takes_back_what_it_sent(folder, proxy):
    place = Place(folder, "gs://bank-scans/place", leave=lambda name: name.suffix == ".partial")
    (folder / "half.partial").write_text("half")
    place.push("manifest.json")
    proxy.log.clear()
    place.push("manifest.json")
    assert proxy.log == []
    (folder / "deep" / "weights.bin").rename(folder / "deep" / "weights-2.bin")
    place.push("manifest.json")
    assert proxy.requests("POST", "/upload/") == 1
    other = Place(folder.with_name("other"), "gs://bank-scans/place")
    other.pull()
    assert set(contents(other.folder)) == {"manifest.json", "deep/weights-2.bin"}


def test_a_finished_upload_is_not_sent_again_nor_its_marker_taken_away(folder, proxy):
    send(folder, "gs://bank-scans/again", last="manifest.json")
    proxy.log.clear()
    send(folder, "gs://bank-scans/again", last="manifest.json")
    assert {method for method, _ in proxy.log} == {"GET"}


def test_data_that_lies_above_a_job_does_not_touch_the_jobs_own_files(bucket, folder):
    job = Place.of("gs://bank-scans/above/job")
    job.folder.mkdir(parents=True)
    (job.folder / "checkpoint").write_text("mine, not sent yet")
    send(folder, "gs://bank-scans/above/data", last="manifest.json")
    storage.fetch("gs://bank-scans/above")
    assert (job.folder / "checkpoint").exists()


OUTER, INNER = "gs://bank-scans/nested", "gs://bank-scans/nested/gate"


@pytest.fixture
def nested(bucket, folder):
    """Data at a prefix, and an artefact at a prefix below it: ``{path: what a fetch of it brings}``."""
    (folder / "scan.png").write_bytes(b"scan")
    send(folder, INNER, last="manifest.json")
    bucket.blob("nested/other.png").upload_from_string(b"other")
    return {OUTER: {"other.png": b"other", "gate/scan.png": b"scan"}, INNER: contents(folder)}


def is_image(name):
    return name.endswith(".png")


def fetched(path):
    """The folder of the images of the outer prefix, or of all of the inner one."""
    return storage.fetch(path, wanted=is_image if path == OUTER else lambda name: True)


@pytest.mark.parametrize("order", [(OUTER, INNER), (INNER, OUTER)], ids=["outer first", "inner first"])
def test_fetching_a_prefix_deletes_nothing_that_a_fetch_of_a_nested_one_brought(nested, order):
    folders = {path: fetched(path) for path in order}
    assert {path: contents(folder) for path, folder in folders.items()} == nested


def test_nested_prefixes_are_fetched_at_the_same_time_by_threads_and_processes(nested, tmp_path):
    code = f"""
from trainer import storage
for _ in range(5):
    storage.fetch({OUTER!r}, wanted=lambda name: name.endswith(".png"))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = [OUTER, INNER] * 12
        found = list(pool.map(lambda path: (path, contents(fetched(path))), paths))
    assert process.wait(timeout=60) == 0
    assert all(held == nested[path] for path, held in found)
    assert contents(fetched(INNER)) == nested[INNER]


def test_fetching_some_of_a_prefix_deletes_nothing_of_the_rest_that_is_still_there(nested):
    whole = storage.fetch(INNER)
    assert storage.fetch(INNER, wanted=is_image) == whole
    assert contents(whole) == nested[INNER]


def test_a_job_does_not_touch_what_a_job_below_it_has_not_sent(bucket, folder):
    inner = Place.of("gs://bank-scans/runs/7")
    inner.folder.mkdir(parents=True)
    (inner.folder / "checkpoint").write_text("not sent yet")
    send(folder, "gs://bank-scans/runs", last="manifest.json")
    Place.of("gs://bank-scans/runs").pull()
    assert (inner.folder / "checkpoint").read_text() == "not sent yet"


def test_a_second_process_does_not_touch_a_job_that_is_held(bucket, tmp_path):
    wanted = config.from_command_line(["--job-dir", "gs://bank-scans/held"])
    with run_dir.open_run(wanted, datetime.datetime.now()) as mine:
        (mine.folder / "audit.json").write_text("not sent yet")
        code = """
import datetime
from trainer.pipeline import run_dir
from trainer.settings import config
run_dir.open_run(config.from_command_line(["--job-dir", "gs://bank-scans/held"]), datetime.datetime.now())
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert "another process is working" in done.stderr
        assert (mine.folder / "audit.json").exists()


def test_an_index_on_cloud_storage_is_read_with_its_images(bucket, tmp_path):
    made = tmp_path / "indexed"
    made.mkdir()
    (made / "a.png").write_bytes(b"a")
    (made / "notes.txt").write_text("not needed")
    (made / "list.csv").write_text("path,label\na.png,text\n")
    send(made, "gs://bank-scans/indexed", last="list.csv")
    source = sources.bring("gs://bank-scans/indexed/list.csv")
    assert source.root.read_text().startswith("path")
    assert source.name == "list"
    assert sorted(p.name for p in source.root.parent.iterdir()) == ["a.png", "list.csv"]


@pytest.mark.whole
def test_a_run_publishes_to_cloud_storage_and_a_server_serves_from_there(bucket, scans, tmp_path, capsys):
    place = "gs://bank-scans/run/model"
    arguments = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--model-dir", place, *SMALL_RUN]
    assert task.main([*arguments, "--epochs", "1"]) == 0
    assert place in capsys.readouterr().out
    published = storage.fetch(place, tmp_path / "published")
    manifest.verify(manifest.read(published), published)
    (tmp_path / "tmp").mkdir()
    with serving(AIP_STORAGE_URI=place, TMPDIR=str(tmp_path / "tmp")):  # ready means: fetched, checked, proven
        assert list((tmp_path / "tmp").iterdir()) == [], "what was fetched is not left behind"


def metrics(folder):
    return json.loads((folder / "report" / "report.json").read_text())["classification"]


@pytest.mark.whole
def test_zip_and_prefix_give_the_numbers_of_the_folder_and_a_job_goes_on(bucket, scans, run_dir, tmp_path):
    """Everything on Cloud Storage: data as a zip or a prefix, the job with its checkpoints, the model."""
    archive = shutil.make_archive(str(tmp_path / "scans"), "zip", scans.parent, "scans")
    for path in (p for p in scans.rglob("*") if p.is_file()):
        bucket.blob(f"data/scans/{path.relative_to(scans).as_posix()}").upload_from_filename(str(path))
    bucket.blob("data/scans.zip").upload_from_filename(archive)
    job = "gs://bank-scans/jobs/a"
    command = ["--train-dir", "gs://bank-scans/data/scans.zip", "--job-dir", job, *SMALL_RUN]
    assert prepare.main(command) == 0
    shutil.rmtree(tmp_path / "cache")  # another machine goes on
    assert task.main(command) == 0
    found = storage.fetch(job, tmp_path / "job")
    assert metrics(found) == metrics(run_dir)
    assert records.read(found / "records").sources[0]["path"] == "gs://bank-scans/data/scans.zip"
    manifest.verify(manifest.read(found / "model"), found / "model")
    assert (found / "checkpoints" / "newest" / "checkpoint").is_file()
    log = (found / "log.txt").read_text()
    assert log.index("records: ") < log.index("epoch 1/3") < log.index("artefact: gs://"), "of both, to the last line"
    other, beside = tmp_path / "from-prefix", "gs://bank-scans/jobs/b"
    places = ["--job-dir", str(other), "--checkpoint-dir", f"{beside}/saved", "--tensorboard-dir", f"{beside}/curves"]
    assert task.main(["--train-dir", "gs://bank-scans/data/scans", *places, *SMALL_RUN]) == 0
    assert metrics(other) == metrics(run_dir)
    sent = [blob.name for blob in bucket.client.list_blobs(bucket, prefix="jobs/b/")]
    assert "jobs/b/saved/newest/checkpoint" in sent
    assert any("events.out" in name for name in sent)
    with serving("--model", f"{job}/model"):
        pass
