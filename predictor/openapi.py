"""The contract as an OpenAPI 3.0 document, for ``GET /openapi.json``; tests hold the server to it.

Written by hand from ``wire.py``: a route's form stands here once, and nowhere in code that runs on a request.
"""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from predictor.failures import answered
from predictor.settings import Settings

B64 = {"type": "string", "format": "byte", "description": "an encoded image: PNG, JPEG, TIFF, BMP, GIF or WebP"}
ENCODED = {"type": "object", "required": ["b64"], "properties": {"b64": B64}, "additionalProperties": False}
VECTOR = {"type": "array", "items": {"type": "number"}, "minItems": 1, "description": "an embedding answered before"}
IMAGE = {
    "oneOf": [
        B64,
        ENCODED,
        {
            "type": "object",
            "required": ["image"],
            "additionalProperties": False,
            "properties": {
                "image": {"$ref": "#/components/schemas/Encoded"},
                "references": {"type": "array", "items": {"$ref": "#/components/schemas/Encoded"}},
                "reference_embeddings": {"type": "array", "items": VECTOR},
                "explain": {"type": "boolean"},
            },
        },
        {
            "type": "object",
            "required": ["image_bytes"],
            "additionalProperties": False,
            "properties": {"image_bytes": {"$ref": "#/components/schemas/Encoded"}},
        },
    ]
}
PARAMETERS = {
    "far": {"type": "number", "description": "decide by this stored false acceptance rate"},
    "return_embedding": {"type": "boolean"},
    "return_ink": {"type": "boolean", "description": "answer what the model saw as well, a PNG"},
    "explain": {"type": "boolean", "description": "answer a picture of what speaks against the image as well"},
    "encoder": {"type": "string", "description": "what made the embeddings, as it was answered with them"},
    "on_error": {"type": "string", "enum": ["fail", "row"], "description": "what one bad instance costs"},
}
FILE = {"type": "string", "format": "binary"}
FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "array", "items": FILE, "minItems": 1},
        "references": {"type": "array", "items": FILE},
        **PARAMETERS,
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
REFUSALS = {
    "400": "what the client sent is wrong",
    "408": "the request did not arrive in time",
    "413": "more bytes, images or pixels than the limit that is named",
    "415": "a Content-Type that is not read",
    "422": "an image holds no ink",
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
        "components": {"schemas": {"Image": IMAGE, "Encoded": ENCODED, "Error": ERROR}},
    }


async def answer(settings: Settings, _: Request) -> Response:
    """``GET /openapi.json``."""
    return answered(orjson.dumps(document(settings)))


def _predict() -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {"type": "array", "items": {"$ref": "#/components/schemas/Image"}},
            "parameters": {"type": "object", "additionalProperties": False, "properties": PARAMETERS},
        },
    }
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
                "application/json": {"schema": body},
                "multipart/form-data": {"schema": FORM},
                "image/*": {"schema": FILE},
            },
        },
        "responses": {"200": _json("answers", predictions), **_refusals(*REFUSALS)},
    }


def _train() -> dict[str, Any]:
    wanted = {
        "type": "object",
        "required": ["problem"],
        "properties": {"problem": {"type": "string"}, "train_dir": {"type": "string"}, "epochs": {"type": "integer"}},
    }
    state = {"type": "object", "required": ["state"]}
    return {
        "get": _get("how training goes; a stream of events for Accept: text/event-stream", "403"),
        "post": {
            "operationId": "train",
            "summary": "train with these settings of trainer.task, then serve the new model",
            "requestBody": {"required": True, "content": {"application/json": {"schema": wanted}}},
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
