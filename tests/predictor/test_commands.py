"""``predictor.request``, ``predictor.offline`` and the settings of the server."""

import csv
import io
import json
import subprocess
import sys

import cv2
import httpx
import numpy as np
import pytest

from predictor import offline, request, settings
from predictor.blas_threads import VARIABLE
from tests import drawings
from tests.conftest import ROOT, serving
from trainer.artifact import manifest


@pytest.fixture
def files(tmp_path):
    """A folder with a signature, a word and a file that is no image."""
    for number, page in enumerate([drawings.draw_signature(20, 0), drawings.draw_word(20, 0)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), page)
    (tmp_path / "broken.png").write_bytes(b"SECRET")
    return tmp_path


def test_offline_gives_the_same_answers_as_the_server(server, artifact, files, capsys):
    paths = [str(path) for path in sorted(files.iterdir()) if path.name != "broken.png"]
    assert request.main([*paths, "--send", server + "/predict"]) == 0
    served = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert offline.main(["--artifact", str(artifact), *paths, "--format", "jsonl"]) == 0
    local = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{k: v for k, v in row.items() if k != "file"} for row in local] == served
    assert [row["file"] for row in local] == paths


def test_offline_searches_folders_and_a_bad_file_fails_only_its_row(artifact, files, capsys):
    assert offline.main(["--artifact", str(artifact), str(files), "--format", "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["error"] for row in rows] == ["", "", "unreadable_image"]
    assert all(row["label"] in ("signature", "text") for row in rows[:2])


def test_offline_prints_no_error_when_its_reader_closes_the_pipe(artifact, files):
    """As ``| head`` does."""
    command = [sys.executable, "-m", "predictor.offline", "--artifact", str(artifact), *[str(files / "0.png")] * 99]
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
    assert offline.main(["--artifact", str(artifact), str(tmp_path), "--format", "jsonl"]) == 0
    (answer,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "looks_like_a_page" in [warning["code"] for warning in answer["warnings"]]


def test_offline_prints_a_table_by_default(artifact, files, capsys):
    offline.main(["--artifact", str(artifact), str(files)])
    output = capsys.readouterr().out
    assert "label" in output
    assert "not an image" in output
    assert "SECRET" not in output


@pytest.mark.parametrize("artifact_dir", ["nowhere", "."])
def test_offline_reports_a_missing_artefact(artifact_dir, files, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert offline.main(["--artifact", artifact_dir, str(files)]) == 1
    assert "no artefact" in capsys.readouterr().err


def test_request_prints_the_json_of_vertex_ai(files, capsys):
    assert request.main([str(files / "broken.png")]) == 0
    assert json.loads(capsys.readouterr().out) == {"instances": [{"image": {"b64": "U0VDUkVU"}}]}


@pytest.mark.parametrize("name", ["far", "threshold"])
def test_request_sends_a_zero_which_the_server_refuses(name, files, capsys):
    assert request.main([str(files / "broken.png"), f"--{name}", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == {name: 0.0}


def test_request_writes_each_number_of_an_embedding_as_short_as_a_float32_allows():
    body = request.build_body([b""], embeddings=np.float32([[0.1, -0.2]]))
    assert json.loads(body)["instances"][0]["reference_embeddings"] == [[0.1, -0.2]]


@pytest.mark.parametrize("flags", [("--far", "0.01"), ("--threshold", "0.5"), ("--explanation-dir", "pictures")])
def test_offline_refuses_flags_of_a_comparison_without_references(flags, verifier_artifact, files, capsys):
    command = ["--artifact", str(verifier_artifact), str(files / "0.png"), "--format", "jsonl", *flags]
    assert offline.main(command) == 1
    expected = "--far, --threshold and --explanation-dir need --reference or --people"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("module", ["predictor.__main__", "predictor.offline"])
@pytest.mark.parametrize(("threads", "printed"), [(None, "1 None"), ("4", "4 4")])
def test_numpy_has_one_thread_but_not_in_a_training_unless_the_user_says_otherwise(
    module, threads, printed, monkeypatch
):
    monkeypatch.delenv(VARIABLE, raising=False)
    if threads:
        monkeypatch.setenv(VARIABLE, threads)
    code = f"import os, {module}; from predictor.blas_threads import VARIABLE, get_unlimited_environment as get; "
    code += "print(os.environ.get(VARIABLE), get().get(VARIABLE))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.split() == printed.split()


def test_request_prints_the_reason_when_the_server_refuses(server, files, capsys):
    assert request.main([str(files / "broken.png"), "--send", server + "/predict"]) == 1
    assert "unreadable_image" in capsys.readouterr().err


def test_request_names_a_missing_file(capsys):
    assert request.main(["nowhere.png"]) == 1
    assert "nowhere.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {},
            "give --artifact PATH or set AIP_STORAGE_URI, because 'ready:signature_vs_text' is not in this",
        ),
        ({"ENV_MODE": "prod"}, "ENV_MODE=dev the page can train one"),
        ({"AIP_HTTP_PORT": "8080"}, "Vertex AI names none"),
        ({"ENV_MODE": "dev", "PORT": "80"}, "not on 0.0.0.0: whoever reaches it may train and load models"),
        ({"AIP_STORAGE_URI": "x", "AIP_HTTP_PORT": "web"}, "port"),
        ({"AIP_STORAGE_URI": "x", "AIP_HEALTH_ROUTE": "health"}, "begin with '/'"),
    ],
)
def test_server_settings_that_cannot_work_are_refused_before_anything_starts(
    environment, message, capsys, no_ready_artifact
):
    with pytest.raises(SystemExit):
        settings.from_command_line([], environment)
    assert message in capsys.readouterr().err


def test_development_needs_no_model_and_a_flag_for_addresses_other_than_loopback(no_ready_artifact):
    assert settings.from_command_line([], {"ENV_MODE": "dev"}).artifact == ""
    for host in ("127.0.0.1", "::1", "localhost"):
        assert settings.from_command_line(["--mode", "dev", "--host", host], {}).host == host
    with pytest.raises(SystemExit):
        settings.from_command_line(["--mode", "dev", "--host", "10.0.0.5"], {})
    flags = ["--mode", "dev", "--host", "10.0.0.5", "--allow-remote-training"]
    assert settings.from_command_line(flags, {}).host == "10.0.0.5"


@pytest.mark.parametrize(
    ("flags", "environment", "served"),
    [
        (["--artifact", "a"], {"AIP_STORAGE_URI": "b"}, "a"),
        ([], {"AIP_STORAGE_URI": "b", "AIP_HTTP_PORT": "8080"}, "b"),
        ([], {}, "ready:signature_vs_text"),
        ([], {"AIP_STORAGE_URI": "", "PORT": "8080"}, "ready:signature_vs_text"),
        ([], {"ENV_MODE": "dev"}, "ready:signature_vs_text"),
        (["--artifact", "ready:signature_vs_text"], {"AIP_HTTP_PORT": "8080"}, "ready:signature_vs_text"),
    ],
)
def test_a_named_artefact_is_served_and_else_the_ready_one(flags, environment, served, ready_artifact):
    assert settings.from_command_line(flags, environment).artifact == served


def test_on_vertex_ai_the_ready_artefact_never_replaces_one_that_was_not_named(ready_artifact, capsys):
    with pytest.raises(SystemExit):
        settings.from_command_line([], {"AIP_HTTP_PORT": "8080", "AIP_STORAGE_URI": ""})
    assert "AIP_STORAGE_URI is empty" in capsys.readouterr().err


def test_a_server_without_settings_answers_with_the_ready_artefact_and_logs_that(ready_artifact, artifact, capsys):
    with serving() as address:
        assert httpx.get(address + "/health").json()["version"] == manifest.identity(artifact)[:12]
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["message"], line["artifact"]) == ("ready", "ready:signature_vs_text")


def test_offline_answers_with_the_ready_artefact_and_says_so_on_standard_error(ready_artifact, artifact, files, capsys):
    paths = [str(path) for path in files.glob("[01].png")]
    assert offline.main([*paths, "--format", "jsonl"]) == 0
    printed = capsys.readouterr()
    assert "ready:signature_vs_text answers" in printed.err
    assert offline.main([*paths, "--format", "jsonl", "--artifact", str(artifact)]) == 0
    assert capsys.readouterr() == (printed.out, "")


def test_offline_still_takes_an_artefact_as_its_first_path_with_a_warning(artifact, files, capsys, caplog):
    path = str(files / "0.png")
    assert offline.main([str(artifact), path, "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == path
    assert "is now --artifact PATH" in caplog.text
    with pytest.raises(SystemExit):
        offline.main([str(artifact)])
    assert "give image files or folders, too" in capsys.readouterr().err


def test_offline_without_any_artefact_says_what_to_name(no_ready_artifact, files, capsys):
    assert offline.main([str(files)]) == 1
    assert "which has no ready artefact; name another one" in capsys.readouterr().err


def test_old_names_of_flags_are_accepted_with_a_warning(caplog):
    parsed = settings.from_command_line(["--model", "m", "--waiting", "3"], {})
    assert (parsed.artifact, parsed.max_waiting_images) == ("m", 3)
    assert offline.main(["nothing.png", "--artifact", "nowhere", "--embedding", "--explain", "pictures"]) == 1
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
