"""The contract as an OpenAPI 3.0 document, for ``GET /openapi.json``; tests hold the server to it.

Requests are described by the types of ``schema.py`` that validate them; routes and refusals stand here.
"""

from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from predictor.bodies import IMAGES, REFERENCES
from predictor.failures import answered
from predictor.schema import REFERENCE, TYPES, TrainRequest
from predictor.settings import Settings

FILE = {"type": "string", "format": "binary"}
TEXT = {"type": "string", "maxLength": 1000}
FILES = {"type": "array", "items": FILE, "minItems": 1}


def _schemas() -> dict[str, Any]:
    """The types that validate requests, as OpenAPI 3.0 writes them."""
    _, generated = msgspec.json.schema_components(TYPES, ref_template=REFERENCE)
    found = _openapi_3_0(generated)
    fields = {name: _text_field(field) for name, field in found["Parameters"]["properties"].items()}
    found["PredictForm"] = {
        "type": "object",
        "anyOf": [{"required": [name]} for name in IMAGES],
        "additionalProperties": False,
        "properties": {**dict.fromkeys((*IMAGES, *REFERENCES), FILES), **fields},
    }
    return found


def _openapi_3_0(schema: Any) -> Any:
    """JSON Schema 2020-12 as OpenAPI 3.0 writes it: ``nullable`` for the type ``null``, no empty ``required``."""
    if isinstance(schema, list):
        return [_openapi_3_0(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _openapi_3_0(value) for key, value in schema.items() if (key, value) != ("required", [])}
    if {"type": "null"} not in schema.get("anyOf", ()):
        return found
    others = [kind for kind in found.pop("anyOf") if kind != {"type": "null"}]
    if len(others) == 1 and "$ref" not in others[0]:
        return {**found, **others[0], "nullable": True}
    return {**found, "anyOf": others, "nullable": True}


def _settings() -> dict[str, Any]:
    """The settings of a training by name."""
    return _openapi_3_0(msgspec.json.schema(TrainRequest))


def _text_field(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter as a field of a form, which is never null."""
    return {key: value for key, value in schema.items() if key not in ("nullable", "default")}


ERROR = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "instance": {"type": "integer", "minimum": 0},
                "id": {"type": "string"},
            },
        }
    },
}
REFUSALS = {
    "400": "what the client sent is wrong",
    "408": "the request did not arrive in time",
    "413": "more bytes, images or pixels than the limit that is named",
    "415": "a Content-Type that is not read",
    "422": "an image holds no ink",
    "431": "the request's headers are too large or too many",
    "429": "everything that may wait is waiting; see Retry-After",
    "503": "loading, shutting down, or not done within the deadline; see Retry-After",
    "500": "a fault of the server's, with an id that its log has too",
}


def document(settings: Settings) -> dict[str, Any]:
    """The whole document, with the routes of these settings."""
    paths = {
        settings.predict_route: {"post": _predict()},
        settings.health_route: {"get": _get("whether this server may be asked", "503")},
        "/model": {"get": _get("what is served: question, metrics, thresholds, limits", "503")},
        "/metrics": {"get": _text("counters", "text/plain")},
        "/openapi.json": {"get": _get("this document")},
        "/": {"get": _text("the page for people", "text/html")},
    }
    if settings.mode == "dev":
        paths["/train"] = _train()
    return {
        "openapi": "3.0.3",
        "info": {"title": "Countersign", "version": "1", "description": "Handwritten-signature recognition."},
        "paths": paths,
        "components": {"schemas": {**_schemas(), "Error": ERROR}},
    }


async def answer(settings: Settings, _: Request) -> Response:
    """``GET /openapi.json``."""
    return answered(orjson.dumps(document(settings)))


def _predict() -> dict[str, Any]:
    predictions = {
        "type": "object",
        "required": ["predictions"],
        "additionalProperties": False,
        "properties": {"predictions": {"type": "array", "items": {"type": "object"}}},
    }
    return {
        "operationId": "predict",
        "summary": "answer images; one answer for each instance, in the same order",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PredictRequest"}},
                "multipart/form-data": {"schema": {"$ref": "#/components/schemas/PredictForm"}},
                "image/*": {"schema": FILE},
            },
        },
        "responses": {"200": _json("answers", predictions), **_refusals(*REFUSALS)},
    }


def _train() -> dict[str, Any]:
    form = {"type": "object", "required": ["file"], "properties": {"file": FILE}, "additionalProperties": TEXT}
    content = {"application/json": {"schema": _settings()}, "multipart/form-data": {"schema": form}}
    state = {"type": "object", "required": ["state"]}
    return {
        "get": _get("how training goes; a stream of events for Accept: text/event-stream", "403"),
        "post": {
            "operationId": "train",
            "summary": "train with these settings of trainer.task, on the zip if one is sent; then serve the model",
            "requestBody": {"required": True, "content": content},
            "responses": {"202": _json("begun", state), **_refusals("400", "403", "409", "413", "415")},
        },
        "delete": {
            "operationId": "cancel",
            "summary": "stop the training",
            "responses": {"200": _json("stopped", state), **_refusals("403")},
        },
    }


def _get(summary: str, *refusals: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _json(summary, {"type": "object"}), **_refusals(*refusals)}}


def _text(summary: str, kind: str) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses: str) -> dict[str, Any]:
    more = {"403": "asked by another site's page", "409": "a training is running already"}
    reference = {"$ref": "#/components/schemas/Error"}
    return {status: _json({**REFUSALS, **more}[status], reference) for status in statuses}
