"""``trainer.calibrate`` fits a verifier to other writers and writes a new artefact, without TensorFlow."""

import dataclasses
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from trainer import calibrate
from trainer.artifact import card, manifest
from trainer.artifact.artifact import Artifact
from trainer.evaluation import recalibration

WITHOUT_TENSORFLOW = """
import sys
from trainer import calibrate
status = calibrate.main(sys.argv[1:])
assert not {"tensorflow", "keras"} & set(sys.modules)
sys.exit(status)
"""


@pytest.fixture(scope="session")
def calibrated(verifier_artifact, verification_data, make_once):
    """``verifier_artifact``, calibrated on all writers of its data, and what the command printed beside it."""

    def make(folder):
        command = [sys.executable, "-c", WITHOUT_TENSORFLOW, verifier_artifact, "--data", verification_data]
        done = subprocess.run([*command, "--out", folder], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        folder.with_name("printed").write_text(done.stdout)

    return make_once("calibrated", make)


def test_the_new_artefact_has_a_decision_of_every_variant_and_says_what_it_was_fitted_to(calibrated, verifier_artifact):
    original, written = Artifact(verifier_artifact), Artifact(calibrated)
    assert written.replay_golden() == original.replay_golden()
    assert written.encoder == original.encoder, "stored embeddings stay valid"
    for name, variant in written.manifest.variants.items():
        assert variant["decision"]["thresholds"] != original.manifest.variants[name]["decision"]["thresholds"]
        assert variant["decision"]["far_intervals"].keys() == {"0.1", "0.05", "0.02", "0.01", "0.005"}
    calibration = written.manifest.training["calibration"]
    assert (calibration["images"], calibration["writers"], calibration["forgeries"]) == (160, 16, "skilled")
    assert calibration["artefact"] == original.identity
    assert calibration["references"]["1"]["after"]["writers"] == 16
    rest = {name: value for name, value in written.manifest.training.items() if name != "calibration"}
    assert rest == original.manifest.training


def test_the_model_card_has_the_rates_of_cross_fitting_and_the_data_of_the_training(calibrated, verifier_artifact):
    facts, before = (card.read_facts(folder / card.FACTS_FILE) for folder in (calibrated, verifier_artifact))
    assert facts.learnt_from == before.learnt_from
    assert "cross-fitting" in facts.protocol
    assert {row.relation for row in facts.measurements} == {"calibrated on other writers"}
    assert (calibrated / card.FILE).read_text() == card.render(manifest.read(calibrated), facts)


def test_the_command_prints_both_calibrations(calibrated):
    printed = calibrated.with_name("printed").read_text()
    assert "160 images of 16 writers" in printed
    assert [line.split("|")[3].strip() for line in printed.splitlines() if line.startswith("| 1 ")] == [
        "before",
        "after",
    ]


def test_metrics_that_depend_on_the_decision_are_left_out(calibrated, verifier_artifact):
    original = manifest.read(verifier_artifact)
    assert manifest.read(calibrated).metrics == recalibration._keep_metrics(original, Artifact(calibrated).decision)


def test_with_the_same_fusion_equal_error_rates_and_areas_stay(verifier_artifact):
    original = Artifact(verifier_artifact)
    kept = recalibration._keep_metrics(original.manifest, dataclasses.replace(original.decision, b0=9.0))
    rates = manifest.read_error_rates(original.manifest)
    assert rates
    assert manifest.read_error_rates(dataclasses.replace(original.manifest, metrics=kept)) == rates
    assert "calibration" not in kept
    for count, row in original.manifest.metrics["references"].items():
        assert row.keys() - kept["references"][count].keys() == {"thresholds", "inconclusive", "conclusive"}


def test_with_another_fusion_no_metric_stays(verifier_artifact):
    original = Artifact(verifier_artifact)
    for fusion in {"max", "mean", "both"} - {original.decision.fusion}:
        fitted = dataclasses.replace(original.decision, fusion=fusion)
        assert recalibration._keep_metrics(original.manifest, fitted) == {}


def test_without_forgeries_it_is_calibrated_on_random_ones_and_says_so(
    verifier_artifact, verification_data, tmp_path, capsys
):
    for writer in verification_data.iterdir():
        if not writer.name.endswith("_forg"):
            (tmp_path / "genuine" / writer.name).parent.mkdir(exist_ok=True)
            (tmp_path / "genuine" / writer.name).symlink_to(writer)
    data, out = f"genuine={tmp_path / 'genuine'}", tmp_path / "new"
    assert calibrate.main([str(verifier_artifact), "--data", data, "--out", str(out)]) == 0
    assert "no skilled forgeries" in capsys.readouterr().out
    assert manifest.read(out).decision["calibrated_on"] == "random"


def test_a_classifier_too_few_writers_and_an_existing_folder_are_refused(
    artifact, verifier_artifact, verification_data, tmp_path, capsys
):
    (tmp_path / "few" / "001").parent.mkdir()
    for name in ("001", "001_forg", "002", "002_forg"):
        (tmp_path / "few" / name).symlink_to(verification_data / name)
    for model, data, message in (
        (artifact, verification_data, "only a model that compares signatures can be calibrated"),
        (verifier_artifact, tmp_path / "few", "2 writers have two genuine signatures or more; a calibration needs 10"),
    ):
        assert calibrate.main([str(model), "--data", str(data), "--out", str(tmp_path / "new")]) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    assert calibrate.main([str(verifier_artifact), "--data", str(tmp_path), "--out", str(tmp_path / "new")]) == 1
    assert "it has to be new" in capsys.readouterr().err


def test_the_digest_of_the_data_is_that_of_its_content(calibrated, verifier_artifact, verification_data, tmp_path):
    out = tmp_path / "again"
    assert calibrate.main([str(verifier_artifact), "--data", str(verification_data), "--out", str(out)]) == 0
    first, second = (manifest.read(folder) for folder in (calibrated, out))
    assert first.training["calibration"]["data_digest"] == second.training["calibration"]["data_digest"]
    assert first.decision == second.decision
