"""Every artefact has a model card: what it learnt from, its rates with intervals by source, and its limits."""

import dataclasses
import json

import numpy as np
import pytest

from trainer.artifact import card, manifest
from trainer.artifact.card import CardFacts, TrainingSource
from trainer.artifact.decision import Classifier
from trainer.corpora import Sample
from trainer.evaluation import card_facts
from trainer.evaluation.card_facts import GENERATED_TERMS, TrainedOn
from trainer.evaluation.classification import CLASSIFICATION_REPORT
from trainer.evaluation.measure import Evaluation
from trainer.evaluation.metrics import compute_wilson_interval
from trainer.pipeline import run_facts

SOURCE = TrainingSource("mine", 100, "consent", 10)
TRAINED = TrainedOn([SOURCE], [], {"train": 70, "validation": 30}, frozenset({"mine"}), True)


def evaluate(tmp_path, corpus_ids: list[str]) -> Evaluation:
    """Answer every image of the corpora with its first label; every other image has it."""
    labels = ["signature", "text"]
    samples = [
        Sample(tmp_path, f"{number}.png", labels[number % 2], str(number // 4), corpus_id)
        for number, corpus_id in enumerate(corpus_ids)
    ]
    vectors = np.tile(np.array([[0.9, 0.1]], np.float32), (len(samples), 1))
    decision = Classifier(tuple(labels), (0.5, 0.5))
    metrics = CLASSIFICATION_REPORT.measure(vectors, samples, decision)
    return Evaluation(samples, vectors, decision, [], metrics)


def test_a_trained_artefact_says_what_it_learnt_from_and_how_it_was_measured(artifact):
    facts, described = card.read_facts(artifact / card.FACTS_FILE), manifest.read(artifact)
    assert (artifact / card.FILE).read_text() == card.render(described, facts)
    assert facts.learnt_from[0].images > described.training["train_images"]["signature"]
    accuracy = next(row for row in facts.measurements if row.metric == "accuracy")
    assert accuracy.value == pytest.approx(described.metrics["accuracy"])
    assert accuracy.interval[0] < accuracy.value < accuracy.interval[1] or accuracy.value == 100
    assert accuracy.images == described.training["test_images"]


def test_a_trained_verifier_has_intervals_over_writers(verifier_artifact):
    facts, described = card.read_facts(verifier_artifact / card.FACTS_FILE), manifest.read(verifier_artifact)
    skilled = next(row for row in facts.measurements if row.metric == "EER, skilled forgeries, 1 reference(s)")
    assert skilled.value == pytest.approx(described.metrics["references"]["1"]["eer_skilled"])
    assert skilled.interval == described.metrics["references"]["1"]["eer_skilled_interval"]
    assert any(row.metric.startswith("FRR with") for row in facts.measurements)


def test_each_source_is_measured_and_related_to_the_training(tmp_path):
    evaluation = evaluate(tmp_path, ["mine"] * 40 + ["theirs"] * 30 + ["few"] * 4)
    facts = card_facts.make_facts(evaluation, CLASSIFICATION_REPORT, TRAINED, {"warning": ["leak"]})
    accuracies = {row.source: row for row in facts.measurements if row.metric == "accuracy"}
    assert {name: row.images for name, row in accuracies.items()} == {"all sources": 74, "mine": 40, "theirs": 30}
    assert accuracies["theirs"].relation == "none"
    assert accuracies["mine"].relation == accuracies["all sources"].relation == "other writers of the source"
    assert {row.value for row in accuracies.values()} == {50.0}
    assert "70 were trained on, 30 chose" in facts.protocol
    assert any("too few" in limit for limit in facts.limits)
    assert any("severity warning: leak" in limit for limit in facts.limits)
    assert not any("generated" in limit for limit in facts.limits)


def test_generated_data_is_a_limit(tmp_path):
    trained = dataclasses.replace(TRAINED, sources=[dataclasses.replace(SOURCE, terms=GENERATED_TERMS)])
    facts = card_facts.make_facts(evaluate(tmp_path, ["mine"] * 40), CLASSIFICATION_REPORT, trained, {})
    assert any("Learnt from generated images" in limit for limit in facts.limits)


def test_the_data_of_the_weights_that_a_training_starts_from_is_listed(tmp_path):
    facts = CardFacts([SOURCE], "", [], [])
    (tmp_path / card.FACTS_FILE).write_text(json.dumps(dataclasses.asdict(facts)))
    assert card_facts.read_sources(tmp_path, "ready:x")[0].name == "mine (before, in ready:x)"
    assert "does not list it" in card_facts.read_sources(tmp_path / "none", "ready:y")[0].name


@pytest.mark.parametrize(
    ("percent", "count", "expected"),
    [(50, 100, (40.4, 59.6)), (0, 10, (0, 27.8)), (100, 10, (72.2, 100))],  # scipy.stats.binomtest, method "wilson"
)
def test_the_interval_of_a_share_is_that_of_wilson(percent, count, expected):
    assert compute_wilson_interval(percent, count) == pytest.approx(expected, abs=0.05)


def test_a_calibrated_artefact_keeps_its_data_and_has_the_rates_of_cross_fitting():
    row = {"writers": 12, "eer": 9.0, "eer_interval": [5.0, 12.0], "frr": 20.0, "frr_interval": [10.0, 30.0]}
    measured = {"rate": 0.01, "forgeries": "skilled", "references": {"5": {"before": row, "after": row}}}
    before = CardFacts([SOURCE], "before", [], ["a limit"])
    facts = card_facts.calibrate_facts(before, measured, "cards", 120)
    assert facts.learnt_from == [SOURCE]
    assert [(each.metric, each.value, each.interval) for each in facts.measurements] == [
        ("EER, 5 reference(s)", 9.0, [5.0, 12.0]),
        ("FRR at the stored 1 %, 5 reference(s)", 20.0, [10.0, 30.0]),
    ]
    assert "cross-fitting" in facts.protocol
    assert card_facts.calibrate_facts(None, measured, "cards", 120).learnt_from[0].terms == "not known"


def test_a_source_in_records_of_an_earlier_release_is_named_by_its_path():
    assert run_facts._get_corpus_id({"path": "/data/cards.zip"}) == "cards"
    assert run_facts._get_corpus_id({"path": "/data/cards.zip", "corpus_id": "cards-2"}) == "cards-2"
