"""The ready artefacts of the package are whole and small, and mostly right on generated images of no training."""

import numpy as np
import pytest

from trainer import ready
from trainer.artifact import card, golden_file, golden_regions, manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.finder import find
from trainer.evaluation import detection_metrics
from trainer.generators import pages, signatures
from trainer.ready import pack

SEED = 424242  # of images of no training
IMAGES = 60  # of each kind
WRITERS, REFERENCES = 20, 5
MAX_BYTES = {"signature_on_page": 2_000_000}


@pytest.fixture(scope="module")
def classifier() -> Artifact:
    return Artifact(ready.get_ready_dir() / "signature_vs_text")


@pytest.fixture(scope="module")
def verifier() -> Artifact:
    return Artifact(ready.get_ready_dir() / "same_writer")


@pytest.fixture(scope="module")
def finder() -> Artifact:
    return Artifact(ready.get_ready_dir() / "signature_on_page")


@pytest.fixture(params=["signature_vs_text", "same_writer", "signature_on_page"])
def shipped(request) -> Artifact:
    return Artifact(ready.get_ready_dir() / request.param)


def test_every_file_is_there_as_it_was_exported_and_its_golden_answers_are_repeated(shipped):
    manifest.verify(shipped.manifest, shipped.folder)
    assert shipped.replay_golden()
    size = sum(path.stat().st_size for path in shipped.folder.rglob("*") if path.is_file())
    assert size <= MAX_BYTES.get(shipped.manifest.problem, pack.MAX_BYTES)


def test_its_card_has_the_numbers_of_every_source_and_names_no_folder(shipped):
    facts = card.read_facts(shipped.folder / card.FACTS_FILE)
    min_sources = {"verify": 4, "classify": 9, "find": 1}[shipped.decision.task]
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


def test_the_finder_and_the_verifier_repeat_the_golden_answers_of_the_chain(finder, verifier):
    recorded = f"{finder.manifest.variant} {verifier.encoder}"
    assert all(recorded in answer.encodings for answer in golden_file.read(finder.folder))
    assert golden_regions.replay(finder, verifier) == 3


def test_the_finder_finds_most_signatures_of_generated_pages(finder):
    """AP50 of pages of another seed; the pages of every kind are in it as often as in the training."""
    results = []
    for number in range(IMAGES):
        data, _, (width, height), boxes = pages.generate_page_file(SEED, number)
        (page,) = find(finder, data)
        size = np.array([width, height, width, height])
        results.append(
            detection_metrics.PageResult(
                np.array([region.box for region in page.regions]).reshape(-1, 4) / size,
                np.array([region.score for region in page.regions]),
                [region.label for region in page.regions],
                np.array([box[1:5] for box in boxes], float).reshape(-1, 4) / size,
                [box.label for box in boxes],
                page.score,
            )
        )
    assert detection_metrics.match(results, "signature", 0.5).compute_average_precision() > 50
    signed = [result.signed_score for result in results if "signature" in result.true_labels]
    unsigned = [result.signed_score for result in results if "signature" not in result.true_labels]
    assert np.mean([a > b for a in signed for b in unsigned]) > 0.8
