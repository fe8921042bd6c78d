"""The 8-bit variant answers only where it errs as little, and an artefact says which variant that is."""

import dataclasses
import shutil

import httpx
import pytest

from tests.conftest import serving
from trainer import variant
from trainer.artifact import manifest
from trainer.artifact.artifact import Model
from trainer.training import export


def test_a_copy_answers_with_the_other_twin_within_its_tolerance_and_is_another_artefact(artifact, signature, tmp_path):
    assert variant.main([str(artifact), "int8", str(tmp_path / "small")]) == 0
    small, whole = Model(tmp_path / "small"), Model(artifact)
    assert (small.manifest.variant, small.identity != whole.identity) == ("int8", True)
    assert small.prove() == whole.prove()
    assert small.manifest.metrics["measured_with"] == "float32", "its numbers are the other variant's"
    assert variant.main([str(tmp_path / "small"), "float32", str(tmp_path / "again")]) == 0
    assert manifest.read(tmp_path / "again").metrics == whole.manifest.metrics
    tolerance = small.manifest.variants["int8"]["tolerance"]
    assert small.answer(signature)["score"] == pytest.approx(whole.answer(signature)["score"], abs=tolerance)
    with serving("--model", str(tmp_path / "small")) as server:
        assert httpx.get(server + "/health").json()["precision"] == "int8"


def test_export_measured_each_variant_on_the_validation_part(hands):
    variants = manifest.read(hands).variants
    for of in variants.values():
        assert set(of["errors"]) == {"eer_skilled", "eer_random"}
        assert of["decision"]["kind"] == "verify"
    worse = max(variants["int8"]["errors"][name] - rate for name, rate in variants["float32"]["errors"].items())
    assert variants["int8"]["usable"] == (worse <= 0.3)


@pytest.mark.parametrize(("errs", "usable"), [(10.2, True), (10.31, False)])
def test_a_variant_that_errs_more_than_three_tenths_of_a_point_is_not_usable(artifact, errs, usable):
    class Decision:
        def describe(self):
            return {}

    judged = export._judged({"float32": 10.0, "int8": errs}, lambda engine: (Decision(), {"error": engine}))
    assert (judged["float32"]["usable"], judged["int8"]["usable"]) == (True, usable)


def test_a_variant_that_is_not_usable_is_refused_with_what_it_would_cost(artifact, tmp_path, capsys):
    spoilt = shutil.copytree(artifact, tmp_path / "spoilt")
    described = manifest.read(spoilt)
    variants = {**described.variants, "int8": {**described.variants["int8"], "usable": False, "errors": {"error": 9.5}}}
    variants["float32"] = {**variants["float32"], "errors": {"error": 4.0}}
    manifest.write(dataclasses.replace(described, variants=variants), spoilt)
    assert variant.main([str(spoilt), "int8", str(tmp_path / "small")]) == 1
    assert "4.00 to 9.50 %" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()


def test_damage_is_not_taken_for_what_should_be_there(artifact, tmp_path, capsys):
    damaged = shutil.copytree(artifact, tmp_path / "damaged")
    (damaged / "model.tflite").write_bytes(b"short")
    assert variant.main([str(damaged), "int8", str(tmp_path / "small")]) == 1
    assert "damaged" in capsys.readouterr().err


def test_nothing_is_written_over(artifact, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    assert variant.main([str(artifact), "int8", str(tmp_path / "there")]) == 1
    assert "OUT has to be new" in capsys.readouterr().err
