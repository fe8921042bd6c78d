"""The JSON contract of Vertex AI: bodies to questions, answers to bodies.

Knows the form of a request, not images and not HTTP. Every error names the instance and never quotes what was sent.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pybase64

from predictor.errors import BadRequest, TooLarge
from trainer.flags import nearest

FORMS = '"BASE64", {"b64": "BASE64"}, {"image": {"b64": "BASE64"}} or {"image_bytes": {"b64": "BASE64"}}'
WRAPPERS = ("image", "image_bytes")
REFERENCES, EMBEDDINGS = "references", "reference_embeddings"
KEYS = (*WRAPPERS, "b64", REFERENCES, EMBEDDINGS, "explain")
PARAMETERS = ("far", "return_embedding", "return_ink", "explain", "encoder", "on_error")
ON_ERROR = ("fail", "row")


@dataclasses.dataclass(frozen=True)
class Instance:
    """One question: an encoded image and what it is compared with, encoded images and vectors ``float32 [n, D]``."""

    image: bytes
    references: tuple[bytes, ...] = ()
    embeddings: np.ndarray | None = None
    explain: bool = False


@dataclasses.dataclass(frozen=True)
class Request:
    """A body, checked. The other fields hold for every instance and are named as in the contract's ``parameters``.

    An instance that broke the contract is its error where errors go by row; else it fails the request.
    """

    instances: list[Instance | BadRequest]
    far: float | None = None
    return_embedding: bool = False
    return_ink: bool = False
    encoder: str | None = None
    by_row: bool = False


def parse(body: bytes | bytearray, max_instances: int) -> Request:
    """A JSON body to its questions, in order. ``max_instances`` counts references, too.

    Raises ``BadRequest`` or ``TooLarge``.
    """
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
    if len(instances) > max_instances:  # before anything else looks at them
        raise TooLarge(f"the request has {len(instances)} instances; at most {max_instances} are accepted")
    counted = len(instances) + sum(len(_list(of, name)) for of in instances for name in (REFERENCES, EMBEDDINGS))
    if counted > max_instances:
        raise TooLarge(f"the request has {counted} images and embeddings; at most {max_instances} are accepted")
    parameters = content.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise BadRequest(f'"parameters" is {_kind(parameters)}; it has to be an object, or absent')
    parameters = parameters or {}
    asked = with_parameters(parameters)
    explain = flag(parameters, "explain")
    asked.instances.extend(_instances(instances, explain, asked.by_row))
    return asked


def with_parameters(parameters: dict[str, Any]) -> Request:
    """A request without instances yet, from the contract's ``parameters``. Raises ``BadRequest``."""
    _check_names(parameters, PARAMETERS, "parameter")
    encoder, on_error = parameters.get("encoder"), parameters.get("on_error", ON_ERROR[0])
    if encoder is not None and not isinstance(encoder, str):
        raise BadRequest(f'"encoder" is {_kind(encoder)}; it has to be the string that came with the embeddings')
    if on_error not in ON_ERROR:
        raise BadRequest('"on_error" has to be "fail", the whole request for one bad instance, or "row", its own row')
    return Request(
        [],
        _rate(parameters),
        flag(parameters, "return_embedding"),
        flag(parameters, "return_ink"),
        encoder,
        on_error == "row",
    )


def _instances(instances: list, explain: bool, by_row: bool) -> Iterator[Instance | BadRequest]:
    for position, instance in enumerate(instances):
        try:
            yield _instance(instance, position, explain)
        except BadRequest as error:
            if not by_row:
                raise
            yield error


def predictions(answers: list[dict[str, Any]]) -> bytes:
    """The response body, one prediction for each instance in the same order."""
    return orjson.dumps({"predictions": answers}, option=orjson.OPT_SERIALIZE_NUMPY)


def error(code: str, message: str, instance: int | None = None, id: str | None = None) -> bytes:
    """The body of every refusal."""
    return orjson.dumps(describe(code, message, instance, id))


def describe(code: str, message: str, instance: int | None = None, id: str | None = None) -> dict[str, Any]:
    """A refusal, or the row of an instance that had an error."""
    content = {"code": code, "message": message, "instance": instance, "id": id}
    return {"error": {name: value for name, value in content.items() if value is not None}}


def request(
    images: Sequence[bytes],
    references: Sequence[bytes] = (),
    embeddings: np.ndarray | None = None,
    **parameters: Any,
) -> str:
    """The body that asks about these images, each compared with the same references, as text."""
    compared: dict[str, Any] = {}
    if references:
        compared[REFERENCES] = [_encoded(image) for image in references]
    if embeddings is not None:
        compared[EMBEDDINGS] = embeddings.tolist()
    body: dict[str, Any] = {"instances": [{"image": _encoded(image), **compared} for image in images]}
    return json.dumps({**body, "parameters": parameters} if parameters else body)


def _encoded(image: bytes) -> dict[str, str]:
    return {"b64": pybase64.b64encode(image).decode()}


def _instance(instance: Any, position: int, explain: bool) -> Instance:
    image = _image(instance, position, f"instance {position}")
    if not isinstance(instance, dict):
        return Instance(image, explain=explain)
    if not set(instance) <= {"b64"}:
        _check_names(instance, KEYS, f"instance {position}: key", position)
    references = tuple(
        _image(reference, position, f"instance {position}, reference {number}")
        for number, reference in enumerate(_list(instance, REFERENCES, position))
    )
    explain = flag(instance, "explain", position) if "explain" in instance else explain
    return Instance(image, references, _embeddings(instance, position), explain)


def _image(given: Any, position: int, named: str) -> bytes:
    text = given
    if isinstance(text, dict):
        wrapper = next((name for name in WRAPPERS if name in text), None)
        text = text[wrapper] if wrapper else text
        text = text.get("b64") if isinstance(text, dict) else text
    if not isinstance(text, str):
        raise BadRequest(f"{named} is {_kind(given)} without base64 text; it has to be {FORMS}", position)
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise BadRequest(f"{named}: {len(text):,} characters that are not base64", position) from None


def _embeddings(instance: dict, position: int) -> np.ndarray | None:
    """Stored vectors as ``float32 [n, D]``; what D has to be, the model knows."""
    rows = _list(instance, EMBEDDINGS, position)
    if not rows:
        return None
    for number, row in enumerate(rows):
        numbers = isinstance(row, list) and all(type(value) in (int, float) for value in row)
        if not numbers or len(row) != len(rows[0]):
            raise BadRequest(
                f'instance {position}: "{EMBEDDINGS}"[{number}] has to be an array of numbers as long as the '
                'others: an "embedding" that this server answered',
                position,
            )
    vectors = np.array(rows, np.float64).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise BadRequest(f'instance {position}: "{EMBEDDINGS}" hold a number that is too large', position)
    return vectors


def _list(instance: Any, name: str, position: int | None = None) -> list:
    found = instance.get(name) if isinstance(instance, dict) else None
    if found is None:
        return []
    if not isinstance(found, list):
        if position is None:
            return []  # said when its turn comes
        raise BadRequest(f'instance {position}: "{name}" is {_kind(found)}; it has to be an array', position)
    return found


def _check_names(given: dict, known: tuple[str, ...], called: str, position: int | None = None) -> None:
    """A misspelt key would be a question that nobody asked."""
    for name in given:
        if name not in known:
            short = name[:40]  # it may be an image, sent in the wrong place
            raise BadRequest(f"{called} {short!r} is unknown{nearest(short, list(known))}", position)


def flag(values: dict, name: str, position: int | None = None) -> bool:
    """A boolean that may be absent. Raises ``BadRequest``."""
    found = values.get(name, False)
    if not isinstance(found, bool):
        raise BadRequest(f'"{name}" is {_kind(found)}; it has to be true or false', position)
    return found


def _rate(parameters: dict) -> float | None:
    found = parameters.get("far")
    if found is not None and type(found) not in (int, float):
        raise BadRequest(f'"far" is {_kind(found)}; it has to be a number, such as 0.01')
    return found


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
