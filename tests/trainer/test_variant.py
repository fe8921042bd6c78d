"""Variants: the 8-bit one is usable if its error rates are as low, and a copy of an artefact answers with another."""

import dataclasses
import shutil

import httpx
import pytest

from tests.conftest import serving
from trainer import variant
from trainer.artifact import manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.decision import Classifier
from trainer.artifact.variants import compare_variants


def test_a_copy_answers_with_the_other_variant_within_its_tolerance_and_has_another_identity(
    artifact, signature, tmp_path
):
    assert variant.main([str(artifact), "int8", str(tmp_path / "small")]) == 0
    small, original = Artifact(tmp_path / "small"), Artifact(artifact)
    assert (small.manifest.variant, small.identity != original.identity) == ("int8", True)
    assert small.replay_golden() == original.replay_golden()
    assert small.manifest.metrics["measured_with"] == "float32", "the metrics are those of the other variant"
    assert variant.main([str(tmp_path / "small"), "float32", str(tmp_path / "again")]) == 0
    assert manifest.read(tmp_path / "again").metrics == original.manifest.metrics
    tolerance = small.manifest.variants["int8"]["tolerance"]
    assert small.answer(signature)["score"] == pytest.approx(original.answer(signature)["score"], abs=tolerance)
    with serving("--artifact", str(tmp_path / "small")) as server:
        assert httpx.get(server + "/health").json()["variant"] == "int8"


def test_an_export_measures_each_variant_on_the_validation_split(verifier_artifact):
    variants = manifest.read(verifier_artifact).variants
    for variant_entry in variants.values():
        assert set(variant_entry["errors"]) == {"eer_skilled", "eer_random"}
        assert variant_entry["decision"]["kind"] == "verify"
    increase = max(variants["int8"]["errors"][name] - rate for name, rate in variants["float32"]["errors"].items())
    assert variants["int8"]["usable"] == (increase <= 0.3)


@pytest.mark.parametrize(("error_rate", "usable"), [(10.2, True), (10.31, False)])
def test_a_variant_is_not_usable_if_its_error_rate_is_more_than_three_tenths_of_a_point_higher(error_rate, usable):
    decision = Classifier.with_equal_thresholds(("signature", "text"))
    variants = compare_variants({"float32": (decision, {"error": 10.0}), "int8": (decision, {"error": error_rate})})
    assert (variants["float32"]["usable"], variants["int8"]["usable"]) == (True, usable)


def test_the_error_for_a_variant_that_is_not_usable_has_its_error_rates(artifact, tmp_path, capsys):
    folder = shutil.copytree(artifact, tmp_path / "unusable")
    described = manifest.read(folder)
    variants = {**described.variants, "int8": {**described.variants["int8"], "usable": False, "errors": {"error": 9.5}}}
    variants["float32"] = {**variants["float32"], "errors": {"error": 4.0}}
    manifest.write(dataclasses.replace(described, variants=variants), folder)
    assert variant.main([str(folder), "int8", str(tmp_path / "small")]) == 1
    assert "4.00 to 9.50 %" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()


def test_a_damaged_artefact_is_not_copied(artifact, tmp_path, capsys):
    damaged = shutil.copytree(artifact, tmp_path / "damaged")
    (damaged / "model.tflite").write_bytes(b"short")
    assert variant.main([str(damaged), "int8", str(tmp_path / "small")]) == 1
    assert "damaged" in capsys.readouterr().err


def test_an_existing_folder_is_not_overwritten(artifact, tmp_path, capsys):
    (tmp_path / "existing").mkdir()
    assert variant.main([str(artifact), "int8", str(tmp_path / "existing")]) == 1
    assert "it has to be new" in capsys.readouterr().err


def test_distributions_of_validation_images_are_kept_unless_another_signature_check_changes_the_answers(
    finder_artifact, artifact, tmp_path
):
    watched = manifest.read(finder_artifact).monitoring
    assert watched["images"] > 0
    variant.write_variant(finder_artifact, "int8", tmp_path / "same")
    assert manifest.read(tmp_path / "same").monitoring == watched
    variant.write_variant(finder_artifact, "int8", tmp_path / "checked", {"signature_check": artifact})
    assert manifest.read(tmp_path / "checked").monitoring == {}
