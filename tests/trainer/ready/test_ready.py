"""``ready:NAME`` names an artefact that the package carries, wherever an artefact is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy import artifact_store
from predictor import Recognizer
from tests.conftest import ROOT
from trainer import enrol, evaluate, ready, variant
from trainer.artifact import manifest

READY = "ready:signature_vs_text"


def test_a_name_is_the_folder_of_the_artefact_and_other_paths_stay_as_they_are(ready_artifact):
    assert ready.list_names() == ["signature_vs_text"]
    assert Path(ready.resolve(READY)) == ready_artifact
    assert ready.fetch_artifact(READY) == ready_artifact
    for path in ("runs/mine/model", "gs://bucket/model", "signature_vs_text"):
        assert ready.resolve(path) == path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("signature_vs_txt", "did you mean 'signature_vs_text'? there is: signature_vs_text"),
        ("zzz", "no ready artefact is called 'zzz'; there is: signature_vs_text"),
        ("", "no ready artefact is called ''; there is: signature_vs_text"),
        ("../ready/signature_vs_text", "there is: signature_vs_text"),
    ],
)
def test_an_unknown_name_lists_those_that_exist(ready_artifact, name, message):
    with pytest.raises(ready.NoReadyArtifact) as error:
        ready.fetch_artifact(f"ready:{name}")
    assert message in str(error.value)


def test_a_folder_without_a_manifest_is_no_ready_artefact(no_ready_artifact):
    (ready.get_ready_dir() / "signature_vs_text").mkdir()
    with pytest.raises(manifest.BadArtifact, match="is not in this installation, which has no ready artefact"):
        ready.resolve(READY)


def test_ready_artefacts_lie_in_the_installed_package(monkeypatch):
    monkeypatch.delenv("COUNTERSIGN_READY", raising=False)
    assert ready.get_ready_dir() == Path(ready.__file__).parent


def test_a_recognizer_without_a_path_is_that_of_the_ready_artefact(ready_artifact, artifact, signature):
    recognizer = Recognizer.load()
    assert recognizer.artifact.identity == manifest.identity(artifact)
    assert recognizer.predict(signature) == Recognizer.load(artifact).predict(signature)


def test_every_command_takes_a_ready_artefact(ready_artifact, artifact, scans, tmp_path, capsys):
    assert variant.main([READY, "float32", str(tmp_path / "copy")]) == 0
    assert manifest.identity(tmp_path / "copy") == manifest.identity(artifact)
    assert artifact_store.open_artifact(READY, "image@sha256:0").sha256 == manifest.identity(artifact)
    assert enrol.main([READY, str(scans), "--out", str(tmp_path / "enrolled.npz")]) == 1
    assert "the model answers signature_vs_text" in capsys.readouterr().err, "it was opened"


def test_a_ready_artefact_is_evaluated_like_any_other(tensorflow, ready_artifact, scans, tmp_path, capsys):
    assert evaluate.main([READY, "--data", str(scans), "--out", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report" / "report.json").is_file()


def test_finding_a_ready_artefact_loads_no_numpy():
    code = "import sys, trainer.ready; assert not {'numpy', 'tensorflow', 'google.cloud.storage'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
