"""``python -m trainer.ready`` makes an exported artefact the one of ``ready:NAME``, or changes nothing."""

import dataclasses
import json

import pytest

from tests.trainer.ready.test_pack import FACTS
from trainer import evaluate, ready
from trainer.artifact import card, manifest
from trainer.artifact.artifact import Artifact
from trainer.ready import pack
from trainer.ready.__main__ import main


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of facts and of measurements; ready artefacts are of ``tmp_path``."""
    monkeypatch.setenv("COUNTERSIGN_READY", str(tmp_path / "ready"))
    monkeypatch.setattr(pack, "MAX_BYTES", 10**8)
    (tmp_path / "ready").mkdir()
    facts = dataclasses.asdict(FACTS)
    (tmp_path / "measurements.json").write_text(json.dumps(facts["measurements"][:1]))
    (tmp_path / "facts.json").write_text(json.dumps({**facts, "measurements": []}))
    return tmp_path / "facts.json", tmp_path / "measurements.json"


def test_the_packed_artefact_answers_by_its_name_and_has_the_measurements(artifact, files, signature, capsys):
    facts, measurements = map(str, files)
    assert main([str(artifact), "mine", "--facts", facts, "--measurements", measurements]) == 0
    folder = ready.fetch_artifact("ready:mine")
    assert str(folder) in capsys.readouterr().out
    assert Artifact(folder).answer(signature) == Artifact(artifact).answer(signature)
    assert card.read_facts(folder / "card.json") == dataclasses.replace(FACTS, measurements=FACTS.measurements[:1])


def test_distributions_of_another_evaluation_replace_those_of_the_artefact(artifact, scans, files, tmp_path, capsys):
    assert evaluate.main([str(artifact), "--data", str(scans), "--out", str(tmp_path / "report")]) == 0
    measured = json.loads((tmp_path / "report" / "monitoring.json").read_text())
    assert measured.pop("model") == "signature_vs_text"
    assert measured["images"] == 140
    file = str(tmp_path / "report" / "monitoring.json")
    assert main([str(artifact), "mine", "--facts", str(files[0]), "--monitoring", file]) == 0
    assert manifest.read(ready.fetch_artifact("ready:mine")).monitoring == measured
    files[1].write_text("{}")
    assert main([str(artifact), "mine", "--facts", str(files[0]), "--monitoring", str(files[1])]) == 1
    assert "no distributions" in capsys.readouterr().err


def test_a_classifier_beside_a_model_that_finds_nothing_is_an_error(artifact, scans, tmp_path, capsys):
    flags = ["--data", str(scans), "--out", str(tmp_path / "report"), "--classifier", str(artifact)]
    assert evaluate.main([str(artifact), *flags]) == 1
    assert "--classifier is for a model that finds signatures" in capsys.readouterr().err


def test_a_wrong_file_of_measurements_is_an_error_and_keeps_the_present_artefact(artifact, files, capsys):
    facts, measurements = map(str, files)
    assert main([str(artifact), "mine", "--facts", facts]) == 0
    before = (ready.fetch_artifact("ready:mine") / "card.md").read_text()
    files[1].write_text('[{"source": "x"}]')
    assert main([str(artifact), "mine", "--facts", facts, "--measurements", measurements]) == 1
    assert "has no measurements" in capsys.readouterr().err
    assert (ready.fetch_artifact("ready:mine") / "card.md").read_text() == before


@pytest.mark.parametrize(("name", "message"), [("../outside", "lower-case"), ("recipes", "is no artefact")])
def test_a_name_that_is_no_artefact_s_replaces_nothing(artifact, files, name, message, tmp_path, capsys):
    (tmp_path / "ready" / "recipes").mkdir()
    with pytest.raises(SystemExit):
        main([str(artifact), name, "--facts", str(files[0])])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "ready").iterdir()) == [tmp_path / "ready" / "recipes"]
