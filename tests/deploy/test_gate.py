"""The gate, the model card, the evaluation and the cost follow from what was measured."""

import dataclasses

import pytest

from deploy import cost, gate, live_state_reader, model_card
from deploy.live_state import DeployedModel, Endpoint, ServingConfig, VersionIdentity
from trainer.artifact import card, manifest


@pytest.fixture(scope="module")
def classifier(artifact):
    return manifest.read(artifact)


@pytest.fixture(scope="module")
def verifier(verifier_artifact):
    return manifest.read(verifier_artifact)


def with_results(manifest, audit=None, **errors):
    """Return the manifest with other audit findings and error rates."""
    training = {**manifest.training, "audit": {} if audit is None else audit}
    return dataclasses.replace(manifest, training=training, metrics={**manifest.metrics, "errors": errors})


def test_a_candidate_within_the_tolerance_passes(classifier):
    assert gate.list_objections(with_results(classifier, error=5.4), {"error": 5.0}, 0.5) == []
    assert gate.list_objections(with_results(classifier, error=5.4), None, 0.5) == [], "no version serves yet"


def test_a_candidate_that_errs_exactly_the_accepted_increase_more_passes(classifier):
    assert gate.list_objections(with_results(classifier, error=5.5), {"error": 5.0}, 0.5) == []


def test_a_candidate_that_errs_more_is_refused_with_both_rates(classifier):
    with pytest.raises(gate.PromotionRefused, match=r"error is 5.60 %, 0.60 points above the serving version; 0.5 are"):
        gate.check(with_results(classifier, error=5.6), {"error": 5.0}, 0.5)


def test_a_rate_of_the_serving_version_has_to_be_measured_for_the_candidate(classifier):
    objections = gate.list_objections(with_results(classifier, error=5.0), {"eer_skilled_10": 9.0}, 1)
    assert objections == ["eer_skilled_10 was not measured; the serving version has 9.00 %"]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 101.0])
@pytest.mark.parametrize("serving", [None, {"error": 1.0}])
def test_a_number_that_is_no_error_rate_does_not_pass(classifier, rate, serving):
    assert gate.list_objections(with_results(classifier, error=rate), serving, 1)


def test_a_failed_audit_is_a_separate_objection(classifier):
    objections = gate.list_objections(with_results(classifier, {"error": ["copies_across_parts"]}, error=1.0), None, 1)
    assert "its audit failed" in objections[0]
    assert "copies_across_parts" in objections[0]
    assert gate.list_objections(with_results(classifier, {"warning": ["leak"]}, error=1.0), None, 1) == []


def test_a_serving_version_without_rates_is_accepted_only_explicitly(classifier):
    (objection,) = gate.list_objections(with_results(classifier, error=1.0), {}, 1)
    assert "no evaluation to compare with" in objection
    assert gate.list_objections(with_results(classifier, error=1.0), {}, 100) == []


def test_an_artefact_without_audit_and_rates_is_not_promoted(classifier):
    empty = dataclasses.replace(classifier, metrics={}, training={})
    assert len(gate.list_objections(empty, None, 1)) == 2


def test_a_trained_artefact_has_what_the_gate_needs(classifier, verifier):
    assert set(manifest.read_error_rates(classifier)) == {"error"}
    assert manifest.read_error_rates(classifier)["error"] == pytest.approx(100 - classifier.metrics["accuracy"])
    assert {name.rpartition("_")[0] for name in manifest.read_error_rates(verifier)} == {"eer_skilled", "eer_random"}
    for contents in (classifier, verifier):
        assert set(contents.training["audit"]) <= {"error", "warning", "info"}


def test_the_card_has_question_rates_thresholds_audit_and_identity(classifier, verifier):
    for contents in (classifier, verifier):
        text = model_card.render(contents, "ab" * 32, "image@sha256:" + "1" * 64)
        assert contents.question in text
        assert "ab" * 32 in text
        for name, rate in manifest.read_error_rates(contents).items():
            assert f"{name} {rate:.2f} %" in text
    assert "1 ref." in model_card.render(verifier, "ab" * 32, "image")
    assert "signature 0.5" in model_card.render(classifier, "ab" * 32, "image")


def test_the_whole_card_of_the_artefact_goes_into_the_registry(artifact, classifier):
    facts = card.read_facts(artifact / card.FACTS_FILE)
    image = "host/image@sha256:" + "b" * 64
    rendered = model_card.render(classifier, "a" * 64, image, facts)
    assert (artifact / card.FILE).read_text() in rendered
    assert model_card.parse_identity(rendered) == (VersionIdentity("a" * 32, "b" * 32), image)
    evaluation = model_card.make_evaluation(classifier, facts)
    assert evaluation["metadata"]["card"]["measurements"][0]["metric"] == "accuracy"


def test_identity_and_image_are_parsed_from_the_card(classifier):
    image = "host/image@sha256:" + "b" * 64
    assert model_card.parse_identity(model_card.render(classifier, "a" * 64, image)) == (
        VersionIdentity("a" * 32, "b" * 32),
        image,
    )
    assert model_card.parse_identity("a description by another tool") is None


def test_the_evaluation_holds_curves_and_error_rates(classifier, verifier):
    evaluation = model_card.make_evaluation(classifier)
    assert evaluation["metrics"]["confusionMatrix"]["rows"] == classifier.metrics["confusion"]
    evaluation = model_card.make_evaluation(verifier)
    assert evaluation["metadata"]["errors"] == manifest.read_error_rates(verifier)
    (*_, most_references) = verifier.metrics["references"].values()
    assert evaluation["metrics"]["auRoc"] == most_references["auc_skilled"]


def test_the_confusion_matrix_of_a_model_with_a_rejection_limit_is_square(classifier):
    """Vertex AI requires as many rows as labels; no image has the label ``unknown``."""
    metrics = {**classifier.metrics, "unknown": 25.0, "confusion": [[3, 0, 1], [1, 2, 1]]}
    evaluation = model_card.make_evaluation(dataclasses.replace(classifier, metrics=metrics))
    matrix = evaluation["metrics"]["confusionMatrix"]
    assert [spec["displayName"] for spec in matrix["annotationSpecs"]] == [*classifier.labels, "unknown"]
    assert matrix["rows"] == [[3, 0, 1], [1, 2, 1], [0, 0, 0]]


@pytest.mark.parametrize("metadata", ["text", 3, [1], {"errors": "none"}, {"errors": {"error": "x"}}, {}, None])
def test_an_evaluation_that_this_tool_did_not_import_has_no_rates(metadata):
    assert live_state_reader._read_error_rates(metadata) == {}


def make_endpoint(machine_type, min_replicas=1, max_replicas=1):
    """Return an endpoint with two equal deployed models."""
    model = DeployedModel("1", "1", None, ServingConfig(machine_type, min_replicas, max_replicas, 60))
    return Endpoint(True, deployed_models=(model, model))


def test_the_monthly_cost_follows_from_the_table_and_shows_its_date():
    price = cost.read_prices()["hour"]["us-central1"]["n1-standard-2"]
    monthly = cost.monthly_cost(make_endpoint("n1-standard-2", 1, 3), "us-central1")
    assert monthly.minimum == pytest.approx(2 * price * 730)
    assert monthly.maximum == pytest.approx(6 * price * 730)
    assert cost.read_prices()["date"] in str(monthly)
    assert str(cost.monthly_cost(None, "us-central1")).startswith("cost: about $0 a month")


@pytest.mark.parametrize(("machine", "region"), [("c9-mega-2", "us-central1"), ("n1-standard-2", "moon-north1")])
def test_a_price_that_is_not_in_the_table_is_unknown_and_not_guessed(machine, region):
    assert f"unknown; no price of {machine} in {region}" in str(cost.monthly_cost(make_endpoint(machine), region))
