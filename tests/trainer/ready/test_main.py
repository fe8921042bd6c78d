"""``python -m trainer.ready`` makes an exported artefact the one of ``ready:NAME``, or changes nothing."""

import dataclasses
import json

import pytest

from tests.trainer.ready.test_pack import FACTS
from trainer import ready
from trainer.artifact import card
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
