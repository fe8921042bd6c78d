"""Verification through the server: enrolment, comparison, thresholds, explanation, and what is refused."""

import base64
import dataclasses
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from predictor import request, wire
from tests.conftest import serving
from trainer import enrol
from trainer.artifact.artifact import Model


@pytest.fixture
def genuine(hands_data) -> list[bytes]:
    """Signatures of one person."""
    return [path.read_bytes() for path in sorted((hands_data / "007").iterdir())]


@pytest.fixture
def ask(hands_server):
    """Send a body; status and content."""

    def ask(body):
        answer = httpx.post(hands_server + "/predict", content=body if isinstance(body, str) else json.dumps(body))
        return answer.status_code, answer.json()

    return ask


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def test_the_server_answers_what_the_model_answers(ask, hands, genuine):
    status, content = ask(wire.request(genuine[:2], genuine[2:5], return_embedding=True))
    assert status == 200
    model = Model(hands)
    looks = [model.look(data) for data in genuine]
    for found, look in zip(content["predictions"], looks, strict=False):
        expected = model.decide(look, looks[2:5])
        assert found["decision"] == expected["decision"]
        assert found["score"] == pytest.approx(expected["score"], abs=1e-5)
        assert found["distance"] == pytest.approx(expected["distance"], abs=1e-5)
        np.testing.assert_allclose(found["embedding"], look.vector, atol=1e-6)
        assert [each["distance"] for each in found["per_reference"]] == pytest.approx(
            [each["distance"] for each in expected["per_reference"]], abs=1e-5
        )
        assert found["warnings"] == expected["warnings"]


def test_enrolled_embeddings_answer_as_their_images_do(ask, genuine):
    status, content = ask(wire.request(genuine[1:4]))
    assert status == 200
    stored = [prediction["embedding"] for prediction in content["predictions"]]
    assert set(content["predictions"][0]) == {"embedding", "encoder", "warnings"}
    by_image = ask(wire.request(genuine[:1], genuine[1:4]))[1]["predictions"][0]
    by_vector = ask({"instances": [{"image": b64(genuine[0]), "reference_embeddings": stored}]})[1]["predictions"][0]
    mixed = {"image": b64(genuine[0]), "references": [b64(genuine[1])], "reference_embeddings": stored[1:]}
    both = ask({"instances": [mixed]})[1]["predictions"][0]
    for found in (by_vector, both):
        assert found["score"] == pytest.approx(by_image["score"], abs=1e-5)
        assert len(found["per_reference"]) == 3


def test_a_stored_rate_is_chosen_and_another_refused_with_those_there_are(ask, genuine):
    usual = ask(wire.request(genuine[:1], genuine[1:3]))[1]["predictions"][0]
    assert ask(wire.request(genuine[:1], far=0.2))[0] == 400, "also when there is nothing to compare with"
    strict = ask(wire.request(genuine[:1], genuine[1:3], far=0.001))[1]["predictions"][0]
    assert strict["threshold"] > usual["threshold"]
    assert strict["score"] == usual["score"]
    status, content = ask(wire.request(genuine[:1], genuine[1:3], far=0.2))
    assert status == 400
    assert "0.01, 0.001" in content["error"]["message"]
    assert content["error"]["instance"] == 0


def test_an_explanation_is_a_picture_of_the_ink(ask, genuine):
    answer = ask(wire.request(genuine[:1], genuine[1:3], explain=True))[1]["predictions"][0]
    nearest = int(np.argmin([each["distance"] for each in answer["per_reference"]]))
    assert answer["explanation"]["reference"] == nearest
    assert answer["explanation"]["hidden_in"] == "both"
    with Image.open(io.BytesIO(base64.b64decode(answer["explanation"]["overlay"]["b64"]))) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
    asked_once = {"image": b64(genuine[0]), "references": [b64(genuine[1])], "explain": True}
    assert "explanation" in ask({"instances": [asked_once]})[1]["predictions"][0]


@pytest.mark.parametrize(
    ("instance", "says"),
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
def test_what_is_wrong_with_a_question_is_said_with_its_place(ask, genuine, instance, says):
    good = {"image": b64(genuine[0])}
    status, content = ask({"instances": [good, {"image": b64(genuine[0]), **instance}]})
    assert status == 400
    assert content["error"]["instance"] == 1
    assert says in content["error"]["message"]


@pytest.mark.parametrize(
    "parameters",
    [{"far": "low"}, {"return_embedding": 1}, {"explain": None}, {"FAR": 0.01}, {"encoder": 3}, {"encoder": "other"}],
)
def test_parameters_of_the_wrong_kind_are_refused(ask, genuine, parameters):
    status, content = ask({"instances": [{"image": b64(genuine[0])}], "parameters": parameters})
    assert status == 400
    word = "another model" if parameters == {"encoder": "other"} else next(iter(parameters))
    assert word in content["error"]["message"]


def test_references_count_as_images(hands_server, genuine):
    body = wire.request(genuine[:1], [b"x"] * 300)
    answer = httpx.post(hands_server + "/predict", content=body)
    assert answer.status_code == 413
    assert "256 images and embeddings" in answer.json()["error"]["message"]
    stored = [{"image": b64(genuine[0]), "reference_embeddings": [[1.0]] * 300}]
    answer = httpx.post(hands_server + "/predict", json={"instances": stored})
    assert answer.status_code == 413


def test_a_classifier_refuses_references_and_rates(server, genuine):
    for body in (wire.request(genuine[:1], genuine[1:2]), wire.request(genuine[:1], far=0.01)):
        answer = httpx.post(server + "/predict", content=body)
        assert answer.status_code == 400
        assert "this model" in answer.json()["error"]["message"]


def test_an_image_that_a_request_names_twice_is_looked_at_once(hands, genuine):
    """A pair never pays for the same reference twice."""
    from predictor.service import Service
    from predictor.settings import Settings

    service = Service(Settings(model=str(hands)))
    service.load()
    asked = wire.parse(wire.request(genuine[:2], [*genuine[2:4], genuine[0]]).encode(), 100)
    seen = service.images(asked)
    assert sorted(image.data for image in seen) == sorted(genuine[:4])
    assert {dataclasses.astuple(image)[1:] for image in seen} == {
        (0, "the image"),
        (1, "the image"),
        (0, "reference 0"),
        (0, "reference 1"),
    }


def test_explanations_are_refused_before_any_answer_is_computed_and_not_after(hands, genuine):
    """One image and its reference, asked about three times: with room for two, nothing is begun."""
    instance = {"image": b64(genuine[0]), "references": [b64(genuine[1])], "explain": True}
    with serving("--model", str(hands), "--threads", "1", "--waiting", "1") as server:
        assert "explanation" in httpx.post(server + "/predict", json={"instances": [instance]}).json()["predictions"][0]
        before = httpx.get(server + "/metrics").text
        answer = httpx.post(server + "/predict", json={"instances": [instance] * 3})
        assert answer.status_code == 413
        assert "--waiting" in answer.json()["error"]["message"]
        images = [line for text in (before, httpx.get(server + "/metrics").text) for line in text.splitlines()]
        images = [line for line in images if line.startswith("countersign_stage_seconds_total") and "image" in line]
        assert len(images) == 2
        assert images[0] == images[1], "no image was looked at"


@pytest.mark.parametrize("parameters", [{"far": 0.01}, {"explain": True}])
def test_a_decision_that_has_nothing_to_compare_with_is_refused_instead_of_ignored(ask, genuine, parameters):
    status, content = ask({"instances": [{"image": b64(genuine[0])}], "parameters": parameters})
    assert (status, content["error"]["code"]) == (400, "unanswerable")
    assert "no instance has references" in content["error"]["message"]


@pytest.mark.parametrize("parameters", [{"explain": True}, {"far": 0.01}])
def test_a_classifier_refuses_what_only_verifiers_do(server, genuine, parameters):
    body = {"instances": [{"image": b64(genuine[0])}], "parameters": parameters}
    assert httpx.post(server + "/predict", json=body).json()["error"]["code"] == "unanswerable"


def test_health_tells_the_thresholds(hands_server):
    described = httpx.get(hands_server + "/health").json()
    assert described["problem"] == "same_writer"
    assert 0 < described["thresholds"]["eer"]["1"] < described["thresholds"]["0.001"]["1"] <= 1


def test_a_request_is_made_from_files_and_from_enrolled_people(hands_server, hands, hands_data, tmp_path, capsys):
    people, files = tmp_path / "people.npz", [str(path) for path in sorted((hands_data / "002").iterdir())]
    assert enrol.main([str(hands), str(hands_data), "--out", str(people)]) == 0
    capsys.readouterr()
    url = hands_server + "/predict"
    command = [files[0], "--enrolled", str(people), "--writer", "002", "--send", url]
    assert request.main(command) == 0
    assert len(json.loads(capsys.readouterr().out)["per_reference"]) == 7
    assert request.main([files[0], "--reference", files[1], "--far", "0.01", "--explain", "--send", url]) == 0
    assert "explanation" in json.loads(capsys.readouterr().out)
    assert request.main([files[0], "--writer", "002"]) == 1
    assert "--enrolled and --writer go together" in capsys.readouterr().err
