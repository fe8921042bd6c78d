"""``predictor.request``, ``predictor.offline`` and the settings of the server."""

import csv
import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from predictor import offline, request, settings
from tests.conftest import ROOT
from trainer.generators import signatures as generator


@pytest.fixture
def files(tmp_path):
    """A folder with a signature, a word and a file that is no image."""
    for number, content in enumerate(["genuine", "text"]):
        data, suffix = generator.generate_image(5, 1, content, 0)
        (tmp_path / f"{number}{suffix}").write_bytes(data)
    (tmp_path / "broken.png").write_bytes(b"SECRET")
    return tmp_path


def test_offline_gives_the_same_answers_as_the_server(server, artifact, files, capsys):
    paths = [str(path) for path in sorted(files.iterdir()) if path.name != "broken.png"]
    assert request.main([*paths, "--send", server + "/predict"]) == 0
    served = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert offline.main([str(artifact), *paths, "--format", "jsonl"]) == 0
    local = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{k: v for k, v in row.items() if k != "file"} for row in local] == served
    assert [row["file"] for row in local] == paths


def test_offline_searches_folders_and_a_bad_file_fails_only_its_row(artifact, files, capsys):
    assert offline.main([str(artifact), str(files), "--format", "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["error"] for row in rows] == ["", "", "unreadable_image"]
    assert all(row["label"] in ("signature", "text") for row in rows[:2])


def test_offline_prints_no_error_when_its_reader_closes_the_pipe(artifact, files):
    """As ``| head`` does."""
    command = [sys.executable, "-m", "predictor.offline", str(artifact), *[str(files / "0.png")] * 99]
    process = subprocess.Popen(
        [*command, "--format", "jsonl"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_a_whole_page_is_answered_with_a_warning(artifact, tmp_path, capsys):
    page = np.full((1400, 1000), 250, np.uint8)
    for line in range(100, 1300, 40):
        cv2.putText(page, "Dear Sir or Madam, we write to you", (60, line), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 20, 2)
    cv2.imwrite(str(tmp_path / "letter.png"), page)
    assert offline.main([str(artifact), str(tmp_path), "--format", "jsonl"]) == 0
    (answer,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "looks_like_a_page" in [warning["code"] for warning in answer["warnings"]]


def test_offline_prints_a_table_by_default(artifact, files, capsys):
    offline.main([str(artifact), str(files)])
    output = capsys.readouterr().out
    assert "label" in output
    assert "not an image" in output
    assert "SECRET" not in output


@pytest.mark.parametrize("artifact_dir", ["nowhere", "."])
def test_offline_reports_a_missing_artefact(artifact_dir, files, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert offline.main([artifact_dir, str(files)]) == 1
    assert "no artefact" in capsys.readouterr().err


def test_request_prints_the_json_of_vertex_ai(files, capsys):
    assert request.main([str(files / "broken.png")]) == 0
    assert json.loads(capsys.readouterr().out) == {"instances": [{"image": {"b64": "U0VDUkVU"}}]}


def test_request_prints_the_reason_when_the_server_refuses(server, files, capsys):
    assert request.main([str(files / "broken.png"), "--send", server + "/predict"]) == 1
    assert "unreadable_image" in capsys.readouterr().err


def test_request_names_a_missing_file(capsys):
    assert request.main(["nowhere.png"]) == 1
    assert "nowhere.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "AIP_STORAGE_URI"),
        ({"ENV_MODE": "prod"}, "ENV_MODE=dev the page can train one"),
        ({"ENV_MODE": "dev", "PORT": "80"}, "not on 0.0.0.0: whoever reaches it may train and load models"),
        ({"AIP_STORAGE_URI": "x", "AIP_HTTP_PORT": "web"}, "port"),
        ({"AIP_STORAGE_URI": "x", "AIP_HEALTH_ROUTE": "health"}, "begin with '/'"),
    ],
)
def test_server_settings_that_cannot_work_are_refused_before_anything_starts(environment, message, capsys):
    with pytest.raises(SystemExit):
        settings.from_command_line([], environment)
    assert message in capsys.readouterr().err


def test_development_needs_no_model_and_a_flag_for_addresses_other_than_loopback():
    assert settings.from_command_line([], {"ENV_MODE": "dev"}).artifact == ""
    for host in ("127.0.0.1", "::1", "localhost"):
        assert settings.from_command_line(["--mode", "dev", "--host", host], {}).host == host
    with pytest.raises(SystemExit):
        settings.from_command_line(["--mode", "dev", "--host", "10.0.0.5"], {})
    flags = ["--mode", "dev", "--host", "10.0.0.5", "--allow-remote-training"]
    assert settings.from_command_line(flags, {}).host == "10.0.0.5"


def test_old_names_of_flags_are_accepted_with_a_warning(caplog):
    parsed = settings.from_command_line(["--model", "m", "--waiting", "3"], {})
    assert (parsed.artifact, parsed.max_waiting_images) == ("m", 3)
    assert offline.main(["nowhere", "nothing.png", "--embedding", "--explain", "pictures"]) == 1
    for old, new in (
        ("--model", "--artifact"),
        ("--waiting", "--max-waiting-images"),
        ("--embedding", "--return-embedding"),
        ("--explain", "--explanation-dir"),
    ):
        assert f"{old} is now {new}" in caplog.text


def test_the_port_of_vertex_ai_wins_over_that_of_cloud_run_and_sets_the_host():
    parsed = settings.from_command_line([], {"AIP_STORAGE_URI": "m", "PORT": "1", "AIP_HTTP_PORT": "2"})
    assert (parsed.port, parsed.host) == (2, "0.0.0.0")
