"""The JSON contract of Vertex AI: bodies to images, answers to bodies.

Knows the form of a request, not images and not HTTP. Every error names the instance and never quotes what was sent.
"""

import json
from typing import Any

import orjson
import pybase64

from predictor.errors import BadRequest, TooLarge

FORMS = '"BASE64", {"b64": "BASE64"}, {"image": {"b64": "BASE64"}} or {"image_bytes": {"b64": "BASE64"}}'
WRAPPERS = ("image", "image_bytes")


def parse(body: bytes, max_instances: int) -> list[bytes]:
    """A request body to encoded images in the order of ``instances``. Raises ``BadRequest`` or ``TooLarge``."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f'the body is not JSON (line {error.lineno}, column {error.colno}); it has to be {{"instances": [...]}}'
        ) from None
    if not isinstance(content, dict):
        raise BadRequest(f'the body is {_kind(content)}; it has to be an object {{"instances": [...]}}')
    instances = content.get("instances")
    if not isinstance(instances, list):
        found = "is missing" if "instances" not in content else f"is {_kind(instances)}"
        raise BadRequest(f'"instances" {found}; it has to be an array of images: {FORMS}')
    if len(instances) > max_instances:
        raise TooLarge(f"the request has {len(instances)} instances; at most {max_instances} are accepted")
    parameters = content.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise BadRequest(f'"parameters" is {_kind(parameters)}; it has to be an object, or absent')
    return [_image(instance, position) for position, instance in enumerate(instances)]


def predictions(answers: list[dict[str, Any]]) -> bytes:
    """The response body, one prediction for each instance in the same order."""
    return orjson.dumps({"predictions": answers})


def error(code: str, message: str, instance: int | None = None, id: str | None = None) -> bytes:
    """The body of every refusal."""
    content = {"code": code, "message": message, "instance": instance, "id": id}
    return orjson.dumps({"error": {name: value for name, value in content.items() if value is not None}})


def request(images: list[bytes]) -> str:
    """The body that asks about these images, as text."""
    return json.dumps({"instances": [{"image": {"b64": pybase64.b64encode(image).decode()}} for image in images]})


def _image(instance: Any, position: int) -> bytes:
    text = instance
    if isinstance(text, dict):
        wrapper = next((name for name in WRAPPERS if name in text), None)
        text = text[wrapper] if wrapper else text
        text = text.get("b64") if isinstance(text, dict) else text
    if not isinstance(text, str):
        raise BadRequest(
            f"instance {position} is {_kind(instance)} without base64 text; it has to be {FORMS}", position
        )
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise BadRequest(f"instance {position}: {len(text):,} characters that are not base64", position) from None


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
