"""The commands beside the server: making requests, and answering without one."""

import csv
import io
import json

import pytest

from predictor import offline, request, settings


@pytest.fixture
def files(scans, tmp_path):
    """A folder with a signature, a word and a file that is no image."""
    for number, source in enumerate([next((scans / "signature").iterdir()), next((scans / "text").iterdir())]):
        (tmp_path / f"{number}{source.suffix}").write_bytes(source.read_bytes())
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
        ({"AIP_STORAGE_URI": "x", "AIP_HTTP_PORT": "web"}, "port"),
        ({"AIP_STORAGE_URI": "x", "AIP_HEALTH_ROUTE": "health"}, "begin with '/'"),
    ],
)
def test_server_settings_that_cannot_work_are_refused_before_anything_starts(environment, says, capsys):
    with pytest.raises(SystemExit):
        settings.from_command_line([], environment)
    assert says in capsys.readouterr().err


def test_vertex_port_wins_over_cloud_runs_and_opens_the_container():
    chosen = settings.from_command_line([], {"AIP_STORAGE_URI": "m", "PORT": "1", "AIP_HTTP_PORT": "2"})
    assert (chosen.port, chosen.host) == (2, "0.0.0.0")
