"""Bodies to questions and answers to bodies: base64, byte order marks, limits of count.

Knows neither images nor HTTP. Every error names the instance and never quotes what was sent. Next: ``schema.py``, which
validates the JSON.
"""

import array
import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
import pybase64
from msgspec import UNSET

from predictor import schema
from predictor.errors import BadRequest, TooLarge

BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # mark: what is decoded
DATA_URL = re.compile(rb"data:[^,]*;base64,", re.IGNORECASE)
HEAD = 200  # bytes in which a data URL's own head has to end
STANDARD_ALPHABET, WHITE_SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\r\n"


@dataclasses.dataclass(frozen=True)
class Instance:
    """One question: an encoded image and what it is compared with, encoded images and vectors ``float32 [D]``."""

    image: bytes
    references: tuple[bytes, ...] = ()
    embeddings: tuple[np.ndarray, ...] = ()
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
    content = schema.request(_utf8(body))
    if len(content.instances) > max_instances:  # before anything else looks at them
        raise TooLarge(f"the request has {len(content.instances)} instances; at most {max_instances} are accepted")
    parameters = content.parameters or schema.Parameters()
    asked = with_parameters(parameters)
    room = max_instances - len(content.instances)
    for position, raw in enumerate(content.instances):
        try:
            instance = _instance(schema.instance(raw, position), position, parameters.explain)
        except BadRequest as error:
            if not asked.by_row:
                raise
            # A new one: this one's frames hold the request, and the request would hold it.
            asked.instances.append(BadRequest(str(error), position))
            continue
        room -= len(instance.references) + len(instance.embeddings)
        if room < 0:
            raise TooLarge(f"the request has more than the accepted {max_instances} images and embeddings")
        asked.instances.append(instance)
    return asked


def with_parameters(parameters: schema.Parameters) -> Request:
    """A request without instances yet."""
    return Request(
        [],
        parameters.far,
        parameters.return_embedding,
        parameters.return_ink,
        parameters.encoder,
        parameters.on_error == "row",
    )


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
        compared["references"] = [_encoded(image) for image in references]
    if embeddings is not None:
        compared["reference_embeddings"] = embeddings.tolist()
    body: dict[str, Any] = {"instances": [{"image": _encoded(image), **compared} for image in images]}
    return json.dumps({**body, "parameters": parameters} if parameters else body)


def _encoded(image: bytes) -> dict[str, str]:
    return {"b64": pybase64.b64encode(image).decode()}


def _utf8(body: bytes | bytearray) -> bytes:
    """A body without the byte order mark that some editors and shells write before the JSON."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if body.startswith(mark):
            try:
                return body.decode(encoding).encode() if encoding else bytes(body[len(mark) :])
            except UnicodeError:
                raise BadRequest("the body is neither UTF-8 nor UTF-16; it has to be JSON in UTF-8") from None
    return bytes(body)  # msgspec's parts of a bytearray would keep it from being cleared


def _instance(instance: Any, position: int, explain: bool) -> Instance:
    if not isinstance(instance, schema.ImageInstance | schema.ImageBytesInstance):
        return Instance(_image(instance, position, f"instance {position}"), explain=explain)
    image = instance.image if isinstance(instance, schema.ImageInstance) else instance.image_bytes
    references = tuple(
        _image(reference, position, f"instance {position}, reference {number}")
        for number, reference in enumerate(instance.references or ())
    )
    explain = explain if instance.explain is UNSET else instance.explain
    embeddings = tuple(_vectors(instance.reference_embeddings or ()))
    return Instance(_image(image, position, f"instance {position}"), references, embeddings, explain)


def _image(encoded: str | schema.Encoded, position: int, named: str) -> bytes:
    text = encoded if isinstance(encoded, str) else encoded.b64
    try:
        return decoded(text)
    except ValueError:
        raise BadRequest(f"{named}: {len(text):,} characters that are not base64", position) from None


def decoded(text: str) -> bytes:
    """Base64 as people's tools write it: wrapped lines, the URL-safe alphabet, no padding, a ``data:`` URL.

    RFC 4648, sections 3.1, 3.2 and 5; RFC 2397. Raises ``ValueError``.
    """
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        encoded = text.encode("ascii")
        if found := DATA_URL.match(encoded[:HEAD]):
            encoded = encoded[found.end() :]
        encoded = encoded.translate(STANDARD_ALPHABET, WHITE_SPACE)
        return pybase64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)


def _vectors(rows: Iterable[list[float]]) -> Iterable[np.ndarray]:
    """Stored embeddings as ``float32 [D]`` each; the model knows what D and their length have to be."""
    with np.errstate(over="ignore"):  # becomes infinite, whose length is not 1
        for row in rows:
            yield np.array(array.array("d", row), np.float32)  # from a list itself it takes twice as long
