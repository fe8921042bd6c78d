"""The file of writers on file: what is stored is read, what is deleted is gone, and what is wrong is refused."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench.writer_histories import DIM, VERIFIER, make_reference
from trainer.enrolment import sealing, store, writers
from trainer.enrolment.errors import EnrolmentError, NotEnrolled
from trainer.enrolment.gallery import Gallery
from trainer.enrolment.store import EnrolmentStore

ROOT = Path(__file__).parents[3]
KEY = bytes(range(32))


@pytest.fixture
def make_store(tmp_path):
    """A function that makes an open store with the writers ann and bob."""
    opened = []

    def make(key=None):
        made = EnrolmentStore.create(tmp_path / "people.sqlite", "encoder", DIM, key)
        opened.append(made)
        for name in ("ann", "bob"):
            writers.put_writer(made, VERIFIER, name, make_references(name, 3))
        return made

    yield make
    for each in opened:
        each.close()


def make_references(seed: str, count: int):
    import random

    generator = random.Random(seed)
    return [make_reference(generator) for _ in range(count)]


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_references_are_read_as_they_were_stored(make_store, key):
    made = make_store(key)
    made.close()
    with contextlib.closing(EnrolmentStore(made.path, key)) as opened:
        references = opened.read_references("ann")
        for reference, expected in zip(references, make_references("ann", 3), strict=True):
            assert (reference.id, reference.label) == (expected.id, expected.label)
            np.testing.assert_allclose(reference.vector, expected.vector, atol=1e-4)
        assert [summary.name for summary in opened.read_summaries()] == ["ann", "bob"]
        assert (opened.encoder, opened.dim, opened.revision) == ("encoder", DIM, 2)
        with pytest.raises(NotEnrolled, match="'carl'"):
            opened.read_references("carl")


def test_writers_and_references_are_added_replaced_and_removed(make_store):
    made = make_store()
    writers.add_references(made, VERIFIER, "ann", make_references("more", 2))
    assert len(made.read_references("ann")) == 5
    writers.put_writer(made, VERIFIER, "ann", make_references("new", 2))
    assert [each.id for each in made.read_references("ann")] == [each.id for each in make_references("new", 2)]
    for reference in make_references("new", 2):
        writers.remove_reference(made, VERIFIER, "ann", reference.id)
    made.remove("bob")
    assert made.read_summaries() == [], "a writer goes with the last reference"
    with pytest.raises(NotEnrolled):
        made.remove("bob")
    with pytest.raises(NotEnrolled):
        writers.remove_reference(made, VERIFIER, "ann", "none")


def test_a_name_is_the_same_in_composed_and_decomposed_characters(make_store):
    store = make_store()
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    writers.put_writer(store, VERIFIER, decomposed, make_references("jose", 2))
    assert len(store.read_references(composed)) == 2
    assert [summary.name for summary in store.read_summaries()][-1] == composed
    assert decomposed in Gallery(store, VERIFIER)
    store.remove(decomposed)
    with pytest.raises(NotEnrolled):
        store.read_references(composed)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "people.sqlite"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(EnrolmentError, match="is no file"):
        EnrolmentStore(path)


def test_a_copy_of_a_reference_is_left_out_and_returned(make_store):
    store = make_store()
    stored = store.read_references("ann")
    copies = writers.make_references(("again", reference.vector) for reference in stored[:2])
    (new,) = make_references("new", 1)
    assert writers.add_references(store, VERIFIER, "ann", [*copies, new]) == copies
    assert [reference.id for reference in store.read_references("ann")] == [*(each.id for each in stored), new.id]
    assert [summary.references for summary in store.read_summaries() if summary.name == "ann"] == [4]


def test_a_block_of_writes_is_one_write_or_none(make_store):
    made = make_store()

    def remove_twice():
        with made.transaction():
            made.remove("ann")
            made.remove("ann")

    with pytest.raises(NotEnrolled):
        remove_twice()
    assert len(made.read_summaries()) == 2
    assert made.revision == 2


def test_random_histories_with_kills_lose_halve_and_keep_nothing():
    command = [sys.executable, "-m", "tests.bench.writer_histories", "--count", "30", "--seed", "10000"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "30 histories with 90 kills" in result.stdout


def test_the_file_is_readable_by_its_owner_only(make_store, tmp_path):
    made = make_store()
    made.export(tmp_path / "export.sqlite")
    for name in ("people.sqlite", "export.sqlite"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_an_export_answers_as_the_file_does(make_store, tmp_path, key):
    made = make_store(key)
    made.remove("bob")
    made.export(tmp_path / "export.sqlite")
    with contextlib.closing(EnrolmentStore(tmp_path / "export.sqlite", key)) as exported:
        assert [summary.name for summary in exported.read_summaries()] == ["ann"]
        with pytest.raises(EnrolmentError, match="to read only"):
            exported.remove("ann")


def test_a_calibration_is_of_the_writers_as_they_were(make_store):
    made = make_store()
    made.write_calibration({"strangers": [1.0]})
    assert made.read_calibration() == {"strangers": [1.0]}
    made.remove("bob")
    assert made.read_calibration() is None


def test_an_encrypted_file_shows_no_name_and_no_embedding(make_store):
    made = make_store(KEY)
    content = made.path.read_bytes()
    assert b"ann" not in content
    assert make_references("ann", 1)[0].vector.astype(np.float16).tobytes()[:64] not in content


@pytest.mark.parametrize(
    ("made_with", "opened_with", "message"),
    [
        (KEY, None, "is encrypted: give its key"),
        (None, KEY, "is not encrypted: leave the key out"),
        (KEY, KEY[::-1], "encrypted with another key"),
    ],
)
def test_a_wrong_key_is_noticed_when_the_file_is_opened(make_store, made_with, opened_with, message):
    made = make_store(made_with)
    made.close()
    with pytest.raises(EnrolmentError, match=message):
        EnrolmentStore(made.path, opened_with)


def test_an_encrypted_record_that_was_moved_to_another_writer_is_refused(make_store):
    made = make_store(KEY)
    made.close()
    with contextlib.closing(sqlite3.connect(made.path)) as connection, connection:
        connection.execute("UPDATE reference_sets SET content = (SELECT content FROM reference_sets WHERE writer = 2)")
    with contextlib.closing(EnrolmentStore(made.path, KEY)) as opened:
        assert len(opened.read_references("bob")) == 3
        with pytest.raises(EnrolmentError, match="has been changed"):
            opened.read_references("ann")


def test_one_process_at_a_time_writes(make_store):
    made = make_store()
    with pytest.raises(EnrolmentError, match="open to write in another process"):
        EnrolmentStore(made.path, is_writable=True)
    with (
        pytest.raises(EnrolmentError, match="open to write in another process"),
        EnrolmentStore.replace(made.path, "encoder", DIM),
    ):
        pass
    EnrolmentStore(made.path).close()


def test_a_replaced_file_appears_only_when_it_is_complete(make_store):
    made = make_store()
    made.close()
    with pytest.raises(RuntimeError), EnrolmentStore.replace(made.path, "encoder", DIM):
        raise RuntimeError
    with contextlib.closing(EnrolmentStore(made.path)) as opened:
        assert len(opened.read_summaries()) == 2
    with EnrolmentStore.replace(made.path, "other", DIM) as replaced:
        writers.put_writer(replaced, VERIFIER, "carl", make_references("carl", 1))
    with contextlib.closing(EnrolmentStore(made.path)) as opened:
        assert [summary.name for summary in opened.read_summaries()] == ["carl"]
    assert {path.name for path in made.path.parent.iterdir()} == {"people.sqlite", ".people.sqlite.lock"}


def test_a_file_of_a_later_version_or_another_kind_is_refused(make_store, tmp_path):
    made = make_store()
    made.close()
    with contextlib.closing(sqlite3.connect(made.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(store.MIGRATIONS) + 1}")
    with pytest.raises(EnrolmentError, match="use a later release"):
        EnrolmentStore(made.path)
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    (tmp_path / "text.sqlite").write_text("no database, but long enough to have a header of its own" * 10)
    for name, message in (("other", "no file of enrolled writers"), ("text", "not a database"), ("none", "unable")):
        with pytest.raises(EnrolmentError, match=message):
            EnrolmentStore(tmp_path / f"{name}.sqlite")


def test_a_file_of_an_earlier_version_is_migrated_when_it_is_opened_to_write(make_store, monkeypatch):
    made = make_store()
    made.close()
    monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, "ALTER TABLE writers ADD COLUMN note TEXT"))
    with pytest.raises(EnrolmentError, match="of version 1; copy it to version 2"):
        EnrolmentStore(made.path)
    with contextlib.closing(EnrolmentStore(made.path, is_writable=True)) as opened:
        assert len(opened.read_references("ann")) == 3
    EnrolmentStore(made.path).close()


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_read_or_repeated_is_refused(make_store, name):
    with pytest.raises(EnrolmentError, match="printable characters"):
        writers.put_writer(make_store(), VERIFIER, name, make_references("x", 1))


def test_the_number_of_references_is_limited(make_store):
    made = make_store()
    for count in (0, writers.MAX_REFERENCES + 1):
        with pytest.raises(EnrolmentError, match="1 to 100 references"):
            writers.put_writer(made, VERIFIER, "ann", make_references("x", count))


@pytest.mark.parametrize("text", ["", "short", "not base64!"])
def test_a_file_that_is_no_key_is_refused_without_its_content(tmp_path, text):
    (tmp_path / "key").write_text(text)
    with pytest.raises(EnrolmentError, match="openssl rand -base64 32") as error:
        sealing.read_key(tmp_path / "key")
    assert not text or text not in str(error.value)
