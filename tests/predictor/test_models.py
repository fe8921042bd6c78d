"""A verifier beside a classifier: which of the two answers an instance, and two that do not fit each other."""

import json
import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest

from predictor import Recognizer, RecognizerError, offline, settings
from predictor.models import Models
from predictor.request import build_body
from predictor.schema import parse_json
from predictor.service import collect_images
from predictor.settings import Settings
from tests.conftest import ROOT, serving
from trainer.artifact.artifact import Artifact
from trainer.artifact.manifest import BadArtifact

VERIFIER = "ready:same_writer"


@pytest.fixture
def ready_verifier(ready_artifact, verifier_artifact):
    """``verifier_artifact`` as the ready one, beside ``ready_artifact``."""
    (ready_artifact.parent / "same_writer").symlink_to(verifier_artifact)


@pytest.fixture
def genuine(verification_data):
    """Files of signatures of one writer."""
    return sorted((verification_data / "007").iterdir())


def post(address: str, body) -> httpx.Response:
    return httpx.post(address + "/predict", content=body if isinstance(body, str) else json.dumps(body), timeout=30)


def predict(address: str, body) -> list[dict]:
    response = post(address, body)
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def to_instances(body: str) -> list[dict]:
    return json.loads(body)["instances"]


def test_the_description_has_the_model_card_of_every_model(two_model_server):
    described = httpx.get(two_model_server + "/model").json()
    for each in (described, described["verifier"]):
        assert each["card"]["learnt_from"]
        assert each["card"]["measurements"][0]["interval"]
    assert "card" not in httpx.get(two_model_server + "/health").json()


def test_each_instance_is_answered_as_the_server_of_its_model_alone_answers_it(
    two_model_server, server, verifier_server, genuine
):
    images = [path.read_bytes() for path in genuine]
    alone, compared = build_body(images[:1]), build_body(images[:1], images[1:3])
    (embedding,) = predict(two_model_server, build_body(images[1:2], return_embedding=True))
    assert embedding == predict(verifier_server, build_body(images[1:2]))[0], "enrolment"
    stored = [{**to_instances(alone)[0], "reference_embeddings": [embedding["embedding"]]}]
    mixed = [*to_instances(alone), *to_instances(compared), *stored]
    expected = [
        *predict(server, alone),
        *predict(verifier_server, compared),
        *predict(verifier_server, {"instances": stored}),
    ]
    assert predict(two_model_server, {"instances": mixed}) == expected
    assert [("label" in row, "decision" in row) for row in expected] == [(True, False), (False, True), (False, True)]


def test_parameters_of_a_verifier_apply_to_its_instances_only(two_model_server, verifier_server, genuine):
    images = [path.read_bytes() for path in genuine]
    alone, compared = build_body(images[:1]), build_body(images[:1], images[1:3])
    encoder = httpx.get(two_model_server + "/health").json()["verifier"]["encoder"]
    parameters = {"far": 0.01, "encoder": encoder, "explain": True}
    mixed = {"instances": [*to_instances(alone), *to_instances(compared)], "parameters": parameters}
    classified, verified = predict(two_model_server, mixed)
    assert set(classified) == {"label", "score", "scores", "warnings"}
    (strict,) = predict(verifier_server, build_body(images[:1], images[1:3], far=0.01))
    assert verified["threshold"] == strict["threshold"]
    assert "explanation" in verified


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"far": 0.01}, 'no instance has references, so there is nothing to decide: "far"'),
        ({"explain": True}, "no instance has references"),
        ({"encoder": "other"}, "answers no instance of this request"),
        ({"encoder": "other", "return_embedding": True}, "made by another model"),
    ],
)
def test_parameters_that_apply_to_no_instance_are_refused(two_model_server, genuine, parameters, message):
    response = post(two_model_server, build_body([genuine[0].read_bytes()], **parameters))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unanswerable")
    assert message in response.json()["error"]["message"]


def test_an_image_that_both_models_answer_is_encoded_once_by_each(artifact, verifier_artifact, genuine):
    models = Models(Artifact(artifact), Artifact(verifier_artifact))
    image, reference = (path.read_bytes() for path in genuine[:2])
    instances = [*to_instances(build_body([image] * 2)), *to_instances(build_body([image] * 2, [reference]))]
    images = collect_images(models, parse_json(json.dumps({"instances": instances}).encode(), 100))
    assert [(row.artifact, row.data, row.instance) for row in images] == [
        (models.main, image, 0),
        (models.verifier, image, 2),
        (models.verifier, reference, 2),
    ]


def test_an_artefact_that_was_trained_from_the_page_keeps_the_verifier_unless_it_is_one(artifact, verifier_artifact):
    parsed = Settings(artifact=str(artifact), verifier=str(verifier_artifact), threads=1)
    classifier, verifier = (Models.open(parsed, str(path)) for path in (artifact, verifier_artifact))
    assert classifier.verifier.identity == verifier.main.identity
    assert verifier.verifier is None
    assert classifier.golden_answers > verifier.golden_answers


def test_prometheus_counts_the_instances_of_the_verifier(two_model_server, genuine):
    before = read_metrics(two_model_server)
    image = genuine[0].read_bytes()
    instances = [*to_instances(build_body([image])), *to_instances(build_body([image], [image]))]
    predict(two_model_server, {"instances": instances})
    after = read_metrics(two_model_server)
    for name, count in (("countersign_instances_total", 2), ("countersign_verifier_instances_total", 1)):
        assert after[name] - before[name] == count


def read_metrics(address: str) -> dict[str, float]:
    lines = httpx.get(address + "/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_health_and_description_are_those_of_each_model_alone(two_model_server, server, verifier_server):
    for route in ("/health", "/model"):
        both, classifier, verifier = (
            httpx.get(address + route).json() for address in (two_model_server, server, verifier_server)
        )
        for name in ("status", "limits", "mode", "tasks"):  # of the server, not of a model
            verifier.pop(name, None)
        assert both == {**classifier, "tasks": ["classify", "verify"], "verifier": verifier}


@pytest.mark.parametrize(
    ("main", "beside", "message"),
    [
        ("classifier", "classifier", "the verifier is an artefact of the problem signature_vs_text"),
        ("verifier", "verifier", "leave out --verifier (COUNTERSIGN_VERIFIER)"),
        ("classifier", "nowhere", "nowhere"),
    ],
)
def test_a_verifier_that_does_not_fit_stops_the_server_with_one_line(
    main, beside, message, artifact, verifier_artifact, tmp_path
):
    paths = {"classifier": artifact, "verifier": verifier_artifact, "nowhere": tmp_path / "nowhere"}
    flags = ["--artifact", str(paths[main]), "--verifier", str(paths[beside]), "--port", "0"]
    command = [sys.executable, "-m", "predictor", *flags]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    (line,) = [json.loads(line) for line in process.stdout.splitlines()]
    assert line["severity"] == "ERROR"
    assert message in line["message"]
    assert line["verifier_artifact"] == str(paths[beside])


@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        ([], {}, ("ready:signature_vs_text", VERIFIER)),
        ([], {"ENV_MODE": "dev"}, ("ready:signature_vs_text", VERIFIER)),
        (["--verifier", "v"], {}, ("ready:signature_vs_text", "v")),
        (["--artifact", "a"], {}, ("a", "")),
        (["--artifact", "ready:signature_vs_text"], {}, ("ready:signature_vs_text", "")),
        ([], {"AIP_STORAGE_URI": "a", "AIP_HTTP_PORT": "8080"}, ("a", "")),
        ([], {"AIP_STORAGE_URI": "a", "AIP_HTTP_PORT": "8080", "COUNTERSIGN_VERIFIER": "v"}, ("a", "v")),
        (["--verifier", "w"], {"AIP_STORAGE_URI": "a", "COUNTERSIGN_VERIFIER": "v"}, ("a", "w")),
    ],
)
def test_the_ready_verifier_answers_only_where_no_model_is_named(flags, environment, named, ready_verifier):
    parsed = settings.from_command_line(flags, environment)
    assert (parsed.artifact, parsed.verifier) == named


def test_an_installation_without_a_ready_verifier_serves_the_classifier_alone(ready_artifact):
    assert settings.from_command_line([], {}).verifier == ""


def test_a_server_without_settings_answers_with_both_ready_artefacts(ready_verifier, genuine, capsys):
    images = [path.read_bytes() for path in genuine[:2]]
    with serving() as address:
        assert "label" in predict(address, build_body(images[:1]))[0]
        assert "decision" in predict(address, build_body(images[:1], images[1:]))[0]
    ready, *requests = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (ready["artifact"], ready["verifier_artifact"]) == ("ready:signature_vs_text", VERIFIER)
    assert (ready["problem"], ready["verifier"]["problem"]) == ("signature_vs_text", "same_writer")
    assert [line.get("verifier_instances") for line in requests] == [None, 1]


def test_a_recognizer_without_a_path_classifies_and_verifies(ready_verifier, artifact, verifier_artifact, genuine):
    recognizer, verifier = Recognizer.load(), Recognizer.load(verifier_artifact)
    assert recognizer.predict(genuine[0]) == Recognizer.load(artifact).predict(genuine[0])
    assert recognizer.verify(genuine[0], genuine[1:3]) == verifier.verify(genuine[0], genuine[1:3])
    stored = recognizer.embed(genuine[1])
    assert stored.encoder == recognizer.encoder == verifier.encoder
    assert recognizer.verify(genuine[0], [stored]).decision == verifier.verify(genuine[0], [stored]).decision


def test_a_recognizer_with_a_named_classifier_does_not_verify(ready_verifier, genuine):
    with pytest.raises(RecognizerError, match="does not answer verify"):
        Recognizer.load("ready:signature_vs_text").verify(genuine[0], genuine[1:3])


def test_a_recognizer_refuses_two_classifiers(artifact):
    opened = Artifact(artifact)
    with pytest.raises(BadArtifact, match="judges single images"):
        Recognizer(opened, verifier=opened)


def test_offline_compares_with_the_ready_verifier_where_no_artefact_is_named(
    ready_verifier, verifier_artifact, genuine, capsys
):
    questioned, reference = (str(path) for path in genuine[:2])
    for flags in (["--reference", reference], ["--return-embedding"]):
        command = [questioned, *flags, "--format", "jsonl"]
        assert offline.main(command) == 0
        printed = capsys.readouterr()
        assert f"{VERIFIER} answers" in printed.err
        assert offline.main([*command, "--artifact", str(verifier_artifact)]) == 0
        assert capsys.readouterr().out == printed.out
    assert offline.main([questioned, "--format", "jsonl"]) == 0
    assert "label" in json.loads(capsys.readouterr().out)


def test_offline_without_a_ready_verifier_names_those_that_are_there(ready_artifact, genuine, capsys):
    assert offline.main([str(genuine[0]), "--reference", str(genuine[1])]) == 1
    assert "no ready artefact is called 'same_writer'; there is: signature_vs_text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "judges"), [(["signature", "text"], True), (["genuine", "forged"], False), (None, False)]
)
def test_the_classifier_beside_a_finder_judges_what_was_found_if_it_knows_signatures(labels, judges):
    classifier = SimpleNamespace(manifest=SimpleNamespace(labels=labels)) if labels else None
    assert (Models(SimpleNamespace(), classifier=classifier).signature_check is not None) == judges
