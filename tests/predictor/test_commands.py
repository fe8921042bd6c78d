"""The commands beside the server: making requests, and answering without one."""

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
from trainer.samples import generator


@pytest.fixture
def files(tmp_path):
    """A folder with a signature, a word and a file that is no image."""
    for number, kind in enumerate(["genuine", "text"]):
        data, suffix = generator.image(5, 1, kind, 0)
        (tmp_path / f"{number}{suffix}").write_bytes(data)
    (tmp_path / "broken.png").write_bytes(b"SECRET")
    return tmp_path


def test_offline_answers_equal_the_servers(server, artifact, files, capsys):
    good = [str(path) for path in sorted(files.iterdir()) if path.name != "broken.png"]
    assert request.main([*good, "--send", server + "/predict"]) == 0
    served = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert offline.main([str(artifact), *good, "--format", "jsonl"]) == 0
    local = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{k: v for k, v in row.items() if k != "file"} for row in local] == served
    assert [row["file"] for row in local] == good


def test_offline_searches_folders_and_a_bad_file_costs_only_its_row(artifact, files, capsys):
    assert offline.main([str(artifact), str(files), "--format", "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["error"] for row in rows] == ["", "", "unreadable_image"]
    assert all(row["label"] in ("signature", "text") for row in rows[:2])


def test_offline_ends_quietly_when_its_reader_has_enough(artifact, files):
    """As ``| head`` does."""
    command = [sys.executable, "-m", "predictor.offline", str(artifact), *[str(files / "0.png")] * 99]
    started = subprocess.Popen(
        [*command, "--format", "jsonl"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started.stdout.close()
    assert started.stderr.read() == ""
    started.stderr.close()
    assert started.wait() == 0


def test_a_whole_page_is_answered_with_a_warning(artifact, tmp_path, capsys):
    page = np.full((1400, 1000), 250, np.uint8)
    for line in range(100, 1300, 40):
        cv2.putText(page, "Dear Sir or Madam, we write to you", (60, line), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 20, 2)
    cv2.imwrite(str(tmp_path / "letter.png"), page)
    assert offline.main([str(artifact), str(tmp_path), "--format", "jsonl"]) == 0
    (answer,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "looks_like_a_page" in [warning["code"] for warning in answer["warnings"]]


def test_offline_prints_a_table_for_people(artifact, files, capsys):
    offline.main([str(artifact), str(files)])
    printed = capsys.readouterr().out
    assert "label" in printed
    assert "not an image" in printed
    assert "SECRET" not in printed


@pytest.mark.parametrize("model", ["nowhere", "."])
def test_offline_without_an_artefact_says_so(model, files, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert offline.main([model, str(files)]) == 1
    assert "no artefact" in capsys.readouterr().err


def test_a_request_is_vertex_json(files, capsys):
    assert request.main([str(files / "broken.png")]) == 0
    assert json.loads(capsys.readouterr().out) == {"instances": [{"image": {"b64": "U0VDUkVU"}}]}


def test_a_refused_request_prints_the_servers_reason(server, files, capsys):
    assert request.main([str(files / "broken.png"), "--send", server + "/predict"]) == 1
    assert "unreadable_image" in capsys.readouterr().err


def test_a_missing_file_is_named(capsys):
    assert request.main(["nowhere.png"]) == 1
    assert "nowhere.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "AIP_STORAGE_URI"),
        ({"ENV_MODE": "prod"}, "ENV_MODE=dev the page can train one"),
        ({"ENV_MODE": "dev", "PORT": "80"}, "not on 0.0.0.0: whoever reaches it may train and load models"),
        ({"AIP_STORAGE_URI": "x", "AIP_HTTP_PORT": "web"}, "port"),
        ({"AIP_STORAGE_URI": "x", "AIP_HEALTH_ROUTE": "health"}, "begin with '/'"),
    ],
)
def test_server_settings_that_cannot_work_are_refused_before_anything_starts(environment, says, capsys):
    with pytest.raises(SystemExit):
        settings.from_command_line([], environment)
    assert says in capsys.readouterr().err


def test_development_needs_no_model_and_another_address_only_when_that_is_said():
    assert settings.from_command_line([], {"ENV_MODE": "dev"}).model == ""
    for host in ("127.0.0.1", "::1", "localhost"):
        assert settings.from_command_line(["--mode", "dev", "--host", host], {}).host == host
    with pytest.raises(SystemExit):
        settings.from_command_line(["--mode", "dev", "--host", "10.0.0.5"], {})
    allowed = settings.from_command_line(["--mode", "dev", "--host", "10.0.0.5", "--allow-remote-training"], {})
    assert allowed.host == "10.0.0.5"


def test_vertex_port_wins_over_cloud_runs_and_opens_the_container():
    chosen = settings.from_command_line([], {"AIP_STORAGE_URI": "m", "PORT": "1", "AIP_HTTP_PORT": "2"})
    assert (chosen.port, chosen.host) == (2, "0.0.0.0")
