"""What a run prints is kept in its log.txt, with times, by whoever may write there."""

import datetime
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from trainer.console import messages
from trainer.console.errors import UserError
from trainer.console.progress import Progress
from trainer.pipeline import run_dir
from trainer.settings import config

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


def lines(path):
    """(time, level, text) of each line."""
    return [tuple(line.split(" ", 2)) for line in path.read_text().splitlines()]


def test_what_is_printed_is_kept_with_a_time_one_line_each(tmp_path, capsys):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    with messages.kept_in(tmp_path / "log.txt"):
        messages.LOG.info("first\n\n| a | table |")
    messages.LOG.info("of no run")
    assert capsys.readouterr().out == "first\n\n| a | table |\nof no run\n"
    kept = lines(tmp_path / "log.txt")
    assert [line[1:] for line in kept] == [("INFO", "first"), ("INFO", "| a | table |")]
    assert all(before <= datetime.datetime.fromisoformat(time) for time, *_ in kept)


def test_a_second_run_appends_and_a_worker_that_is_not_the_primary_writes_nothing(tmp_path):
    for path in (tmp_path / "log.txt", None, tmp_path / "log.txt"):
        with messages.kept_in(path):
            messages.LOG.info("here")
    assert len(lines(tmp_path / "log.txt")) == 2


def test_an_error_that_ends_a_run_is_kept_and_a_fault_of_ours_with_its_traceback(tmp_path, capsys):
    with pytest.raises(UserError), messages.kept_in(tmp_path / "log.txt"):
        raise UserError("too few images")
    with pytest.raises(ZeroDivisionError), messages.kept_in(tmp_path / "log.txt"):
        print(1 / 0)
    (_, level, text), *fault = lines(tmp_path / "log.txt")
    assert (level, text) == ("ERROR", "too few images")
    assert {len(line) for line in fault} == {3}
    assert "division by zero" in fault[-1][2]
    assert capsys.readouterr().out == "", "the command prints it itself"


def test_a_file_name_that_is_no_text_does_not_end_a_run(tmp_path):
    """In a process of its own: pytest-xdist cannot send what pytest keeps of such a message."""
    code = "from trainer.console import messages; from pathlib import Path; import sys\n"
    code += "with messages.kept_in(Path(sys.argv[1])): messages.LOG.info('left out: \\udcff.png')"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:surrogateescape"}
    command = [sys.executable, "-c", code, str(tmp_path / "log.txt")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"left out: \xff.png\n"
    assert "\\udcff.png" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("live", [True, False])
def test_a_progress_bar_leaves_its_last_numbers_in_the_log(tmp_path, monkeypatch, live):
    monkeypatch.setattr("sys.stdout.isatty", lambda: live, raising=False)
    with messages.kept_in(tmp_path / "log.txt"), Progress("epoch 1/2", 10) as progress:
        progress.show(10, loss=0.25)
    ((_, _, text),) = lines(tmp_path / "log.txt")
    assert re.match(r"epoch 1/2  10/10 .* loss 0\.2500", text)


def test_more_is_printed_and_kept_only_when_it_is_wanted(tmp_path, capsys):
    for verbose in (False, True):
        with messages.kept_in(tmp_path / "log.txt", verbose), messages.timed("prepare"):
            pass
    assert re.fullmatch(r"prepare took \d+\.\d s\n", capsys.readouterr().out)
    assert len(lines(tmp_path / "log.txt")) == 1


def test_a_finished_run_has_kept_everything_from_its_data_to_its_numbers(run_dir):
    kept = [text for *_, text in lines(run_dir / "log.txt")]
    expected = (
        "signature_vs_text: ",
        "  train: ",
        "epoch 3/3  ",
        "best epoch: ",
        "Accuracy ",
        "| signature |",
        "artefact: ",
    )
    places = [next(number for number, text in enumerate(kept) if text.startswith(start)) for start in expected]
    assert places == sorted(places)
    assert not any("took" in text for text in kept), "that is for --verbose"


def test_how_much_is_printed_does_not_make_it_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = run_dir.open_run(config.from_command_line([], {}), NOW)
    with opened:
        opened.record(config.from_command_line([], {}))
    assert "verbose" not in opened.settings.read_text()
    assert run_dir.open_run(config.from_command_line(["--verbose"], {}), NOW + datetime.timedelta(hours=1)) == opened


def test_an_interruption_is_kept_too(tmp_path):
    with messages.kept_in(tmp_path / "log.txt"):
        messages.keep_now("interrupted")
    messages.keep_now("after the run")
    assert [text for *_, text in lines(tmp_path / "log.txt")] == ["interrupted"]
