"""The table from domain errors to statuses is complete, and the limits of parsing."""

import json
from pathlib import Path

import pytest

from predictor import errors
from predictor.error_handlers import get_status
from predictor.errors import BadInstance, BadRequest, PredictorError, TooLarge
from predictor.request import build_body
from predictor.schema import parse_json
from trainer.imaging import ImageError


def list_subclasses(base):
    """The class and all its subclasses."""
    return [base, *(descendant for child in base.__subclasses__() for descendant in list_subclasses(child))]


@pytest.mark.parametrize("error_class", list_subclasses(ImageError))
def test_every_image_error_has_a_status_and_keeps_its_code_and_position(error_class):
    error = BadInstance(error_class("what was wrong"), 3)
    assert 400 <= get_status(error) < 500
    assert (error.code, error.instance, str(error)) == (error_class.code, 3, "what was wrong")


DOMAIN_ERRORS = list_subclasses(PredictorError)


@pytest.mark.parametrize("error_class", [c for c in DOMAIN_ERRORS[1:] if c is not BadInstance])
def test_every_domain_error_has_a_status_and_a_unique_code(error_class):
    assert get_status(error_class("x")) in (400, 403, 408, 409, 413, 415, 422, 429, 503)
    assert [c for c in DOMAIN_ERRORS if c.code == error_class.code] == [error_class]


def test_the_module_of_errors_does_not_mention_http():
    assert "http" not in Path(errors.__file__).read_text().lower().split('"""', 2)[2]


def test_build_body_and_parse_json_round_trip():
    request = parse_json(build_body([b"one", b""]).encode(), max_instances=2)
    assert [instance.image for instance in request.instances] == [b"one", b""]


@pytest.mark.parametrize("depth", [10, 100_000])
def test_deep_nesting_is_a_bad_request(depth):
    with pytest.raises(BadRequest):
        parse_json(b'{"instances": ' + b"[" * depth + b"]" * depth + b"}", max_instances=5)


def test_references_and_embeddings_count_as_images_of_a_request():
    body = {"instances": [{"image": {"b64": ""}, "references": [{"b64": ""}], "reference_embeddings": [[1.0]]}]}
    assert len(parse_json(json.dumps(body).encode(), max_instances=3).instances) == 1
    with pytest.raises(TooLarge, match="2 images and embeddings"):
        parse_json(json.dumps(body).encode(), max_instances=2)


def test_an_unknown_key_is_quoted_only_if_it_has_the_form_of_a_name():
    """It may be an image in the wrong place."""
    body = {"instances": [{"image": {"b64": ""}, "QUJD" * 100: 1}]}
    with pytest.raises(BadRequest) as error:
        parse_json(json.dumps(body).encode(), max_instances=1)
    assert "QUJD" not in str(error.value)
    assert "key of 400 characters is unknown" in str(error.value)


def test_too_many_instances_are_refused_before_they_are_decoded():
    with pytest.raises(TooLarge, match="3 instances"):
        parse_json(json.dumps({"instances": ["*"] * 3}).encode(), max_instances=2)
