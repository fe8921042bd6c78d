"""The OpenAPI document and the server say the same."""

import base64

import httpx
import hypothesis
import pytest
import schemathesis
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


def test_the_server_does_what_its_document_says(schema, server):
    """Generated requests, right and wrong: no 500, no status or body that is not in the document."""
    seen = set()

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.seed(7)
    @hypothesis.given(case=schema["/predict"]["POST"].as_strategy())
    def run(case):
        response = case.call(base_url=server)
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    run()
    assert seen & {400, 422}, "hardly any generated text is an image"


def test_answers_are_what_the_document_says(schema, server, signature):
    body = {"instances": [{"image": {"b64": base64.b64encode(signature).decode()}}], "parameters": {"return_ink": True}}
    case = schema["/predict"]["POST"].Case(body=body, media_type="application/json")
    response = case.call(base_url=server)
    assert response.status_code == 200
    case.validate_response(response, checks=CHECKS)
    assert httpx.get(server + "/openapi.json").json()["openapi"] == "3.0.3"
