"""The server behaves as its OpenAPI document describes."""

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
from predictor.error_handlers import STATUS
from predictor.models import Models
from predictor.service import Service
from predictor.settings import Settings
from tests.conftest import serving

# Schemathesis draws from the module random within its strategies, now and then.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 40  # tests/bench/attack.py sends 20,000


def test_every_route_is_in_the_document_and_every_documented_one_exists():
    for mode in ("prod", "dev"):
        settings = Settings(artifact="x", mode=mode, health_route="/v1/health", predict_route="/v1/predict")
        app = create_app(settings, Service(settings, Models.open), lambda: None)
        routes = [route for route in app.routes if isinstance(route, Route)]
        served = {(route.path, method.lower()) for route in routes for method in (route.methods or ()) - {"HEAD"}}
        served = {(path, method) for path, method in served if not path.startswith(("/web/", "/docs"))}
        document = openapi.build_document(settings)
        assert served == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_every_status_that_an_error_can_become_is_documented():
    statuses = {str(status) for status in STATUS.values()} | {"500"}
    assert statuses <= set(openapi.ERROR_DESCRIPTIONS) | {"403", "409"}


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(server + "/openapi.json")


def send_generated(schema, server, mode: GenerationMode, check: Callable, path="/predict") -> None:
    """Send generated requests; compare each response with the document, and call ``check(response)``."""

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.seed(7)
    @hypothesis.given(case=schema[path]["POST"].as_strategy(generation_mode=mode))
    def run(case):
        response = case.call(base_url=server)
        case.validate_response(response, checks=CHECKS)
        check(response)

    run()


def test_no_request_that_the_document_allows_violates_the_contract(schema, server, signature):
    """It may not fit the model, or contain no image; ``bad_request`` would mean that the document is wrong."""
    schemathesis.openapi.format("byte", st.sampled_from([base64.b64encode(signature).decode(), "AAAA"]))
    codes = collections.Counter()

    def check_accepted(response):
        code = response.json().get("error", {}).get("code", "answered")
        assert code not in ("bad_request", "unsupported_media_type", "too_large"), response.text
        codes[code] += 1

    send_generated(schema, server, GenerationMode.POSITIVE, check_accepted)
    assert codes["answered"], codes


def check_refused(response) -> None:
    """Fail for a response that is not an error of the client."""
    assert 400 <= response.status_code < 500, response.text


def test_every_request_that_the_document_forbids_is_refused(schema, server):
    send_generated(schema, server, GenerationMode.NEGATIVE, check_refused)


def test_every_training_that_the_document_forbids_is_refused(artifact, tmp_path):
    """Requests that it allows are not sent: they would start a training."""
    with serving("--artifact", str(artifact), "--mode", "dev", COUNTERSIGN_RUNS=str(tmp_path)) as server:
        schema = schemathesis.openapi.from_url(server + "/openapi.json")
        send_generated(schema, server, GenerationMode.NEGATIVE, check_refused, path="/train")
        assert httpx.get(server + "/train").json()["state"] == "idle"


def test_a_prediction_conforms_to_the_document(schema, server, signature):
    body = {"instances": [{"image": {"b64": base64.b64encode(signature).decode()}}], "parameters": {"return_ink": True}}
    case = schema["/predict"]["POST"].Case(body=body, media_type="application/json")
    response = case.call(base_url=server)
    assert response.status_code == 200
    case.validate_response(response, checks=CHECKS)
    assert httpx.get(server + "/openapi.json").json()["openapi"] == "3.0.3"
