"""The ready artefact of the package is whole, small, and right on most generated images that it was not trained on."""

import numpy as np
import pytest

from trainer import ready
from trainer.artifact import card, manifest
from trainer.artifact.artifact import Artifact
from trainer.generators import signatures
from trainer.ready import pack

SEED = 424242  # of images of no training
IMAGES = 60  # of each kind


@pytest.fixture(scope="module")
def shipped() -> Artifact:
    return Artifact(ready.get_ready_dir() / "signature_vs_text")


def test_every_file_is_there_as_it_was_exported_and_its_golden_answers_are_repeated(shipped):
    manifest.verify(shipped.manifest, shipped.folder)
    assert shipped.replay_golden()
    assert sorted(shipped.manifest.labels) == ["other", "signature", "text"]
    assert sum(path.stat().st_size for path in shipped.folder.rglob("*") if path.is_file()) <= pack.MAX_BYTES


def test_its_card_has_the_numbers_of_every_source_and_names_no_folder(shipped):
    facts = card.read_facts(shipped.folder / card.FACTS_FILE)
    assert len({measurement.source for measurement in facts.measurements}) >= 9
    assert (shipped.folder / card.FILE).read_text() == card.render(shipped.manifest, facts)
    assert "/" not in str(shipped.manifest.training.get("init_from", ""))


@pytest.mark.parametrize("kind", ["genuine", "text", "other"])
def test_it_names_most_generated_scans_of_each_kind(shipped, kind):
    label = "signature" if kind == "genuine" else kind
    scans = [signatures.generate_image(SEED, writer, kind, 0)[0] for writer in range(IMAGES)]
    assert np.mean([shipped.answer(scan)["label"] == label for scan in scans]) > 0.75
