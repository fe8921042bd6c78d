"""The OpenAPI 3.0 document of ``GET /openapi.json``; tests compare the server with it.

Requests are described by the types that validate them; this module adds routes and error responses. Next:
``schema.py`` and ``train_request.py``, which declare these types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from predictor.responses import make_json_response
from predictor.schema import (
    COMPONENT_TYPES,
    IMAGE_FIELDS,
    REF_TEMPLATE,
    REFERENCE_FIELDS,
    WRITER_FIELDS,
    ImageBytesInstance,
    ImageInstance,
)
from predictor.train_request import TrainRequest

if TYPE_CHECKING:
    from predictor.settings import Settings

FILE = {"type": "string", "format": "binary"}
TEXT = {"type": "string", "maxLength": 1000}
FILES = {"type": "array", "items": FILE, "minItems": 1}
CONTRADICTION = {"required": ["far", "threshold"]}  # both select the threshold

COMPARED_TYPES = (ImageInstance, ImageBytesInstance)
_COMPARED_WITH = (*REFERENCE_FIELDS, "reference_embeddings")
COMPARED_TWICE = {  # an instance that says in two ways what it is compared with
    "anyOf": [
        *({"required": ["writer", name]} for name in (*_COMPARED_WITH, "identify")),
        *({"required": ["identify", name]} for name in _COMPARED_WITH),
    ]
}


def _make_schemas() -> dict[str, Any]:
    """Convert the types that validate requests to OpenAPI 3.0 schemas, by name."""
    _, generated = msgspec.json.schema_components(COMPONENT_TYPES, ref_template=REF_TEMPLATE)
    schemas = _to_openapi_3_0(generated)
    fields = {name: _to_text_field(field) for name, field in schemas["Parameters"]["properties"].items()}
    schemas["Parameters"]["not"] = CONTRADICTION
    of_instances = {name: _to_text_field(schemas["ImageInstance"]["properties"][name]) for name in WRITER_FIELDS}
    for struct in COMPARED_TYPES:
        schemas[struct.__name__]["not"] = COMPARED_TWICE
    schemas["PredictForm"] = {
        "type": "object",
        "anyOf": [{"required": [name]} for name in IMAGE_FIELDS],
        "not": {"anyOf": [CONTRADICTION, *COMPARED_TWICE["anyOf"]]},
        "additionalProperties": False,
        "properties": {**dict.fromkeys((*IMAGE_FIELDS, *REFERENCE_FIELDS), FILES), **of_instances, **fields},
    }
    return schemas


def _to_openapi_3_0(schema: Any) -> Any:
    """Convert JSON Schema 2020-12 to OpenAPI 3.0.

    It has ``nullable`` instead of the type ``null``, bounds that are exclusive by a flag, and no empty ``required``.
    """
    if isinstance(schema, list):
        return [_to_openapi_3_0(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: _to_openapi_3_0(value) for key, value in schema.items() if (key, value) != ("required", [])}
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in converted:
            converted |= {bound.lower(): converted[f"exclusive{bound}"], f"exclusive{bound}": True}
    if {"type": "null"} not in schema.get("anyOf", ()):
        return converted
    alternatives = [item for item in converted.pop("anyOf") if item != {"type": "null"}]
    if len(alternatives) == 1 and "$ref" not in alternatives[0]:
        return {**converted, **alternatives[0], "nullable": True}
    return {**converted, "anyOf": alternatives, "nullable": True}


def _to_text_field(schema: dict[str, Any]) -> dict[str, Any]:
    """Convert the schema of a parameter to that of a field of a form, which is never null."""
    return {key: value for key, value in schema.items() if key not in ("nullable", "default")}


PREDICTION = {
    "type": "object",
    "properties": {
        "label": {
            "type": "string",
            "description": "of a classifier: one of the model's labels, or unknown for an image of none of them, if "
            "the model has a rejection_limit",
        },
    },
}
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
ERROR_DESCRIPTIONS = {
    "400": "the request is wrong, see its code",
    "408": "the request did not arrive in time",
    "413": "more bytes, images or pixels than the limit in the message",
    "415": "a Content-Type or Content-Encoding that the server does not read",
    "422": "an image has no ink, or no writer of this name is on file",
    "431": "the request's headers are too large or too many",
    "429": "the queue is full; see Retry-After",
    "503": "loading, shutting down, or not answered within the deadline; see Retry-After",
    "500": "a fault of the server, with an id that is in its log, too",
}


def build_document(settings: Settings) -> dict[str, Any]:
    """Make the document, with the routes of these settings."""
    paths = {
        settings.predict_route: {"post": _predict()},
        settings.health_route: {"get": _get("whether this server is ready", "503")},
        "/model": {"get": _get("the model, and the verifier beside it: question, metrics, thresholds, limits", "503")},
        "/metrics": {"get": _text("counters", "text/plain")},
        "/openapi.json": {"get": _get("this document")},
        "/": {"get": _text("the web page", "text/html")},
    }
    if settings.mode == "dev":
        paths["/train"] = _train()
    return {
        "openapi": "3.0.3",
        "info": {"title": "Countersign", "version": "1", "description": "Handwritten-signature recognition."},
        "paths": paths,
        "components": {"schemas": {**_make_schemas(), "Error": ERROR}},
    }


async def serve_document(settings: Settings, _: Request) -> Response:
    """Respond to ``GET /openapi.json``."""
    return make_json_response(orjson.dumps(build_document(settings)))


def _predict() -> dict[str, Any]:
    predictions = {
        "type": "object",
        "required": ["predictions"],
        "additionalProperties": False,
        "properties": {"predictions": {"type": "array", "items": PREDICTION}},
    }
    return {
        "operationId": "predict",
        "summary": "answer images: one prediction for each instance, in the same order",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PredictRequest"}},
                "multipart/form-data": {"schema": {"$ref": "#/components/schemas/PredictForm"}},
                "image/*": {"schema": FILE},
                "application/pdf": {"schema": FILE},
            },
        },
        "responses": {"200": _json("predictions", predictions), **_error_responses(*ERROR_DESCRIPTIONS)},
    }


def _train() -> dict[str, Any]:
    form = {"type": "object", "required": ["file"], "properties": {"file": FILE}, "additionalProperties": TEXT}
    content = {
        "application/json": {"schema": _to_openapi_3_0(msgspec.json.schema(TrainRequest))},
        "multipart/form-data": {"schema": form},
    }
    state = {"type": "object", "required": ["state"]}
    return {
        "get": _get("the state of the training; a stream of events for Accept: text/event-stream", "403"),
        "post": {
            "operationId": "train",
            "summary": "train with these settings of trainer.task, on the zip if one is sent, then serve the model",
            "requestBody": {"required": True, "content": content},
            "responses": {
                "202": _json("the training has started", state),
                **_error_responses("400", "403", "409", "413", "415"),
            },
        },
        "delete": {
            "operationId": "cancel",
            "summary": "stop the training",
            "responses": {"200": _json("the training has stopped", state), **_error_responses("403")},
        },
    }


def _get(summary: str, *statuses: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _json(summary, {"type": "object"}), **_error_responses(*statuses)}}


def _text(summary: str, media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error_responses(*statuses: str) -> dict[str, Any]:
    of_training = {"403": "sent by a page of another site", "409": "a training is running already"}
    reference = {"$ref": "#/components/schemas/Error"}
    return {status: _json({**ERROR_DESCRIPTIONS, **of_training}[status], reference) for status in statuses}
