"""Messages of a run: printed, and logged in its log.txt with time and level."""

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
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings.config import parse_config

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


def read_log(path):
    """Return (time, level, text) of each line."""
    return [tuple(line.split(" ", 2)) for line in path.read_text().splitlines()]


def test_each_printed_line_is_logged_with_a_time(tmp_path, capsys):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    with messages.log_to_file(tmp_path / "log.txt"):
        messages.LOG.info("first\n\n| a | table |")
    messages.LOG.info("outside a run")
    assert capsys.readouterr().out == "first\n\n| a | table |\noutside a run\n"
    logged = read_log(tmp_path / "log.txt")
    assert [line[1:] for line in logged] == [("INFO", "first"), ("INFO", "| a | table |")]
    assert all(before <= datetime.datetime.fromisoformat(time) for time, *_ in logged)


def test_a_second_run_appends_and_a_worker_that_is_not_the_chief_logs_nothing(tmp_path):
    for path in (tmp_path / "log.txt", None, tmp_path / "log.txt"):
        with messages.log_to_file(path):
            messages.LOG.info("text")
    assert len(read_log(tmp_path / "log.txt")) == 2


def test_an_error_that_ends_a_run_is_logged_and_a_bug_with_its_traceback(tmp_path, capsys):
    with pytest.raises(UserError), messages.log_to_file(tmp_path / "log.txt"):
        raise UserError("too few images")
    with pytest.raises(ZeroDivisionError), messages.log_to_file(tmp_path / "log.txt"):
        print(1 / 0)
    (_, level, text), *traceback_lines = read_log(tmp_path / "log.txt")
    assert (level, text) == ("ERROR", "too few images")
    assert {len(line) for line in traceback_lines} == {3}
    assert "division by zero" in traceback_lines[-1][2]
    assert capsys.readouterr().out == "", "the command prints the error"


def test_a_file_name_that_is_no_text_does_not_end_a_run(tmp_path):
    """In a subprocess, because pytest-xdist cannot transfer such a message."""
    code = "from trainer.console import messages; from pathlib import Path; import sys\n"
    code += "with messages.log_to_file(Path(sys.argv[1])): messages.LOG.info('left out: \\udcff.png')"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:surrogateescape"}
    command = [sys.executable, "-c", code, str(tmp_path / "log.txt")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"left out: \xff.png\n"
    assert "\\udcff.png" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_last_numbers_of_a_progress_bar_are_logged(tmp_path, monkeypatch, is_terminal):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    with messages.log_to_file(tmp_path / "log.txt"), Progress("epoch 1/2", 10) as progress:
        progress.update(10, loss=0.25)
    ((_, _, text),) = read_log(tmp_path / "log.txt")
    assert re.match(r"epoch 1/2  10/10 .* loss 0\.2500", text)


def test_durations_are_printed_and_logged_only_with_verbose(tmp_path, capsys):
    for verbose in (False, True):
        with messages.log_to_file(tmp_path / "log.txt", verbose), messages.log_duration("prepare"):
            pass
    assert re.fullmatch(r"prepare took \d+\.\d s\n", capsys.readouterr().out)
    assert len(read_log(tmp_path / "log.txt")) == 1


def test_the_log_of_a_finished_run_has_its_data_its_epochs_and_its_results_in_order(run_dir):
    texts = [text for *_, text in read_log(run_dir / "log.txt")]
    expected = (
        "signature_vs_text: ",
        "  train: ",
        "epoch 3/3  ",
        "best epoch: ",
        "Accuracy ",
        "| signature |",
        "artefact: ",
    )
    numbers = [next(number for number, text in enumerate(texts) if text.startswith(start)) for start in expected]
    assert numbers == sorted(numbers)
    assert not any("took" in text for text in texts), "durations need --verbose"


def test_verbose_does_not_start_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = open_run_dir(parse_config([], {}), NOW)
    with opened:
        opened.write_config(parse_config([], {}))
    assert "verbose" not in opened.config_file.read_text()
    assert open_run_dir(parse_config(["--verbose"], {}), NOW + datetime.timedelta(hours=1)) == opened


def test_an_interruption_is_logged(tmp_path):
    with messages.log_to_file(tmp_path / "log.txt"):
        messages.append_to_log_file("interrupted")
    messages.append_to_log_file("after the run")
    assert [text for *_, text in read_log(tmp_path / "log.txt")] == ["interrupted"]
