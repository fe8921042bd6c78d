"""One table from domain errors to statuses, and it is complete."""

import json
from pathlib import Path

import pytest

from predictor import errors, failures, wire
from predictor.errors import BadInstance, BadRequest, PredictorError, TooLarge
from trainer.imaging import ImageError


def all_below(kind):
    return [kind, *(found for child in kind.__subclasses__() for found in all_below(child))]


@pytest.mark.parametrize("kind", all_below(ImageError))
def test_every_image_error_has_a_status_and_keeps_its_code_and_position(kind):
    error = BadInstance(kind("what was wrong"), 3)
    assert 400 <= failures.status_of(error) < 500
    assert (error.code, error.instance, str(error)) == (kind.code, 3, "what was wrong")


@pytest.mark.parametrize("kind", [kind for kind in all_below(PredictorError)[1:] if kind is not BadInstance])
def test_every_error_of_the_service_has_a_status_and_a_code_of_its_own(kind):
    assert failures.status_of(kind("x")) in (400, 403, 408, 409, 413, 415, 429, 503)
    assert [k for k in all_below(PredictorError) if k.code == kind.code] == [kind]


def test_the_errors_know_no_http():
    assert "http" not in Path(errors.__file__).read_text().lower().split('"""', 2)[2]


def test_a_request_made_is_a_request_parsed():
    asked = wire.parse(wire.request([b"one", b""]).encode(), max_instances=2)
    assert [instance.image for instance in asked.instances] == [b"one", b""]


@pytest.mark.parametrize("depth", [10, 100_000])
def test_deep_nesting_is_a_bad_request(depth):
    with pytest.raises(BadRequest):
        wire.parse(b'{"instances": ' + b"[" * depth + b"]" * depth + b"}", max_instances=5)


def test_references_and_embeddings_count_as_images_of_a_request():
    body = {"instances": [{"image": {"b64": ""}, "references": [{"b64": ""}], "reference_embeddings": [[1.0]]}]}
    assert len(wire.parse(json.dumps(body).encode(), max_instances=3).instances) == 1
    with pytest.raises(TooLarge, match="2 images and embeddings"):
        wire.parse(json.dumps(body).encode(), max_instances=2)


def test_an_unknown_key_is_quoted_only_where_it_is_short_enough_for_a_name():
    """It may be an image that was sent in the wrong place."""
    body = {"instances": [{"image": {"b64": ""}, "QUJD" * 100: 1}]}
    with pytest.raises(BadRequest) as caught:
        wire.parse(json.dumps(body).encode(), max_instances=1)
    assert "QUJD" not in str(caught.value)
    assert "key of 400 characters is unknown" in str(caught.value)


def test_too_many_instances_are_counted_not_decoded():
    with pytest.raises(TooLarge, match="3 instances"):
        wire.parse(json.dumps({"instances": ["*"] * 3}).encode(), max_instances=2)
