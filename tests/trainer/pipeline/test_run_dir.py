"""The folder of a run: started, killed, continued, finished; an incomplete artefact never counts as complete."""

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import CLASSIFIER_FLAGS, ROOT
from tests.trainer.artifact.test_manifest import as_format_2
from trainer import prepare, task
from trainer.artifact import manifest
from trainer.pipeline.run_dir import JobDirConflict, RunDir, find_newest_artifact, open_run_dir
from trainer.settings.config import parse_config, read_config

pytestmark = pytest.mark.usefixtures("tensorflow")  # every command here trains, or fails just before

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
        *CLASSIFIER_FLAGS,
        *EPOCHS,
        *more,
    ]


def start(arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        arguments, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(process, path):
    """Wait for a file; fails when the process ends before it is there."""
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


@pytest.mark.whole
def test_a_killed_run_continues_and_reaches_the_numbers_of_an_uninterrupted_one(scans, tmp_path, capsys):
    uninterrupted = tmp_path / "uninterrupted"
    assert task.main(command(scans, uninterrupted)[3:]) == 0
    killed = tmp_path / "killed"
    process = start(command(scans, killed), tmp_path)
    wait_for(process, killed / "checkpoints" / "newest" / "checkpoint")
    process.kill()
    process.communicate()
    assert not (killed / "model").exists(), "killed while training: no artefact"
    assert task.main(command(scans, killed)[3:]) == 0
    assert "continuing after epoch" in capsys.readouterr().out
    assert (killed / "training.csv").read_text() == (uninterrupted / "training.csv").read_text()
    assert manifest.read(killed / "model").metrics == manifest.read(uninterrupted / "model").metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_number", "awaited_file"),
    [
        (signal.SIGINT, "model.partial"),
        (signal.SIGTERM, "survey"),
        (signal.SIGKILL, "model.partial"),
    ],
)
def test_a_kill_at_any_time_leaves_no_artefact_or_a_complete_one(scans, tmp_path, awaited_file, signal_number):
    folder = tmp_path / "run"
    process = start(command(scans, folder, "--epochs", "1"), tmp_path)
    wait_for(process, folder / awaited_file)
    process.send_signal(signal_number)
    output, _ = process.communicate(timeout=100)
    if (folder / "model").exists():
        manifest.verify(manifest.read(folder / "model"), folder / "model")
    elif signal_number != signal.SIGKILL:
        assert process.returncode == 130, output
        assert "continues" in output
    assert task.main(command(scans, folder, "--epochs", "1")[3:]) == 0, "the run can be continued"
    manifest.verify(manifest.read(folder / "model"), folder / "model")


@pytest.fixture
def run_copy(run_dir, tmp_path):
    """A copy of the finished run, because only one process may work in a job dir, and tests in others share the run."""
    return shutil.copytree(run_dir, tmp_path / run_dir.name, ignore=shutil.ignore_patterns("lock"))


def test_a_finished_run_holds_everything_and_is_not_trained_again(run_copy, scans, capsys):
    for name in ("model/saved_model.pb", "model/model.tflite", "model/model.int8.tflite", "model/manifest.json"):
        assert (run_copy / name).is_file()
    for name in ("report.json", "report.md", "confusion.png", "roc.png", "training.png"):
        assert (run_copy / "report" / name).is_file()
    for name in ("config.toml", "log.txt", "training.csv", "checkpoints", "records/manifest.json"):
        assert (run_copy / name).exists()
    assert not list(run_copy.rglob("*.partial"))
    before = (run_copy / "model" / "manifest.json").stat().st_mtime_ns
    assert task.main(["--train-dir", str(scans), "--job-dir", str(run_copy), *CLASSIFIER_FLAGS]) == 0
    assert "complete already" in capsys.readouterr().out
    assert (run_copy / "model" / "manifest.json").stat().st_mtime_ns == before


UNKNOWN_BEFORE = (("data", "copies_dir"), ("training", "copies_share"), ("training", "init_from"))


def write_previous_config(folder):
    """Rewrite ``config.toml`` as the previous release did: with its names, without the settings it did not know."""
    settings = (folder / "config.toml").read_text()
    for new, old in (("ema_decay", "averaging"), ("dtype_policy", "precision"), ("variant", "serve")):
        settings = settings.replace(new, old)
    unknown = tuple(f"{name} = " for _, name in UNKNOWN_BEFORE)
    lines = [line for line in settings.splitlines() if not line.startswith(unknown)]
    assert len(lines) == len(settings.splitlines()) - 2, "an empty tuple is not written"
    (folder / "config.toml").write_text("\n".join(lines))


def test_a_finished_run_of_the_previous_release_is_not_trained_again(run_copy, scans, capsys):
    as_format_2(run_copy / "model")
    manifest_file = run_copy / "model" / "manifest.json"
    values = json.loads(manifest_file.read_text())
    for section, name in UNKNOWN_BEFORE:
        del values["training"]["settings"][section][name]
    manifest_file.write_text(json.dumps(values))
    write_previous_config(run_copy)
    assert "averaging" in (run_copy / "config.toml").read_text()
    assert task.main(["--train-dir", str(scans), "--job-dir", str(run_copy), *CLASSIFIER_FLAGS]) == 0
    assert "complete already" in capsys.readouterr().out


def test_the_error_for_a_job_dir_of_other_settings_names_them(run_copy, scans, capsys):
    assert task.main(["--train-dir", str(scans), "--job-dir", str(run_copy), *CLASSIFIER_FLAGS, "--seed", "8"]) == 1
    assert "seed was 7, now 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "change"),
    [
        ("--init-from", "a.keras", "init_from was not set"),
        ("--copies-share", "0.5", "copies_share was not set, now 0.5"),
    ],
)
def test_a_job_dir_of_the_previous_release_is_refused_for_what_it_did_not_know(run_copy, flag, value, change):
    write_previous_config(run_copy)
    config = parse_config(["--config", str(run_copy / "config.toml"), "--job-dir", str(run_copy), flag, value], {})
    with pytest.raises(JobDirConflict, match=change):
        open_run_dir(config, NOW)


def test_without_a_job_dir_an_unfinished_run_of_the_same_settings_is_continued(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = parse_config(["--epochs", "4"], {})
    first = open_run_dir(settings, NOW)
    assert first.folder.name == "20260102-030405-signature_vs_text"
    with first:
        first.write_config(settings)
    later = NOW + datetime.timedelta(hours=1)
    assert open_run_dir(settings, later) == first
    with first:
        assert open_run_dir(settings, later) != first, "another context has locked it"
    changed_settings = parse_config(["--epochs", "5"], {})
    assert open_run_dir(changed_settings, later).folder.name == "20260102-040405-signature_vs_text"


def test_the_folders_of_vertex_are_used_and_an_artefact_of_another_run_there_is_not_complete(artifact, tmp_path):
    environment = {"AIP_MODEL_DIR": str(artifact), "AIP_CHECKPOINT_DIR": str(tmp_path / "c")}
    settings = parse_config(["--job-dir", str(tmp_path / "job")], environment)
    job = open_run_dir(settings, NOW)
    assert (job.artifact_dir, job.checkpoint_dir) == (artifact, tmp_path / "c")
    assert not job.is_complete(settings)


def test_the_newest_artefact_is_that_of_the_last_finished_run(run_dir, tmp_path):
    assert find_newest_artifact(run_dir.parent) == run_dir / "model"
    with pytest.raises(FileNotFoundError, match=r"trainer\.task"):
        find_newest_artifact(tmp_path)


def test_a_model_dir_with_other_files_is_never_replaced(tmp_path, scans, capsys):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    arguments = ["--train-dir", str(scans), "--job-dir", str(tmp_path / "job"), "--model-dir", str(folder)]
    assert task.main([*arguments, *CLASSIFIER_FLAGS]) == 1
    assert "no artefact" in capsys.readouterr().err
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_job_dir_inside_the_data_is_refused(scans, capsys):
    assert task.main(["--train-dir", str(scans), "--job-dir", str(scans / "run"), *CLASSIFIER_FLAGS]) == 1
    assert "inside the images" in capsys.readouterr().err
    assert not (scans / "run").exists(), "a run that wrote nothing leaves no folder"


def test_a_run_that_fails_on_its_data_does_not_reserve_the_job_dir(scans, tmp_path, capsys):
    misspelt = ["--train-dir", str(scans) + "x", "--job-dir", str(tmp_path / "job"), *CLASSIFIER_FLAGS, "--epochs", "1"]
    assert task.main(misspelt) == 1
    assert task.main([misspelt[0], str(scans), *misspelt[2:]]) == 0


def test_a_finished_run_that_lost_a_file_is_not_complete(run_dir, scans, tmp_path):
    damaged = shutil.copytree(run_dir, tmp_path / run_dir.name)
    settings = read_config(run_dir / "config.toml")
    assert RunDir(damaged, damaged / "model", damaged / "checkpoints").is_complete(settings)
    (damaged / "model" / "model.tflite").unlink()
    assert not RunDir(damaged, damaged / "model", damaged / "checkpoints").is_complete(settings)


def test_data_with_an_audit_of_the_release_before_is_prepared_again(run_copy, scans):
    shutil.rmtree(run_copy / "model")
    audit = json.loads((run_copy / "audit.json").read_text())
    old_audit = {"crossing" if key == "writer_overlap" else key: value for key, value in audit.items()}
    (run_copy / "audit.json").write_text(json.dumps(old_audit))
    assert prepare.main(["--train-dir", str(scans), "--job-dir", str(run_copy), *CLASSIFIER_FLAGS]) == 0
    assert json.loads((run_copy / "audit.json").read_text()) == audit


def test_two_processes_do_not_share_a_run(tmp_path):
    opened_run = open_run_dir(parse_config(["--job-dir", str(tmp_path / "job")], {}), NOW)
    with opened_run, pytest.raises(JobDirConflict, match="another process"), opened_run:
        pass


def test_the_recorded_settings_start_another_run_with_one_flag_changed(run_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = parse_config(["--config", str(run_dir / "config.toml"), "--seed", "8"], {})
    assert (config.model.backbone, config.model.image_width) == ("compact", 64), "the problem's defaults are recorded"
    assert open_run_dir(config, NOW).folder.name == "20260102-030405-signature_vs_text"


def test_a_job_dir_of_other_settings_raises(run_copy):
    with pytest.raises(JobDirConflict):
        open_run_dir(parse_config(["--job-dir", str(run_copy)], {}), NOW)
