"""Beam gives the rows of ``predictor.offline``, on whatever worker and however often a bundle is run."""

import json
import shutil
import sys

import apache_beam as beam
import cv2
import pyarrow.parquet
import pytest
from apache_beam.testing.util import assert_that, equal_to

from predictor import offline
from predictor.batch import tables
from predictor.batch.beam import AnswerFiles, AnswerHandler
from tests import drawings
from tests.loopback.storage import cloud_storage
from trainer import ready
from trainer.storage import remote_files

TWO_PROCESSES = ["--runner", "direct", "--", "--direct_num_workers=2"]
IN_MEMORY = ["--runner", "direct", "--", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn signatures and words in two folders, and a file that is no image."""
    root = tmp_path_factory.mktemp("lake")
    for number in range(8):
        file = root / f"{number % 2}" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        draw = (drawings.draw_signature, drawings.draw_word)[number % 2]
        cv2.imwrite(str(file), draw(20 + number, 0))
    (root / "1" / "broken.png").write_bytes(b"SECRET")
    return root


@pytest.fixture
def verify(folder):
    """Flags that compare with a reference and return embeddings."""
    return ["--artifact", ready.VERIFIER, "--reference", str(folder / "0" / "0.png"), "--return-embedding"]


def read_lines(folder):
    return sorted(line for path in folder.glob("part-*.jsonl") for line in path.read_text().splitlines())


@pytest.mark.slow
def test_rows_of_two_workers_are_those_of_a_local_run(folder, verify, tmp_path, capsys):
    assert offline.main([str(folder), *verify, "--out", str(tmp_path / "local.jsonl"), "--workers", "1"]) == 1
    command = [str(folder / "0"), str(folder / "1"), *verify, "--out", str(tmp_path / "answers")]
    assert offline.main([*command, *TWO_PROCESSES]) == 1
    assert "is complete: 9 files, 1 with errors" in capsys.readouterr().err
    assert read_lines(tmp_path / "answers") == sorted((tmp_path / "local.jsonl").read_text().splitlines())
    assert offline.main([*command, *IN_MEMORY]) == 1
    assert "has answers; name another --out, or replace the answers with --overwrite" in capsys.readouterr().err
    assert (
        offline.main([str(folder / "0"), *verify, "--out", str(tmp_path / "answers"), "--overwrite", *IN_MEMORY]) == 0
    )
    assert len(read_lines(tmp_path / "answers")) == 4


def test_parquet_of_beam_has_the_rows_and_the_schema_of_a_local_run(folder, tmp_path):
    flags = [str(folder), "--artifact", ready.CLASSIFIER, "--out"]
    assert offline.main([*flags, str(tmp_path / "local.parquet"), "--workers", "1"]) == 1
    assert offline.main([*flags, str(tmp_path / "beam.parquet"), *IN_MEMORY]) == 1
    local, on_beam = (pyarrow.parquet.read_table(tmp_path / f"{name}.parquet") for name in ("local", "beam"))
    assert on_beam.schema.equals(local.schema)
    assert sorted(on_beam.to_pylist(), key=lambda row: row["file"]) == local.to_pylist()


def test_elements_are_paths_or_names_with_bytes(folder, verify, capsys):
    files = [folder / "0" / "2.png", folder / "1" / "broken.png", folder / "1" / "3.png"]
    offline.main([*map(str, files), *verify, "--format", "jsonl"])
    expected = capsys.readouterr().out.splitlines(keepends=True)
    elements = [str(files[0]), (str(files[1]), files[1].read_bytes()), (str(files[2]), files[2].read_bytes())]
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | beam.Create(elements) | AnswerFiles(offline.make_spec(*verify), max_batch_size=2)
        assert_that(rows | beam.Map(tables.format_jsonl), equal_to(expected))


def test_a_batch_that_is_run_again_gives_the_same_rows_and_needs_no_file_of_the_references(folder, verify, tmp_path):
    shutil.copy(folder / "0" / "0.png", tmp_path / "reference.png")
    verify[3] = str(tmp_path / "reference.png")
    handler = AnswerHandler(offline.make_spec(*verify))
    (tmp_path / "reference.png").unlink()
    elements = [str(path) for path in sorted(folder.rglob("*.png"))]
    first, second = (
        [tables.format_jsonl(row) for row in handler.run_inference(batch, handler.load_model())]
        for batch in (elements, elements[::-1])
    )
    assert first == second[::-1]
    assert [json.loads(row)["file"] for row in first] == elements


def test_an_object_that_cannot_be_read_is_a_row_with_an_error(tmp_path):
    handler = AnswerHandler(offline.make_spec("--artifact", ready.CLASSIFIER))
    (row,) = handler.run_inference([str(tmp_path / "nowhere.png")], handler.load_model())
    assert row["error"]["code"] == "unreadable_file"


def test_without_beam_the_error_says_what_to_install(folder, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "predictor.batch.beam")
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    flags = ["--artifact", ready.CLASSIFIER, "--out", str(tmp_path / "answers")]
    assert offline.main([str(folder), *flags, *IN_MEMORY]) == 1
    assert "--runner direct needs Apache Beam: pip install 'countersign[beam]'" in capsys.readouterr().err


@pytest.mark.slow
def test_answers_on_cloud_storage_are_those_of_a_local_run(folder, tmp_path, monkeypatch):
    from google.cloud.storage import Client

    assert offline.main([str(folder), "--artifact", ready.CLASSIFIER, "--out", str(tmp_path / "local.jsonl")]) == 1
    with cloud_storage("bank-scans") as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        bucket = Client(project="test").bucket("bank-scans")
        for path in folder.rglob("*.png"):
            bucket.blob(f"scans/{path.relative_to(folder).as_posix()}").upload_from_filename(str(path))
        command = ["gs://bank-scans/scans", "--artifact", ready.CLASSIFIER, "--out", "gs://bank-scans/answers"]
        assert offline.main([*command, *IN_MEMORY]) == 1
        parts = [blob.download_as_bytes().decode() for blob in bucket.list_blobs(prefix="answers/")]
        assert offline.main([*command, "--overwrite", *IN_MEMORY]) == 1
        remote_files._connect.cache_clear()
    local = (tmp_path / "local.jsonl").read_text().replace(str(folder), "gs://bank-scans/scans")
    assert sorted("".join(parts).splitlines()) == sorted(local.splitlines())
