"""The three kinds of body, errors by row, and what else may be asked for: all of them the same answers."""

import base64
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from trainer.artifact.artifact import Model
from trainer.imaging import canonicalise

BLANK = b"\x89PNG\r\n\x1a\n no more"

PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
CUT = PART + b"x\r\n" + PART + b"half"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(server, instances, **parameters) -> httpx.Response:
    return httpx.post(server + "/predict", json={"instances": instances, "parameters": parameters})


@pytest.fixture(scope="module")
def people(hands_data):
    """Images of one person, genuine."""
    return [path.read_bytes() for path in sorted((hands_data / "001").iterdir())[:4]]


def test_an_uploaded_form_and_a_bare_image_are_answered_as_json_is(server, signature):
    expected = ask(server, [b64(signature)]).json()
    form = httpx.post(server + "/predict", files={"image": signature})
    bare = httpx.post(server + "/predict", content=signature, headers={"Content-Type": "image/png"})
    assert form.json() == bare.json() == expected


def test_a_form_holds_several_images_references_and_parameters(hands_server, people):
    files = [("image", people[0]), ("image", people[1]), ("references", people[2]), ("reference", people[3])]
    form = httpx.post(
        hands_server + "/predict", files=files, data={"far": "0.01", "return_embedding": "true", "explain": "true"}
    )
    references = [{"b64": b64(image)} for image in people[2:]]
    instances = [{"image": {"b64": b64(image)}, "references": references} for image in people[:2]]
    assert form.json() == ask(hands_server, instances, far=0.01, return_embedding=True, explain=True).json()
    assert "explanation" in form.json()["predictions"][1]


@pytest.mark.parametrize(
    ("headers", "body", "status", "says"),
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
def test_another_kind_of_body_is_refused_with_what_would_be_right(server, headers, body, status, says):
    response = httpx.post(server + "/predict", content=body, headers=headers)
    assert response.status_code == status
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("files", "data", "says"),
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
def test_a_form_that_asks_something_else_is_refused(server, files, data, says):
    response = httpx.post(server + "/predict", files=files, data=data)
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]


def test_parameters_in_the_address_are_refused_instead_of_ignored(server, signature):
    response = httpx.post(server + "/predict?far=0.001", content=signature, headers={"Content-Type": "image/png"})
    assert response.status_code == 400
    assert "sent in the body" in response.json()["error"]["message"]
    assert httpx.post(server + "/predict?alt=json", json={"instances": []}).status_code == 200, "a gateway's own"


def test_bad_instances_cost_only_their_rows_when_asked(server, signature):
    instances = [b64(signature), 7, b64(BLANK), {"b64": "*"}, b64(signature)]
    assert ask(server, instances).status_code == 400, "else the whole request"
    rows = ask(server, instances, on_error="row").json()["predictions"]
    assert [row.get("label") for row in rows[::4]] == [rows[0]["label"]] * 2
    assert [row["error"]["instance"] for row in rows[1:4]] == [1, 2, 3]
    assert [row["error"]["code"] for row in rows[1:4]] == ["bad_request", "unreadable_image", "bad_request"]


def test_a_bad_reference_costs_every_row_that_names_it_and_no_other(hands_server, people):
    bad, good = {"b64": b64(BLANK)}, {"b64": b64(people[1])}
    instances = [{"image": {"b64": b64(people[0])}, "references": [good, other]} for other in (bad, good, bad)]
    rows = ask(hands_server, instances, on_error="row").json()["predictions"]
    assert ["error" in row for row in rows] == [True, False, True]
    assert [rows[at]["error"]["instance"] for at in (0, 2)] == [0, 2]
    assert "reference 1" in rows[2]["error"]["message"]


def test_what_the_model_saw_is_answered_when_asked(server, artifact, signature):
    answer = ask(server, [b64(signature)], return_ink=True).json()["predictions"][0]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["ink"]["b64"]))))
    np.testing.assert_array_equal(255 - shown, canonicalise(signature, Model(artifact).imaging).image[:, :, 0])


@pytest.mark.parametrize("form", ["jsonl", "file-list"])
def test_batch_prediction_sends_instances_as_vertex_does(server, signature, scans, form):
    """https://cloud.google.com/vertex-ai/docs/predictions/get-batch-predictions: jsonl lines are instances as they
    stand; of a file list, every file is ``{"b64": ...}``."""
    files = [path.read_bytes() for path in sorted((scans / "text").iterdir())[:3]]
    lines = [{"image": {"b64": b64(f)}} for f in files] if form == "jsonl" else [{"b64": b64(f)} for f in files]
    body = '{"instances": [' + ",".join(json.dumps(line) for line in lines) + "]}"
    response = httpx.post(server + "/predict", content=body, headers={"Content-Type": "application/json"})
    assert len(response.json()["predictions"]) == 3
