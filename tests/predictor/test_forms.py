"""The three kinds of body give the same answers; errors by row, and further parameters."""

import base64
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from trainer.artifact.artifact import Artifact
from trainer.imaging import canonicalise

BLANK = b"\x89PNG\r\n\x1a\n no more"

PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
CUT = PART + b"x\r\n" + PART + b"half"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def predict(server, instances, **parameters) -> httpx.Response:
    return httpx.post(server + "/predict", json={"instances": instances, "parameters": parameters})


@pytest.fixture(scope="module")
def genuine(verification_data):
    """Four genuine signatures of one writer."""
    return [path.read_bytes() for path in sorted((verification_data / "001").iterdir())[:4]]


def test_a_form_and_a_bare_image_get_the_same_answer_as_json(server, signature):
    expected = predict(server, [b64(signature)]).json()
    form = httpx.post(server + "/predict", files={"image": signature})
    bare = httpx.post(server + "/predict", content=signature, headers={"Content-Type": "image/png"})
    assert form.json() == bare.json() == expected


def test_a_form_contains_several_images_references_and_parameters(verifier_server, genuine):
    files = [("image", genuine[0]), ("image", genuine[1]), ("references", genuine[2]), ("reference", genuine[3])]
    form = httpx.post(
        verifier_server + "/predict", files=files, data={"far": "0.05", "return_embedding": "true", "explain": "true"}
    )
    references = [{"b64": b64(image)} for image in genuine[2:]]
    instances = [{"image": {"b64": b64(image)}, "references": references} for image in genuine[:2]]
    assert form.json() == predict(verifier_server, instances, far=0.05, return_embedding=True, explain=True).json()
    assert "explanation" in form.json()["predictions"][1]


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"image=1", 415, "multipart/form-data"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "application/json"),
        ({"Content-Type": "multipart/form-data"}, b"x", 400, "boundary"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"no parts", 400, "form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, CUT, 400, "cut short"),
        ({"Content-Type": "image/png"}, BLANK, 400, "not an image"),
        ({"Content-Type": "image/png"}, b"", 400, "empty"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_what_would_be_right(server, headers, body, status, message):
    response = httpx.post(server + "/predict", content=body, headers=headers)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("files", "data", "message"),
    [
        ({"picture": b"x"}, {}, "'picture'"),
        ({"references": b"x"}, {}, 'no file named "image"'),
        ({"image": b"x"}, {"fra": "0.01"}, "did you mean 'far'"),
        ({"image": b"x"}, {"far": "much"}, '"far" has a text that cannot be read; it has to be a number'),
        ({"references": b"x"}, {"image": "iVBORw0K"}, "'image' is a text; it has to be a file"),
        ({"image": b"x"}, {"far": "1" * 2000}, "more than 1,000 bytes; images are sent as files"),
        ({"image": b"x"}, {"far": ["0.1", "0.2"]}, "more than one field 'far'"),
    ],
)
def test_an_invalid_form_is_refused(server, files, data, message):
    response = httpx.post(server + "/predict", files=files, data=data)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_parameters_in_the_url_are_refused_instead_of_ignored(server, signature):
    response = httpx.post(server + "/predict?far=0.001", content=signature, headers={"Content-Type": "image/png"})
    assert response.status_code == 400
    assert "sent in the body" in response.json()["error"]["message"]
    assert httpx.post(server + "/predict?alt=json", json={"instances": []}).status_code == 200, (
        "a parameter of a gateway"
    )


def test_with_on_error_row_bad_instances_fail_only_their_rows(server, signature):
    instances = [b64(signature), 7, b64(BLANK), {"b64": "*"}, b64(signature)]
    assert predict(server, instances).status_code == 400, "without it, the whole request"
    rows = predict(server, instances, on_error="row").json()["predictions"]
    assert [row.get("label") for row in rows[::4]] == [rows[0]["label"]] * 2
    assert [row["error"]["instance"] for row in rows[1:4]] == [1, 2, 3]
    assert [row["error"]["code"] for row in rows[1:4]] == ["bad_request", "unreadable_image", "bad_request"]


def test_a_bad_reference_fails_every_row_that_contains_it_and_no_other_row(verifier_server, genuine):
    bad, good = {"b64": b64(BLANK)}, {"b64": b64(genuine[1])}
    instances = [{"image": {"b64": b64(genuine[0])}, "references": [good, second]} for second in (bad, good, bad)]
    rows = predict(verifier_server, instances, on_error="row").json()["predictions"]
    assert ["error" in row for row in rows] == [True, False, True]
    assert [rows[position]["error"]["instance"] for position in (0, 2)] == [0, 2]
    assert "reference 1" in rows[2]["error"]["message"]


def test_return_ink_adds_the_canonical_image(server, artifact, signature):
    answer = predict(server, [b64(signature)], return_ink=True).json()["predictions"][0]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["ink"]["b64"]))))
    np.testing.assert_array_equal(255 - picture, canonicalise(signature, Artifact(artifact).imaging).image[:, :, 0])


@pytest.mark.parametrize("input_format", ["jsonl", "file-list"])
def test_instances_of_batch_prediction_are_answered(server, scans, input_format):
    """https://cloud.google.com/vertex-ai/docs/predictions/get-batch-predictions: a line of jsonl is an instance;
    a file of a file list becomes ``{"b64": ...}``."""
    files = [path.read_bytes() for path in sorted((scans / "text").iterdir())[:3]]
    encoded = [{"b64": b64(data)} for data in files]
    lines = [{"image": image} for image in encoded] if input_format == "jsonl" else encoded
    body = '{"instances": [' + ",".join(json.dumps(line) for line in lines) + "]}"
    response = httpx.post(server + "/predict", content=body, headers={"Content-Type": "application/json"})
    assert len(response.json()["predictions"]) == 3
