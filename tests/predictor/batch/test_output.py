"""Answers in files: whatever interrupts a run, the same command ends it with the bytes of a single run."""

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time

import cv2
import pyarrow.parquet
import pytest

from predictor import offline
from predictor.batch import tables
from predictor.batch.line_output import LineOutput, Written
from predictor.batch.parquet_output import ParquetOutput, make_schema
from predictor.batch.run_state import OutputError, RunState
from tests import drawings
from tests.conftest import ROOT
from tests.loopback.storage import cloud_storage
from trainer import ready
from trainer.storage import remote_files

FORMATS = ("jsonl", "csv", "parquet")
NAMES = ["a.png", 'quote " comma ,.png', "line\nbreak.png", "caf\udce9.png", "ünï.png", "last.png"]


class Columns:
    """A decision of two columns."""

    columns = ("label", "score")

    def to_row(self, answer):
        return [answer["label"], f"{answer['score']:.6f}"]


def make_rows(names):
    for number, name in enumerate(names):
        if number % 4 == 1:
            yield tables.make_error_row(name, "unreadable_image", "no image")
        else:
            yield {"file": name, "label": "text", "score": number / 8, "warnings": [{"code": "blurred"}]}


def make_output(path, format):
    if format == "parquet":
        return ParquetOutput(path, Columns(), rows_per_part=2)
    return LineOutput(path, format, tables.format_csv_header(Columns()) if format == "csv" else "")


def write(path, format, names, stop_after=None, is_complete=True):
    """Write the rows of names behind those that are there; return what was there, and the number of new rows."""
    output = make_output(path, format)
    written, left = output.resume(iter(names))
    rows = [tables.FORMATTERS[format](row, Columns()) for row in list(make_rows(names))[written.rows :][:stop_after]]
    assert len(rows) == len(list(left)) or stop_after is not None
    output.write(rows)
    output.close(is_complete)
    return written, len(rows)


def read(path):
    """Return the bytes of a file, or of the files of a folder."""
    return {each.name: each.read_bytes() for each in sorted(path.iterdir())} if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_torn_line_is_cut_off_wherever_it_is_torn(format, tmp_path):
    write(tmp_path / "whole", format, NAMES)
    content = read(tmp_path / "whole")
    for size in range(len(content)):
        for tail in (b"", bytes(7))[: 1 + (size % 5 == 0)]:  # some file systems leave zeros after a power failure
            (tmp_path / "torn").write_bytes(content[:size] + tail)
            written, _ = write(tmp_path / "torn", format, NAMES)
            assert read(tmp_path / "torn") == content
            assert written.errors == sum("error" in row for row in list(make_rows(NAMES))[: written.rows])


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_goes_on_from_any_row(format, tmp_path):
    write(tmp_path / "whole", format, NAMES)
    for count in range(len(NAMES) + 1):
        path = tmp_path / str(count)
        write(path, format, NAMES, stop_after=count, is_complete=False)
        written, _ = write(path, format, NAMES)
        assert written.rows == (count // 2 * 2 if format == "parquet" else count)
        assert read(path) == read(tmp_path / "whole")
        assert write(path, format, NAMES) == (Written(6, 2), 0), "nothing is left to do"


@pytest.mark.parametrize("format", FORMATS)
def test_other_files_than_those_that_were_answered_are_an_error_that_says_where(format, tmp_path):
    write(tmp_path / "out", format, NAMES[:4])
    content = read(tmp_path / "out")
    for names in (["new.png", *NAMES], NAMES[1:], NAMES[:3]):
        with pytest.raises(OutputError, match=r"row \d of .*: the files have changed; give the same, name"):
            make_output(tmp_path / "out", format).resume(iter(names))
        assert read(tmp_path / "out") == content
    write(tmp_path / "whole", format, NAMES)
    assert write(tmp_path / "out", format, NAMES)[0].rows == 4, "files may be added behind those that were answered"
    assert read(tmp_path / "out") == read(tmp_path / "whole")


def test_a_damaged_part_and_those_behind_it_are_written_again(tmp_path):
    write(tmp_path / "whole", "parquet", NAMES)
    write(tmp_path / "out", "parquet", NAMES)
    (tmp_path / "out" / "part-00001.parquet").write_bytes(b"PAR1")
    (tmp_path / "out" / ".part-00001.parquet.partial").write_bytes(b"PAR1")
    assert write(tmp_path / "out", "parquet", NAMES)[0].rows == 2
    assert read(tmp_path / "out") == read(tmp_path / "whole")


def test_parquet_has_the_columns_of_csv_with_types_and_the_whole_answer(tmp_path):
    write(tmp_path / "out", "parquet", NAMES)
    table = pyarrow.parquet.read_table(tmp_path / "out")
    assert table.schema.equals(make_schema(Columns()))
    rows = table.to_pylist()
    assert [row["file"] for row in rows] == [tables.to_unicode(name) for name in NAMES]
    assert (rows[2]["label"], rows[2]["score"], rows[2]["warnings"]) == ("text", 0.25, ["blurred"])
    assert (rows[1]["error_code"], rows[1]["label"], rows[1]["score"]) == ("unreadable_image", None, None)
    assert [json.loads(row["answer"]) for row in rows] == list(make_rows(NAMES))


def test_two_processes_cannot_write_the_same_output(tmp_path):
    with RunState(tmp_path / "a.csv", {}), pytest.raises(OutputError, match="another process is writing"):
        RunState(tmp_path / "a.csv", {}).__enter__()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Links to a drawn signature and a word, and a file that is no image."""
    root = tmp_path_factory.mktemp("many")
    for number, draw in enumerate((drawings.draw_signature, drawings.draw_word)):
        cv2.imwrite(str(root / f"{number:03d}.png"), draw(20, 0))
    for number in range(2, 150):
        (root / f"{number:03d}.png").hardlink_to(root / f"{number % 2:03d}.png")
    (root / "100-broken.png").write_bytes(b"SECRET")
    return root


def answer(folder, out, *flags):
    return offline.main([str(folder), "--artifact", ready.CLASSIFIER, "--out", str(out), "--workers", "1", *flags])


def make_command(folder, out, format):
    command = [sys.executable, "-m", "predictor.offline", str(folder), "--artifact", ready.CLASSIFIER]
    return [*command, "--out", str(out), "--format", format, "--workers", "1", "--rows-per-part", "20"]


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_run_that_is_killed_again_and_again_ends_with_the_bytes_of_one_run(format, folder, tmp_path, capsys):
    flags = ["--format", format, "--rows-per-part", "20"]
    assert answer(folder, tmp_path / "whole", *flags) == 1
    out, size, kills = tmp_path / "killed", 0, 0

    def measure():
        if format == "parquet":
            return len(list(out.glob("part*")))
        return out.stat().st_size if out.exists() else 0

    for _ in range(2):
        process = subprocess.Popen(make_command(folder, out, format), cwd=ROOT, stderr=subprocess.DEVNULL)
        while measure() <= size and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        size = measure()
    assert kills
    assert answer(folder, out, *flags) == 1
    assert "answers are there; continuing behind them" in capsys.readouterr().err
    assert read(out) == read(tmp_path / "whole")


def test_a_complete_run_is_not_repeated_and_its_status_is(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "below" / "answers.jsonl"
    assert answer(folder, out) == 1
    content, time_ns = out.read_bytes(), out.stat().st_mtime_ns
    monkeypatch.setattr(offline, "answer_files", None)
    assert answer(folder, out) == 1
    assert "is complete: 151 files, 1 with errors" in capsys.readouterr().err
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (content, time_ns)
    rows = [json.loads(line) for line in content.splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in sorted(folder.iterdir())]


def test_another_artefact_or_option_is_refused_unless_the_answers_are_replaced(folder, tmp_path, capsys):
    file, out = folder / "000.png", tmp_path / "answers.jsonl"
    command = [str(file), "--artifact", ready.VERIFIER, "--reference", str(folder / "001.png"), "--out", str(out)]
    assert offline.main(command) == 0
    content = out.read_bytes()
    for flags, name in (
        (["--far", "0.01"], "--far"),
        (["--return-embedding"], "--return-embedding"),
        (["--reference", str(file)], "--reference"),
        (["--format", "csv"], "--format"),
    ):
        assert offline.main([*command, *flags]) == 1
        assert f"was begun with another {name}; give the same, name another --out, or replace the answers with" in (
            capsys.readouterr().err
        )
    assert offline.main([str(file), "--artifact", ready.CLASSIFIER, "--out", str(out)]) == 1
    assert "another artifact and another --reference" in capsys.readouterr().err
    assert out.read_bytes() == content
    assert offline.main([*command, "--far", "0.01", "--overwrite"]) == 0
    assert out.read_bytes() != content
    (tmp_path / "mine.csv").write_text("not of such a run")
    assert answer(file, tmp_path / "mine.csv") == 1
    assert "is there, and not known to be of such a run" in capsys.readouterr().err
    assert (tmp_path / "mine.csv").read_text() == "not of such a run"
    assert not (tmp_path / "mine.csv.state.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_an_error_and_the_same_command_continues(format, folder, tmp_path):
    """The system refuses to write more than so many bytes of a file, as a full disk does."""
    assert answer(folder, tmp_path / "whole", "--format", format, "--rows-per-part", "20") == 1
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
    command = make_command(folder, tmp_path / "full", format)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large; the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
    assert answer(folder, tmp_path / "full", "--format", format, "--rows-per-part", "20") == 1
    assert read(tmp_path / "full") == read(tmp_path / "whole")


def test_an_interrupted_run_ends_with_status_130(folder, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(offline, "answer_files", interrupt)
    assert answer(folder, tmp_path / "answers.csv") == 130
    assert "interrupted; the same command continues from here" in capsys.readouterr().err
    monkeypatch.undo()
    assert answer(folder / "000.png", tmp_path / "answers.csv", "--overwrite") == 0


def test_without_pyarrow_the_error_says_what_to_install(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert answer(folder, tmp_path / "answers.parquet") == 1
    assert "pip install 'countersign[parquet]'" in capsys.readouterr().err


def test_objects_on_cloud_storage_are_answered_as_files_are(folder, tmp_path, monkeypatch, capsys):
    from google.cloud.storage import Client

    with cloud_storage("bank-scans") as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        bucket = Client(project="test").bucket("bank-scans")
        for name in ("000.png", "001.png", "100-broken.png"):
            bucket.blob(f"scans/{name}").upload_from_filename(str(folder / name))
        bucket.blob("scans/note.txt").upload_from_string(b"no image")
        assert answer("gs://bank-scans/scans", tmp_path / "remote.csv") == 1
        assert answer("gs://bank-scans/scans/000.png", tmp_path / "single.csv") == 0
        assert answer("gs://bank-scans/nothing", tmp_path / "nothing.csv") == 1
        remote_files._connect.cache_clear()
    assert "nothing is at 'gs://bank-scans/nothing'" in capsys.readouterr().err
    answer(folder, tmp_path / "local.csv")
    local = (tmp_path / "local.csv").read_text().replace(str(folder), "gs://bank-scans/scans").splitlines()
    remote = (tmp_path / "remote.csv").read_text().splitlines()
    assert remote == [local[0], local[1], local[2], next(line for line in local if "broken" in line)]
    assert (tmp_path / "single.csv").read_text().splitlines() == local[:2]
