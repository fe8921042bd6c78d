"""Verification through the server: enrolment, comparison, thresholds, explanations and refusals."""

import asyncio
import base64
import io
import json
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from predictor import request
from predictor.models import Models
from predictor.request import build_body
from predictor.schema import parse_json
from predictor.service import Service, collect_images
from predictor.settings import Settings
from predictor.telemetry import RequestLog
from tests.conftest import serving
from trainer import enrol
from trainer.artifact.artifact import Artifact

INKS = ("questioned", "reference", "registered")  # the pictures of a registration


@pytest.fixture
def genuine(verification_data) -> list[bytes]:
    """Signatures of one writer."""
    return [path.read_bytes() for path in sorted((verification_data / "007").iterdir())]


@pytest.fixture
def predict(verifier_server):
    """A function that posts a body and returns the status and the content."""

    def post(body):
        response = httpx.post(verifier_server + "/predict", content=body if isinstance(body, str) else json.dumps(body))
        return response.status_code, response.json()

    return post


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def test_the_server_gives_the_answers_of_the_artefact(predict, verifier_artifact, genuine):
    status, content = predict(build_body(genuine[:2], genuine[2:5], return_embedding=True))
    assert status == 200
    opened = Artifact(verifier_artifact)
    encoded_images = [opened.encode(data) for data in genuine]
    for prediction, encoded in zip(content["predictions"], encoded_images, strict=False):
        expected = opened.decide(encoded, encoded_images[2:5])
        assert prediction["decision"] == expected["decision"]
        assert prediction["score"] == pytest.approx(expected["score"], abs=1e-5)
        assert prediction["distance"] == pytest.approx(expected["distance"], abs=1e-5)
        np.testing.assert_allclose(prediction["embedding"], encoded.vector, atol=1e-6)
        distances = [reference["distance"] for reference in expected["per_reference"]]
        assert [row["distance"] for row in prediction["per_reference"]] == pytest.approx(distances, abs=1e-5)
        assert prediction["warnings"] == expected["warnings"]


def test_stored_embeddings_give_the_same_answer_as_their_images(predict, genuine):
    status, content = predict(build_body(genuine[1:4]))
    assert status == 200
    stored = [prediction["embedding"] for prediction in content["predictions"]]
    assert set(content["predictions"][0]) == {"embedding", "encoder", "warnings"}
    from_images = predict(build_body(genuine[:1], genuine[1:4]))[1]["predictions"][0]
    from_embeddings = predict({"instances": [{"image": b64(genuine[0]), "reference_embeddings": stored}]})[1][
        "predictions"
    ][0]
    mixed = {"image": b64(genuine[0]), "references": [b64(genuine[1])], "reference_embeddings": stored[1:]}
    from_both = predict({"instances": [mixed]})[1]["predictions"][0]
    for prediction in (from_embeddings, from_both):
        assert prediction["score"] == pytest.approx(from_images["score"], abs=1e-5)
        assert len(prediction["per_reference"]) == 3


def test_a_far_sets_the_threshold_and_one_outside_the_stored_range_is_refused_with_it(predict, genuine):
    default = predict(build_body(genuine[:1], genuine[1:3]))[1]["predictions"][0]
    assert predict(build_body(genuine[:1], far=0.2))[0] == 400, "also without references"
    strict = predict(build_body(genuine[:1], genuine[1:3], far=0.03))[1]["predictions"][0]
    assert strict["threshold"] > default["threshold"]
    assert strict["score"] == default["score"]
    low, high = strict["far_interval"]
    assert 0 <= low <= high <= 1
    chosen = predict(build_body(genuine[:1], genuine[1:3], threshold=0.9))[1]["predictions"][0]
    assert chosen["threshold"] == 0.9
    assert "far_interval" not in chosen
    status, content = predict(build_body(genuine[:1], genuine[1:3], far=0.2))
    assert status == 400
    assert "to 0.1 are possible" in content["error"]["message"]
    assert content["error"]["instance"] == 0


def test_an_explanation_is_a_picture_of_the_ink(predict, genuine):
    answer = predict(build_body(genuine[:1], genuine[1:3], explain=True))[1]["predictions"][0]
    nearest = int(np.argmin([reference["distance"] for reference in answer["per_reference"]]))
    assert answer["explanation"]["reference"] == nearest
    assert answer["explanation"]["occluded_in"] == "both"
    with Image.open(io.BytesIO(base64.b64decode(answer["explanation"]["overlay"]["b64"]))) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
    registration = answer["explanation"]["registration"]
    sizes = {name: Image.open(io.BytesIO(base64.b64decode(registration[name]["b64"]))).size for name in INKS}
    assert len(set(sizes.values())) == 1, "the inks have the size of the canvas"
    assert 0.5 < registration["correlation"] <= 1, "signatures of one writer lie over each other"
    instance = {"image": b64(genuine[0]), "references": [b64(genuine[1])], "explain": True}
    assert "explanation" in predict({"instances": [instance]})[1]["predictions"][0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"references": "x"}, '"references" is a string'),
        ({"references": [3]}, '"references[0]" is a number'),
        ({"references": [{"b64": "%%"}]}, "reference 0: 2 characters that are not base64"),
        ({"references": [b64(b"no image")]}, "reference 0: "),
        ({"reference_embeddings": [[1, 2], [3]]}, "stored reference 0 is 2 numbers"),
        ({"reference_embeddings": [["a"]]}, '"reference_embeddings[0][0]" is a string'),
        ({"reference_embeddings": [[True]]}, '"reference_embeddings[0][0]" is a boolean'),
        ({"reference_embeddings": [[1e300, 0]]}, "numbers of length inf"),
        ({"reference_embeddings": [[1.0, 0.0]]}, "this model's embeddings are"),
        ({"explain": "yes"}, '"explain" is a string'),
        ({"reference": []}, "did you mean 'references'"),
    ],
)
def test_the_error_of_an_instance_gives_the_fault_and_its_position(predict, genuine, fields, message):
    good = {"image": b64(genuine[0])}
    status, content = predict({"instances": [good, {"image": b64(genuine[0]), **fields}]})
    assert status == 400
    assert content["error"]["instance"] == 1
    assert message in content["error"]["message"]


@pytest.mark.parametrize(
    "parameters",
    [{"far": "low"}, {"return_embedding": 1}, {"explain": None}, {"FAR": 0.01}, {"encoder": 3}, {"encoder": "other"}],
)
def test_parameters_of_the_wrong_type_are_refused(predict, genuine, parameters):
    status, content = predict({"instances": [{"image": b64(genuine[0])}], "parameters": parameters})
    assert status == 400
    word = "another model" if parameters == {"encoder": "other"} else next(iter(parameters))
    assert word in content["error"]["message"]


def test_references_count_as_images(verifier_server, genuine):
    body = build_body(genuine[:1], [b"x"] * 300)
    response = httpx.post(verifier_server + "/predict", content=body)
    assert response.status_code == 413
    assert "256 images and embeddings" in response.json()["error"]["message"]
    stored = [{"image": b64(genuine[0]), "reference_embeddings": [[1.0]] * 300}]
    response = httpx.post(verifier_server + "/predict", json={"instances": stored})
    assert response.status_code == 413


def test_a_classifier_refuses_references_and_far(server, genuine):
    for body in (build_body(genuine[:1], genuine[1:2]), build_body(genuine[:1], far=0.01)):
        response = httpx.post(server + "/predict", content=body)
        assert response.status_code == 400
        assert "this model" in response.json()["error"]["message"]


def test_an_image_that_a_request_contains_twice_is_encoded_once(genuine, verifier_artifact):
    models = Models(Artifact(verifier_artifact))
    images = collect_images(models, parse_json(build_body(genuine[:2], [*genuine[2:4], genuine[0]]).encode(), 100))
    assert sorted(image.data for image in images) == sorted(genuine[:4])
    assert {(image.instance, image.role) for image in images} == {
        (0, "the image"),
        (1, "the image"),
        (0, "reference 0"),
        (0, "reference 1"),
    }


def test_explanations_without_slots_are_refused_before_any_image_is_encoded(verifier_artifact, genuine):
    """Three explanations of the same two images need three slots; the server has two."""
    instance = {"image": b64(genuine[0]), "references": [b64(genuine[1])], "explain": True}
    with serving("--artifact", str(verifier_artifact), "--threads", "1", "--max-waiting-images", "1") as server:
        assert "explanation" in httpx.post(server + "/predict", json={"instances": [instance]}).json()["predictions"][0]
        before = httpx.get(server + "/metrics").text
        response = httpx.post(server + "/predict", json={"instances": [instance] * 3})
        assert response.status_code == 413
        assert "--max-waiting-images" in response.json()["error"]["message"]
        lines = [line for text in (before, httpx.get(server + "/metrics").text) for line in text.splitlines()]
        seconds = [line for line in lines if line.startswith("countersign_stage_seconds_total") and "image" in line]
        assert len(seconds) == 2
        assert seconds[0] == seconds[1], "no image was encoded"


@pytest.mark.parametrize("parameters", [{"far": 0.01}, {"explain": True}, {"threshold": 0.5}])
def test_parameters_of_a_decision_without_references_are_refused_instead_of_ignored(predict, genuine, parameters):
    status, content = predict({"instances": [{"image": b64(genuine[0])}], "parameters": parameters})
    assert (status, content["error"]["code"]) == (400, "unanswerable")
    assert "no instance has references" in content["error"]["message"]


@pytest.mark.parametrize("parameters", [{"explain": True}, {"far": 0.01}, {"threshold": 0.5}])
def test_a_classifier_refuses_parameters_of_verifiers(server, genuine, parameters):
    body = {"instances": [{"image": b64(genuine[0])}], "parameters": parameters}
    assert httpx.post(server + "/predict", json=body).json()["error"]["code"] == "unanswerable"


def test_health_contains_the_thresholds(verifier_server):
    description = httpx.get(verifier_server + "/health").json()
    assert description["problem"] == "same_writer"
    assert 0 < description["thresholds"]["eer"]["1"] < description["thresholds"]["0.02"]["1"] <= 1


def test_request_compares_with_files_and_with_enrolled_writers(
    verifier_server, verifier_artifact, verification_data, tmp_path, capsys
):
    people, files = tmp_path / "people.sqlite", sorted(map(str, (verification_data / "002").iterdir()))
    assert enrol.main([str(verifier_artifact), str(verification_data), "--out", str(people)]) == 0
    capsys.readouterr()
    url = verifier_server + "/predict"
    command = [files[0], "--people", str(people), "--writer", "002", "--send", url]
    assert request.main(command) == 0
    assert len(json.loads(capsys.readouterr().out)["per_reference"]) == 7
    assert request.main([files[0], "--reference", files[1], "--far", "0.05", "--explain", "--send", url]) == 0
    assert "explanation" in json.loads(capsys.readouterr().out)
    assert request.main([files[0], "--people", str(people)]) == 1
    assert "--people needs --writer" in capsys.readouterr().err
    assert request.main([files[0], "--writer", "002", "--send", url]) == 1
    assert "no writers on file" in capsys.readouterr().err, "this server has none"


def test_images_are_compared_on_a_thread_of_the_executor(genuine, verifier_artifact, monkeypatch):
    """The event loop answers health checks meanwhile, and drops the request at its deadline."""
    service = Service(Settings(artifact=str(verifier_artifact), threads=1), lambda *_: models)
    models, decide, deciding = Models(Artifact(verifier_artifact)), Artifact.decide, []

    def record_thread(*arguments):
        deciding.append(threading.current_thread())
        return decide(*arguments)

    monkeypatch.setattr(Artifact, "decide", record_thread)
    service.load()
    request_log = RequestLog({})
    parsed = parse_json(build_body(genuine[:2], genuine[2:4]).encode(), 100)
    rows = asyncio.run(service.answer(parsed, time.monotonic() + 60, request_log))
    service.executor.close()
    assert [row["decision"] in ("accept", "inconclusive", "reject") for row in rows] == [True, True]
    assert len(deciding) == 2
    assert threading.current_thread() not in deciding
    assert request_log.seconds_by_stage()["decide"] > 0
