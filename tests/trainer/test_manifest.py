"""Manifests: an artefact of the format before is read with a warning, and any other is refused."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, serving
from trainer import variant
from trainer.artifact import manifest
from trainer.artifact.artifact import Model
from trainer.artifact.manifest import BadArtifact, Manifest

SETTINGS = {
    "model": {"embedding_dim": 64, "variant": "float32", "signature_check": "", "ink": "grey"},
    "training": {"ema_decay": 0.9, "dtype_policy": "float32", "seed": 3},
}
OLD_SETTINGS = {
    "model": {"embedding": 64, "serve": "float32", "gate": "", "ink": "grey"},
    "training": {"averaging": 0.9, "precision": "float32", "seed": 3},
}


def as_format_2(folder: Path) -> Path:
    """An artefact as the release before wrote it."""
    values = json.loads((folder / manifest.FILE).read_text())
    old = {"variants": "twins", "variant": "precision", "signature_check": "gate"}
    values = {old.get(name, name): value for name, value in values.items()} | {"format": "countersign/2"}
    settings = values["training"].get("settings")
    if settings:
        old = {"embedding_dim": "embedding", "variant": "serve", "signature_check": "gate"}
        settings["model"] = {old.get(name, name): value for name, value in settings["model"].items()}
        old = {"ema_decay": "averaging", "dtype_policy": "precision"}
        settings["training"] = {old.get(name, name): value for name, value in settings["training"].items()}
    (folder / manifest.FILE).write_text(json.dumps(values))
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder with a manifest and a file."""
    (tmp_path / "model.tflite").write_bytes(b"weights")
    described = Manifest(
        problem="same_writer", question="?", backbone="strokes", labels=["genuine", "forged"], vector_size=4,
        imaging={}, imaging_fingerprint="0", quality={}, decision={"kind": "verify"},
        variants={"float32": {"file": "model.tflite"}}, variant="float32",
        training={"seed": 3, "settings": SETTINGS}, metrics={}, versions={}, created_at="today", signature_check="gate",
    )  # fmt: skip
    manifest.write(described, tmp_path)
    return tmp_path


def test_an_artefact_of_the_format_before_is_described_as_one_of_this_format(folder):
    described = manifest.read(folder)
    assert manifest.read(as_format_2(folder)) == described
    written = json.loads((folder / manifest.FILE).read_text())
    assert {"twins", "precision", "gate"} < set(written), "reading changes no file, or it would be another artefact"
    assert written["training"]["settings"] == OLD_SETTINGS


def test_one_warning_names_the_old_format_the_new_keys_and_what_to_do(folder, caplog):
    as_format_2(folder)
    for _ in range(2):
        manifest.read(folder)
    (record,) = caplog.records
    for part in (
        str(folder),
        "'countersign/2'",
        "twins is now variants",
        "precision is now variant",
        "trainer.variant",
    ):
        assert part in record.getMessage()


def test_the_current_format_is_no_warning(folder, caplog):
    manifest.read(folder)
    assert caplog.records == []


@pytest.mark.parametrize("format", ["countersign/1", "countersign/4", None, 3, ["countersign/2"]])
def test_any_other_format_is_refused_with_its_name_and_the_one_that_is_read(folder, format):
    values = json.loads((folder / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**values, "format": format}))
    with pytest.raises(BadArtifact) as error:
        manifest.read(folder)
    assert f"has format {format!r}; this version reads 'countersign/3'" in str(error.value)


@pytest.mark.parametrize("change", [{"variants": {}}, {"variant": "int8"}], ids=lambda change: next(iter(change)))
def test_a_manifest_with_an_old_key_beside_the_new_one_is_damaged(folder, change):
    values = json.loads((as_format_2(folder) / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**values, **change}))
    with pytest.raises(BadArtifact, match="lacks or adds a field"):
        manifest.read(folder)


@pytest.mark.parametrize("training", [[], {"settings": None}, {"settings": {"model": 3}}])
def test_a_part_of_another_type_than_a_path_expects_is_left_as_it_is(folder, training):
    values = json.loads((as_format_2(folder) / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**values, "training": training}))
    if isinstance(training, dict):
        assert manifest.read(folder).training == training
    else:
        with pytest.raises(BadArtifact, match="'training' is list"):
            manifest.read(folder)


def test_a_star_in_a_path_stands_for_every_key(folder, monkeypatch):
    monkeypatch.setattr(manifest, "RENAMED", {**manifest.RENAMED, "variants.*.file": "path"})
    assert manifest.read(as_format_2(folder)).variants == {"float32": {"path": "model.tflite"}}


@pytest.fixture
def older(artifact, tmp_path):
    """An artefact of the release before, with a signature check."""
    folder = shutil.copytree(artifact, tmp_path / "older")
    as_format_2(shutil.copytree(artifact, folder / "gate"))
    manifest.write(dataclasses.replace(manifest.read(folder), signature_check="gate"), folder)
    return as_format_2(folder)


def test_an_artefact_of_the_format_before_answers_as_it_did(older, artifact, signature):
    opened, original = Model(older), Model(artifact)
    assert opened.prove() == 2 * original.prove(), "its own golden answers and those of its signature check"
    assert opened.answer(signature) == original.answer(signature)


def test_a_server_of_such_an_artefact_logs_the_warning_in_its_own_form(older, capsys):
    with serving("--model", str(older)):
        pass
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = [line["message"] for line in lines if line["severity"] == "WARNING"]
    assert len(said) == 2, "its own manifest and that of its signature check"
    assert all(str(older) in text and "'countersign/2'" in text for text in said)


def test_a_warning_does_not_come_among_the_answers_of_a_command(older, signature, tmp_path):
    (tmp_path / "image.png").write_bytes(signature)
    command = [sys.executable, "-m", "predictor.offline", str(older), str(tmp_path / "image.png"), "--format", "csv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("file,label,score")
    assert "countersign/2" not in done.stdout
    assert "'countersign/2'" in done.stderr


def test_a_copy_of_an_artefact_of_the_format_before_is_of_this_format(older, signature, tmp_path):
    assert variant.main([str(older), "float32", str(tmp_path / "copy")]) == 0
    for folder in (tmp_path / "copy", tmp_path / "copy" / "gate"):
        assert json.loads((folder / manifest.FILE).read_text())["format"] == "countersign/3"
    assert Model(tmp_path / "copy").answer(signature) == Model(older).answer(signature)
