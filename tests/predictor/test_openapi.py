"""The OpenAPI document and the server say the same."""

import base64
import collections
from collections.abc import Callable

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from predictor import openapi
from predictor.app import create_app
from predictor.failures import STATUS
from predictor.settings import Settings
from tests.conftest import serving

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 40  # tests/bench/attack.py sends 20,000


def test_every_route_is_in_the_document_and_every_documented_one_exists():
    for mode in ("prod", "dev"):
        settings = Settings(model="x", mode=mode, health_route="/v1/health", predict_route="/v1/ask")
        routes = [route for route in create_app(settings, lambda: None).routes if isinstance(route, Route)]
        served = {(route.path, method.lower()) for route in routes for method in (route.methods or ()) - {"HEAD"}}
        served = {found for found in served if not found[0].startswith(("/web/", "/docs"))}
        document = openapi.document(settings)
        assert served == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_every_status_that_an_error_can_become_is_documented():
    statuses = {str(status) for status in STATUS.values()} | {"500"}
    assert statuses <= set(openapi.REFUSALS) | {"403", "409"}


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(server + "/openapi.json")


def generated(schema, server, mode: GenerationMode, also: Callable, examples: int = EXAMPLES, path="/predict") -> None:
    """Send generated requests; each answer has to be in the document, and ``also(response)``."""

    @hypothesis.settings(max_examples=examples, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.seed(7)
    @hypothesis.given(case=schema[path]["POST"].as_strategy(generation_mode=mode))
    def run(case):
        response = case.call(base_url=server)
        case.validate_response(response, checks=CHECKS)
        also(case, response)

    run()


def test_no_request_that_the_document_allows_breaks_the_contract(schema, server, signature):
    """It may be about another model, or hold no image; ``bad_request`` would say that the document is wrong."""
    schemathesis.openapi.format("byte", st.sampled_from([base64.b64encode(signature).decode(), "AAAA"]))
    seen = collections.Counter()

    def accepted(_, response):
        code = response.json().get("error", {}).get("code", "answered")
        assert code not in ("bad_request", "unsupported_media_type", "too_large"), response.text
        seen[code] += 1

    generated(schema, server, GenerationMode.POSITIVE, accepted)
    assert seen["answered"], seen


def test_every_request_that_the_document_forbids_is_refused(schema, server):
    def refused(case, response):
        assert 400 <= response.status_code < 500, response.text

    generated(schema, server, GenerationMode.NEGATIVE, refused)


def test_every_training_that_the_document_forbids_is_refused(artifact, tmp_path):
    """What it allows would begin one."""
    with serving("--model", str(artifact), "--mode", "dev", COUNTERSIGN_RUNS=str(tmp_path)) as server:
        schema = schemathesis.openapi.from_url(server + "/openapi.json")

        def refused(case, response):
            assert 400 <= response.status_code < 500, response.text

        generated(schema, server, GenerationMode.NEGATIVE, refused, path="/train")
        assert httpx.get(server + "/train").json()["state"] == "idle"


def test_answers_are_what_the_document_says(schema, server, signature):
    body = {"instances": [{"image": {"b64": base64.b64encode(signature).decode()}}], "parameters": {"return_ink": True}}
    case = schema["/predict"]["POST"].Case(body=body, media_type="application/json")
    response = case.call(base_url=server)
    assert response.status_code == 200
    case.validate_response(response, checks=CHECKS)
    assert httpx.get(server + "/openapi.json").json()["openapi"] == "3.0.3"
