"""The ready artefacts of the package are whole and small, and mostly right on generated images of no training."""

import numpy as np
import pytest

from trainer import ready
from trainer.artifact import card, manifest
from trainer.artifact.artifact import Artifact
from trainer.generators import signatures
from trainer.ready import pack

SEED = 424242  # of images of no training
IMAGES = 60  # of each kind
WRITERS, REFERENCES = 20, 5


@pytest.fixture(scope="module")
def classifier() -> Artifact:
    return Artifact(ready.get_ready_dir() / "signature_vs_text")


@pytest.fixture(scope="module")
def verifier() -> Artifact:
    return Artifact(ready.get_ready_dir() / "same_writer")


@pytest.fixture(params=["signature_vs_text", "same_writer"])
def shipped(request) -> Artifact:
    return Artifact(ready.get_ready_dir() / request.param)


def test_every_file_is_there_as_it_was_exported_and_its_golden_answers_are_repeated(shipped):
    manifest.verify(shipped.manifest, shipped.folder)
    assert shipped.replay_golden()
    assert sum(path.stat().st_size for path in shipped.folder.rglob("*") if path.is_file()) <= pack.MAX_BYTES


def test_its_card_has_the_numbers_of_every_source_and_names_no_folder(shipped):
    facts = card.read_facts(shipped.folder / card.FACTS_FILE)
    min_sources = 4 if shipped.decision.takes_references else 9
    assert len({measurement.source for measurement in facts.measurements}) >= min_sources
    assert (shipped.folder / card.FILE).read_text() == card.render(shipped.manifest, facts)
    named = [*shipped.manifest.training["train_dir"], shipped.manifest.training.get("init_from", "")]
    assert not [path for path in named if "/" in path]


def test_the_card_of_the_verifier_names_each_set_and_its_terms(verifier):
    facts = card.read_facts(verifier.folder / card.FACTS_FILE)
    assert len(facts.learnt_from) >= len(verifier.manifest.training["train_dir"])
    assert all("research" in source.terms for source in facts.learnt_from)


@pytest.mark.parametrize("kind", ["genuine", "text", "other"])
def test_the_classifier_names_most_generated_scans_of_each_kind(classifier, kind):
    label = "signature" if kind == "genuine" else kind
    scans = [signatures.generate_image(SEED, writer, kind, 0)[0] for writer in range(IMAGES)]
    assert np.mean([classifier.answer(scan)["label"] == label for scan in scans]) > 0.75


def test_the_verifier_finds_generated_signatures_more_genuine_than_those_of_other_writers(verifier):
    """Each questioned signature of a writer, and that of the next writer, with the writer's references."""

    def encode(writer, number):
        return verifier.encode(signatures.generate_image(SEED, writer, "genuine", number)[0])

    questioned = [encode(writer, REFERENCES) for writer in range(WRITERS)]
    rankings = []
    for writer in range(WRITERS):
        references = [encode(writer, number) for number in range(REFERENCES)]
        genuine, random = (
            verifier.decide(image, references)["score"] for image in (questioned[writer], questioned[writer - 1])
        )
        rankings.append(genuine > random)
    assert np.mean(rankings) >= 0.9
