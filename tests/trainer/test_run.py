"""A run's folder: started, killed, continued, finished; never a half artefact taken for a whole one."""

import datetime
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, SMALL_RUN
from tests.trainer.test_manifest import as_format_2
from trainer import task
from trainer.artifact import manifest
from trainer.pipeline.run_dir import OtherRun, Run, newest_model, open_run
from trainer.settings import config

pytestmark = pytest.mark.usefixtures("tensorflow")  # every command here trains, or is refused when it would

EPOCHS = ["--epochs", "4"]
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


def command(scans, folder, *more):
    return [
        sys.executable,
        "-m",
        "trainer.task",
        "--train-dir",
        str(scans),
        "--job-dir",
        str(folder),
        *SMALL_RUN,
        *EPOCHS,
        *more,
    ]


def start(arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        arguments, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(process, path):
    """Until the file is there; fails when the process ends before."""
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


@pytest.mark.whole
def test_a_killed_run_continues_and_reaches_the_numbers_of_an_uninterrupted_one(scans, tmp_path, capsys):
    whole = tmp_path / "whole"
    assert task.main(command(scans, whole)[3:]) == 0
    broken = tmp_path / "broken"
    process = start(command(scans, broken), tmp_path)
    wait_for(process, broken / "checkpoints" / "newest" / "checkpoint")
    process.kill()
    process.communicate()
    assert not (broken / "model").exists(), "killed while training: no artefact"
    assert task.main(command(scans, broken)[3:]) == 0
    assert "continuing after epoch" in capsys.readouterr().out
    assert (broken / "training.csv").read_text() == (whole / "training.csv").read_text()
    assert manifest.read(broken / "model").metrics == manifest.read(whole / "model").metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "moment"),
    [
        (signal.SIGINT, "model.partial"),
        (signal.SIGTERM, "survey"),
        (signal.SIGKILL, "model.partial"),
    ],
)
def test_a_kill_at_any_moment_leaves_no_artefact_or_a_whole_one(scans, tmp_path, moment, how):
    folder = tmp_path / "run"
    process = start(command(scans, folder, "--epochs", "1"), tmp_path)
    wait_for(process, folder / moment)
    process.send_signal(how)
    output, _ = process.communicate(timeout=100)
    if (folder / "model").exists():
        manifest.verify(manifest.read(folder / "model"), folder / "model")
    elif how != signal.SIGKILL:
        assert process.returncode == 130, output
        assert "continues" in output
    assert task.main(command(scans, folder, "--epochs", "1")[3:]) == 0, "what is left can be continued"
    manifest.verify(manifest.read(folder / "model"), folder / "model")


@pytest.fixture
def own_run(run_dir, tmp_path):
    """A copy of the finished run: only one process may work in a job dir, and many tests share the run."""
    return shutil.copytree(run_dir, tmp_path / run_dir.name, ignore=shutil.ignore_patterns("lock"))


def test_a_finished_run_holds_everything_and_is_not_trained_again(own_run, scans, capsys):
    for name in ("model/saved_model.pb", "model/model.tflite", "model/model.int8.tflite", "model/manifest.json"):
        assert (own_run / name).is_file()
    for name in ("report.json", "report.md", "confusion.png", "roc.png", "training.png"):
        assert (own_run / "report" / name).is_file()
    for name in ("config.toml", "log.txt", "training.csv", "checkpoints", "records/manifest.json"):
        assert (own_run / name).exists()
    assert not list(own_run.rglob("*.partial"))
    before = (own_run / "model" / "manifest.json").stat().st_mtime_ns
    assert task.main(["--train-dir", str(scans), "--job-dir", str(own_run), *SMALL_RUN]) == 0
    assert "complete already" in capsys.readouterr().out
    assert (own_run / "model" / "manifest.json").stat().st_mtime_ns == before


def test_a_finished_run_of_the_release_before_is_not_trained_again(own_run, scans, capsys):
    as_format_2(own_run / "model")
    settings = (own_run / "config.toml").read_text()
    for new, old in (("ema_decay", "averaging"), ("dtype_policy", "precision"), ("variant", "serve")):
        settings = settings.replace(new, old)
    (own_run / "config.toml").write_text(settings)
    assert "averaging" in settings
    assert task.main(["--train-dir", str(scans), "--job-dir", str(own_run), *SMALL_RUN]) == 0
    assert "complete already" in capsys.readouterr().out


def test_a_job_dir_of_other_settings_is_refused_by_name(own_run, scans, capsys):
    assert task.main(["--train-dir", str(scans), "--job-dir", str(own_run), *SMALL_RUN, "--seed", "8"]) == 1
    assert "seed was 7, now 8" in capsys.readouterr().err


def test_without_a_job_dir_an_unfinished_run_of_the_same_settings_is_continued(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = config.from_command_line(["--epochs", "4"], {})
    first = open_run(wanted, NOW)
    assert first.folder.name == "20260102-030405-signature_vs_text"
    with first:
        first.record(wanted)
    later = NOW + datetime.timedelta(hours=1)
    assert open_run(wanted, later) == first
    with first:
        assert open_run(wanted, later) != first, "somebody is working in it"
    other = config.from_command_line(["--epochs", "5"], {})
    assert open_run(other, later).folder.name == "20260102-040405-signature_vs_text"


def test_vertex_places_are_honoured_and_another_runs_artefact_there_is_not_mistaken_for_ours(artifact, tmp_path):
    environment = {"AIP_MODEL_DIR": str(artifact), "AIP_CHECKPOINT_DIR": str(tmp_path / "c")}
    wanted = config.from_command_line(["--job-dir", str(tmp_path / "job")], environment)
    opened = open_run(wanted, NOW)
    assert (opened.model, opened.checkpoints) == (artifact, tmp_path / "c")
    assert not opened.is_complete(wanted)


def test_the_newest_model_is_that_of_the_last_finished_run(run_dir, tmp_path):
    assert newest_model(run_dir.parent) == run_dir / "model"
    with pytest.raises(FileNotFoundError, match=r"trainer\.task"):
        newest_model(tmp_path)


def test_a_model_dir_that_holds_something_else_is_never_replaced(tmp_path, scans, capsys):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    arguments = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--model-dir", str(precious)]
    assert task.main([*arguments, *SMALL_RUN]) == 1
    assert "no artefact" in capsys.readouterr().err
    assert (precious / "thesis.txt").read_text() == "years of work"


def test_a_run_that_would_write_into_its_own_data_is_refused(scans, capsys):
    assert task.main(["--train-dir", str(scans), "--job-dir", str(scans / "run"), *SMALL_RUN]) == 1
    assert "inside the images" in capsys.readouterr().err
    assert not (scans / "run").exists(), "nothing came of it, so nothing is left"


def test_a_typo_does_not_claim_the_job_dir(scans, tmp_path, capsys):
    wrong = ["--train-dir", str(scans) + "x", "--job-dir", str(tmp_path / "job"), *SMALL_RUN, "--epochs", "1"]
    assert task.main(wrong) == 1
    assert task.main([wrong[0], str(scans), *wrong[2:]]) == 0


def test_a_finished_run_that_lost_a_file_is_not_complete(run_dir, scans, tmp_path):
    damaged = shutil.copytree(run_dir, tmp_path / run_dir.name)
    wanted = config.read(run_dir / "config.toml")
    assert Run(damaged, damaged / "model", damaged / "checkpoints").is_complete(wanted)
    (damaged / "model" / "model.tflite").unlink()
    assert not Run(damaged, damaged / "model", damaged / "checkpoints").is_complete(wanted)


def test_two_processes_do_not_share_a_run(tmp_path):
    opened = open_run(config.from_command_line(["--job-dir", str(tmp_path / "job")], {}), NOW)
    with opened, pytest.raises(OtherRun, match="another process"), opened:
        pass


def test_the_recorded_settings_start_another_run_with_one_flag_changed(run_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    again = config.from_command_line(["--config", str(run_dir / "config.toml"), "--seed", "8"], {})
    assert (again.model.backbone, again.model.image_width) == ("compact", 64), "resolved, not left to the problem"
    assert open_run(again, NOW).folder.name == "20260102-030405-signature_vs_text"


def test_open_run_of_another_config_raises(own_run):
    with pytest.raises(OtherRun):
        open_run(config.from_command_line(["--job-dir", str(own_run)], {}), NOW)
