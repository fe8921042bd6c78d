"""The same answers from threads and processes, in bounds, whatever one file does to the process that answers it."""

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import signal

import cv2
import pytest

from predictor import offline
from predictor.batch import workers
from predictor.batch.answering import FileAnswerer
from predictor.batch.listing import list_files
from predictor.batch.options import RUNNERS, parse_arguments
from tests import drawings
from trainer import prepare, ready
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.parallel import processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen drawn signatures and words in folders, and a file that is no image."""
    root = tmp_path_factory.mktemp("many")
    for number in range(16):
        file = root / f"{number % 3}" / f"{number:02d}.png"
        file.parent.mkdir(exist_ok=True)
        draw = (drawings.draw_signature, drawings.draw_word)[number % 2]
        cv2.imwrite(str(file), draw(20 + number, 0))
    (root / "1" / "broken.png").write_bytes(b"SECRET")
    (root / "1" / "note.txt").write_bytes(b"no image")
    return root


@pytest.fixture
def spec():
    """The ready classifier, with answers as JSON Lines."""
    return offline.make_spec("--artifact", ready.CLASSIFIER)


def number_files(folder):
    return enumerate(list_files([str(folder)], FILE_SUFFIXES), 1)


def make_deadly(models, options):
    """Make an answerer that kills its process on a file."""
    return DeadlyAnswerer(FileAnswerer.make(models, options))


def make_here_only(models, options):
    """Make an answerer in the process of the test, and in no other."""
    if multiprocessing.parent_process():
        raise MemoryError("a planned failure")
    return FileAnswerer.make(models, options)


class DeadlyAnswerer:
    """Kills its process on one file, and fails on another."""

    def __init__(self, answerer):
        self._answerer = answerer
        self.options, self.task, self.columns = answerer.options, answerer.task, answerer.columns

    def answer(self, number, file):
        if file.stem == "05":
            os.kill(os.getpid(), signal.SIGKILL)
        if file.stem == "07":
            raise AssertionError("SECRET")
        return self._answerer.answer(number, file)


def test_files_are_listed_in_the_order_of_their_paths(tmp_path, monkeypatch):
    for name in ("b.png", "b/x.png", "a/z.PNG", "a-b/c.png", "a/b/c.jpg", "a/b.jpg", "note.txt", "b.c/d.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch() if name != "b.png" else None
    (tmp_path / "c.png").symlink_to(tmp_path / "b" / "x.png")
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    expected = sorted(path for path in tmp_path.rglob("*") if path.suffix.lower() in FILE_SUFFIXES and path.is_file())
    assert list(list_files([str(tmp_path)], FILE_SUFFIXES)) == [str(path) for path in expected]
    monkeypatch.chdir(tmp_path)
    assert next(list_files(["."], FILE_SUFFIXES)) == "a/b/c.jpg"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        next(list_files(["a", "nowhere"], FILE_SUFFIXES))


@pytest.mark.slow
def test_threads_and_processes_give_the_same_answers(folder, spec):
    answerer = spec.open()
    answers = [list(workers.answer_files(spec, answerer, number_files(folder), count)) for count in (None, 1, 2)]
    assert len(answers[0]) == 17
    assert sum(answer.has_error for answer in answers[0]) == 1
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.slow
def test_a_file_on_which_a_process_is_killed_has_an_error_and_all_others_are_answered(folder, spec, capfd):
    expected = list(workers.answer_files(spec, spec.open(), number_files(folder), None))
    deadly = dataclasses.replace(spec, make=make_deadly)
    answers = list(workers.answer_files(deadly, deadly.open(), number_files(folder), 2))
    names = [name for _, name in number_files(folder)]
    for name, answer, usual in zip(names, answers, expected, strict=True):
        if name.endswith("05.png"):
            assert '"code": "crashed"' in answer.content
            assert name in answer.content
        elif name.endswith("07.png"):
            assert '{"code": "internal", "message": "a fault of this program: AssertionError"}' in answer.content
        else:
            assert answer == usual
    assert sum(answer.has_error for answer in answers) == 3
    assert "Traceback" in capfd.readouterr().err


def test_processes_that_cannot_open_the_artefact_end_the_run(folder, spec):
    broken = dataclasses.replace(spec, make=make_here_only)
    with pytest.raises(processes.ProcessNotStarted):
        list(workers.answer_files(broken, broken.open(), number_files(folder), 2))


@pytest.mark.parametrize("count", [None, 2])
def test_few_answers_wait_in_memory(count, folder, spec, monkeypatch):
    monkeypatch.setattr(workers, "FEW_IMAGES", 4)
    monkeypatch.setattr(workers, "count_vcpus", lambda: 2)
    taken = itertools.count()
    names = ((next(taken), name) for name in itertools.cycle([str(folder / "0" / "00.png")]))
    answers = workers.answer_files(spec, spec.open(), names, count)
    assert len(list(itertools.islice(answers, 30))) == 30
    assert next(taken) <= 30 + (processes.AHEAD * 2 + 2) * workers.FILES_PER_CALL
    answers.close()
    assert not multiprocessing.active_children()


def test_few_files_are_answered_without_processes(folder, spec, monkeypatch):
    monkeypatch.setattr(workers, "run_in_order", None)
    assert len(list(workers.answer_files(spec, spec.open(), number_files(folder), None))) == 17


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "answers"], "--out 'answers': end it in .csv, .jsonl, .parquet, or give --format"),
        (["--out", "a.csv", "--format", "table"], "or give --format csv, jsonl or parquet"),
        (["--format", "parquet"], "need --out PATH"),
        (["--runner", "direct"], "need --out PATH"),
        (["--out", "gs://b/a.csv"], "only a --runner writes"),
        (["--out", "a.csv", "--runner", "direct"], "of jsonl or parquet"),
        (["--out", "a", "--runner", "direct", "--crops", "c"], "are for this machine, without --runner"),
        (["--workers", "0"], "it has to be 1 to 1024"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, message, capsys):
    with pytest.raises(SystemExit) as exit:
        offline.main(["a.png", "--artifact", "m", *flags])
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_the_suffix_of_the_output_names_its_format_and_options_of_beam_follow_a_runner():
    def parse(*arguments) -> argparse.Namespace:
        return parse_arguments(["a.png", "--artifact", "m", *arguments], "")

    assert parse().format == "table"
    assert parse("--out", "a.csv").format == "csv"
    assert parse("--out", "a.csv", "--format", "jsonl").format == "jsonl"
    options = parse("--out", "gs://b/answers", "--runner", "direct", "--", "--direct_num_workers=2")
    assert (options.format, options.beam_arguments) == ("jsonl", ["--direct_num_workers=2"])
    assert parse_arguments(["--artifact", "m", "--", "-b.png"], "").paths == ["-b.png"]
    assert prepare.RUNNERS[1:] == RUNNERS
