"""Manifests: an artefact of the previous format is read with a warning, one of any other format is refused."""

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
from trainer.artifact.artifact import Artifact
from trainer.artifact.manifest import BadArtifact, Manifest

DECISION = {
    "kind": "verify",
    "fusion": "max",
    "embedding_dim": 4,
    "prior_cohesion": 0.5,
    "max_references": 10,
    "inconclusive_margin": 0.1,
    "calibrated_on": "skilled",
}
OLD_DECISION_KEYS = {
    "embedding_dim": "size",
    "prior_cohesion": "cohesion",
    "max_references": "most",
    "inconclusive_margin": "band",
    "calibrated_on": "against",
}
SETTINGS = {
    "model": {"embedding_dim": 64, "variant": "float32", "signature_check": "", "ink": "grey"},
    "training": {"ema_decay": 0.9, "dtype_policy": "float32", "seed": 3},
}
OLD_SETTINGS = {
    "model": {"embedding": 64, "serve": "float32", "gate": "", "ink": "grey"},
    "training": {"averaging": 0.9, "precision": "float32", "seed": 3},
}


def as_format_2(folder: Path) -> Path:
    """Rewrite the manifest of an artefact as the previous release did, and return the folder."""
    values = json.loads((folder / manifest.FILE).read_text())
    old = {"variants": "twins", "variant": "precision", "signature_check": "gate"}
    values = {old.get(name, name): value for name, value in values.items()} | {"format": "countersign/2"}
    decisions = [values["decision"], *(entry["decision"] for entry in values["twins"].values())]
    for decision in decisions:
        for new, old in OLD_DECISION_KEYS.items():
            if new in decision:
                decision[old] = decision.pop(new)
    audit = values["training"].get("audit", {})
    for new, old in {"error": "untrue", "warning": "doubtful", "info": "note"}.items():
        if new in audit:
            audit[old] = audit.pop(new)
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
        problem="same_writer",
        question="?",
        backbone="strokes",
        labels=["genuine", "forged"],
        vector_size=4,
        imaging={},
        imaging_fingerprint="0",
        quality={},
        decision=DECISION,
        variants={"float32": {"file": "model.tflite", "decision": DECISION}},
        variant="float32",
        training={"seed": 3, "settings": SETTINGS, "audit": {"warning": ["leak"]}},
        metrics={},
        versions={},
        created_at="today",
        signature_check="gate",
    )
    manifest.write(described, tmp_path)
    return tmp_path


def test_a_manifest_of_the_previous_format_is_read_with_the_current_names(folder):
    described = manifest.read(folder)
    assert manifest.read(as_format_2(folder)) == described
    written = json.loads((folder / manifest.FILE).read_text())
    assert {"twins", "precision", "gate"} < set(written), (
        "reading must not change the file, whose sha256 is the identity"
    )
    assert written["training"]["settings"] == OLD_SETTINGS
    assert written["training"]["audit"] == {"doubtful": ["leak"]}
    assert set(OLD_DECISION_KEYS.values()) < set(written["decision"])


def test_one_warning_names_the_old_format_the_new_keys_and_the_command_that_converts(folder, caplog):
    as_format_2(folder)
    for _ in range(2):
        manifest.read(folder)
    (record,) = caplog.records
    renamed = ("twins is now variants", "precision is now variant")
    for text in (str(folder), "'countersign/2'", *renamed, "trainer.variant"):
        assert text in record.getMessage()


def test_the_current_format_gives_no_warning(folder, caplog):
    manifest.read(folder)
    assert caplog.records == []


@pytest.mark.parametrize("format", ["countersign/1", "countersign/4", None, 3, ["countersign/2"]])
def test_the_error_for_any_other_format_names_it_and_the_current_one(folder, format):
    values = json.loads((folder / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**values, "format": format}))
    with pytest.raises(BadArtifact) as error:
        manifest.read(folder)
    assert f"has format {format!r}; this version reads 'countersign/3'" in str(error.value)


@pytest.mark.parametrize("change", [{"variants": {}}, {"variant": "int8"}], ids=lambda change: next(iter(change)))
def test_a_manifest_with_an_old_key_beside_the_new_one_is_refused(folder, change):
    values = json.loads((as_format_2(folder) / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**values, **change}))
    with pytest.raises(BadArtifact, match="lacks or adds a field"):
        manifest.read(folder)


@pytest.mark.parametrize("training", [[], {"settings": None}, {"settings": {"model": 3}}])
def test_a_value_that_is_no_table_on_the_path_of_a_renamed_key_is_not_changed(folder, training):
    values = json.loads((as_format_2(folder) / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**values, "training": training}))
    if isinstance(training, dict):
        assert manifest.read(folder).training == training
    else:
        with pytest.raises(BadArtifact, match="'training' is list"):
            manifest.read(folder)


def test_a_star_in_a_path_stands_for_every_key(folder, monkeypatch):
    monkeypatch.setattr(manifest, "RENAMED", {**manifest.RENAMED, "variants.*.file": "path"})
    assert manifest.read(as_format_2(folder)).variants["float32"]["path"] == "model.tflite"


@pytest.fixture
def older(artifact, tmp_path):
    """An artefact of the previous release, with a signature check."""
    folder = shutil.copytree(artifact, tmp_path / "older")
    as_format_2(shutil.copytree(artifact, folder / "gate"))
    manifest.write(dataclasses.replace(manifest.read(folder), signature_check="gate"), folder)
    return as_format_2(folder)


def test_an_artefact_of_the_previous_format_answers_as_before(older, artifact, signature):
    opened, original = Artifact(older), Artifact(artifact)
    assert opened.replay_golden() == 2 * original.replay_golden(), "those of the signature check as well"
    assert opened.answer(signature) == original.answer(signature)


def test_a_server_logs_the_warning_about_an_older_format_as_json(older, capsys):
    with serving("--artifact", str(older)):
        pass
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    messages = [line["message"] for line in lines if line["severity"] == "WARNING"]
    assert len(messages) == 2, "for the manifest of the artefact and that of its signature check"
    assert all(str(older) in text and "'countersign/2'" in text for text in messages)


def test_a_warning_is_not_printed_among_the_answers_of_a_command(older, signature, tmp_path):
    (tmp_path / "image.png").write_bytes(signature)
    command = [
        sys.executable,
        "-m",
        "predictor.offline",
        "--artifact",
        str(older),
        str(tmp_path / "image.png"),
        "--format",
        "csv",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("file,label,score")
    assert "countersign/2" not in done.stdout
    assert "'countersign/2'" in done.stderr


def test_a_copy_of_an_artefact_of_the_previous_format_has_the_current_one(older, signature, tmp_path):
    assert variant.main([str(older), "float32", str(tmp_path / "copy")]) == 0
    for folder in (tmp_path / "copy", tmp_path / "copy" / "gate"):
        assert json.loads((folder / manifest.FILE).read_text())["format"] == "countersign/3"
    assert Artifact(tmp_path / "copy").answer(signature) == Artifact(older).answer(signature)


def test_the_audit_in_a_manifest_of_the_previous_format_keeps_its_severities(folder):
    described = manifest.read(folder)
    audit = {"error": ["writers_across_parts"], "warning": ["few_writers"], "info": ["refused"]}
    manifest.write(dataclasses.replace(described, training={**described.training, "audit": audit}), folder)
    as_format_2(folder)
    values = json.loads((folder / manifest.FILE).read_text())
    old = {"error": "untrue", "warning": "doubtful", "info": "note"}
    values["training"]["audit"] = {old[severity]: codes for severity, codes in audit.items()}
    (folder / manifest.FILE).write_text(json.dumps(values))
    assert manifest.read(folder).training["audit"] == audit
