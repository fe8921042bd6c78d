"""The contract of ``POST /predict``: msgspec types that validate a request and are its schema in the OpenAPI document.

A key that is not declared here is refused, at every level. Errors name the place, what was received and what would be
right; they never quote a value, which may be an image. Next: ``wire.py`` turns validated requests into images,
``openapi.py`` publishes the types.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from predictor.errors import BadRequest
from trainer.settings.spelling import nearest

Base64 = Annotated[
    str,
    Meta(
        description="an encoded image (PNG, JPEG, TIFF, BMP, GIF or WebP) as base64; the URL-safe alphabet, line "
        "breaks and a leading data:image/...;base64, are accepted",
        extra_json_schema={"format": "byte"},
    ),
]
Embedding = Annotated[list[float], Meta(min_length=1, description="an embedding that this server answered")]


class _Object(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A JSON object whose keys are exactly its fields."""


class Encoded(_Object, frozen=True):
    """An encoded image."""

    b64: Base64


class _Compared(_Object, frozen=True, kw_only=True):
    """What an image is compared with, for models that compare signatures."""

    references: list[Base64 | Encoded] | None = None
    reference_embeddings: list[Embedding] | None = None
    explain: Annotated[bool, Meta(description="as in the parameters, for this instance")] | UnsetType = UNSET


class ImageInstance(_Compared, frozen=True, kw_only=True):
    """An image and what it is compared with."""

    image: Base64 | Encoded


class ImageBytesInstance(_Compared, frozen=True, kw_only=True):
    """The same with the key that TensorFlow's clients use."""

    image_bytes: Base64 | Encoded


class Parameters(_Object, frozen=True):
    """What holds for every instance of a request."""

    far: Annotated[float, Meta(description="decide by this stored false acceptance rate")] | None = None
    return_embedding: Annotated[bool, Meta(description="answer the embedding as well")] = False
    return_ink: Annotated[bool, Meta(description="answer the canonical ink as well, a PNG")] = False
    explain: Annotated[bool, Meta(description="answer a picture of what speaks against the image as well")] = False
    encoder: Annotated[str, Meta(description="what made the embeddings, as it was answered with them")] | None = None
    on_error: Annotated[Literal["fail", "row"], Meta(description="what one bad instance costs")] = "fail"


# The type of an instance is chosen by the first of these keys that it has: msgspec has no unions of several objects.
INSTANCES: dict[str, type[_Object]] = {"image": ImageInstance, "image_bytes": ImageBytesInstance, "b64": Encoded}
REFERENCE = "#/components/schemas/{name}"
_INSTANCE = {
    "oneOf": [
        msgspec.json.schema(Base64),
        *({"$ref": REFERENCE.format(name=kind.__name__)} for kind in INSTANCES.values()),
    ]
}


class PredictRequest(_Object, frozen=True):
    """A request of Vertex AI's prediction contract."""

    instances: list[Annotated[Raw, Meta(extra_json_schema=_INSTANCE)]]
    parameters: Parameters | None = None


# Settings of trainer.task by name; the server chooses where a run is kept. A program cannot be given a null character.
_Setting = Annotated[str, Meta(pattern=r"^(?!(job|model)_dir$)[a-z][a-z_]{0,40}$")]
_Value = Annotated[str, Meta(pattern=r"^[^\x00]*$")]
TrainRequest = dict[_Setting, _Value | int | float | bool | None]

TYPES = (PredictRequest, *INSTANCES.values(), Parameters)
FORMS = '"BASE64", {"b64": "BASE64"}, {"image": {"b64": "BASE64"}} or {"image_bytes": {"b64": "BASE64"}}'
_IMAGE, _FLAG = 'base64 text or {"b64": "BASE64"}', "true or false"
EXPECTED = {  # what is right at a key
    "instances": f"an array of images: {FORMS}",
    "parameters": "an object, or absent",
    "image": _IMAGE,
    "image_bytes": _IMAGE,
    "references": f"an array of images, each {_IMAGE}",
    "references[]": _IMAGE,
    "reference_embeddings": 'an array, each item an "embedding" that this server answered',
    "reference_embeddings[]": 'an array of numbers, an "embedding" that this server answered',
    "reference_embeddings[][]": "a number",
    "b64": "base64 text",
    "far": "a number, such as 0.01",
    "encoder": "the string that came with the embeddings",
    "on_error": '"fail", the whole request for one bad instance, or "row", its own row',
    "return_embedding": _FLAG,
    "return_ink": _FLAG,
    "explain": _FLAG,
}
_WORDS = {"object": "an object", "array": "an array", "str": "a string", "bool": "a boolean", "null": "null"}
_WORDS |= {"int": "a number", "float": "a number"}
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TYPE = re.compile(r"Expected .*, got `(\w+)`", re.DOTALL)
_PATH = re.compile(r"(.*) - at `\$((?:\.\w+|\[\d+\])+)`", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][\w-]{0,30}")  # a key that is quoted in an error
_BYTE = re.compile(r"\(byte (\d+)\)")
_KEYS_OF_AN_INSTANCE = {name for kind in INSTANCES.values() for name in kind.__struct_fields__}

T = TypeVar("T")
_REQUEST, _TEXT = msgspec.json.Decoder(PredictRequest), msgspec.json.Decoder(Base64 | Encoded)
_SETTINGS = (
    'settings of trainer.task, such as {"problem": "same_writer"}: small letters and underscores, with texts (without '
    "null characters), numbers, true or false; job_dir and model_dir are chosen by the server"
)
_KEYS = msgspec.json.Decoder(dict[str, Raw])
_DECODERS: dict[str, msgspec.json.Decoder] = {name: msgspec.json.Decoder(kind) for name, kind in INSTANCES.items()}


def request(body: bytes) -> PredictRequest:
    """A JSON body, validated but for its instances. Raises ``BadRequest``."""
    try:
        return _REQUEST.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(_violation(str(error), PredictRequest, "the body", '{"instances": [...]}')) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f'the body is not JSON{_where(error, body)}; it has to be {{"instances": [...]}}') from None


def instance(raw: Raw, position: int) -> str | Encoded | ImageInstance | ImageBytesInstance:
    """One instance of a request, validated. Raises ``BadRequest`` that names its position."""
    name = f"instance {position}"
    kind: type[_Object] = Encoded
    try:
        if memoryview(raw)[0] != ord("{"):
            return _TEXT.decode(raw)
        keys = _KEYS.decode(raw)
        form = next((key for key in INSTANCES if key in keys), None)
        if form is None:
            raise BadRequest(f"{name} holds no image{_meant(keys)}; it has to be {FORMS}", position)
        kind = INSTANCES[form]
        return _DECODERS[form].decode(raw)
    except msgspec.ValidationError as error:
        raise BadRequest(_violation(str(error), kind, name, FORMS), position) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(f"{name} is not JSON; it has to be {FORMS}", position) from None


def parameters(fields: dict[str, str]) -> Parameters:
    """The parameters as the text fields of a form. Raises ``BadRequest``."""
    try:
        return msgspec.convert(fields, Parameters, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(_violation(str(error), Parameters, "the form", "")) from None


def train(body: bytes) -> dict[str, Any]:
    """Settings of a training. Raises ``BadRequest``."""
    try:
        return train_fields(msgspec.json.decode(body, type=dict[str, Any]))
    except msgspec.ValidationError:
        raise BadRequest(f"the body is no object; it has to hold {_SETTINGS}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON{_where(error, body)}; it has to hold {_SETTINGS}") from None


def train_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Settings of a training as the text fields of a form, or from JSON. Raises ``BadRequest``."""
    for name, value in fields.items():
        try:
            msgspec.convert({name: value}, TrainRequest)
        except msgspec.ValidationError:
            called = repr(name) if NAME.fullmatch(name) else f"of {len(name):,} characters"
            raise BadRequest(f"the setting {called} cannot be taken; the request has to hold {_SETTINGS}") from None
    return fields


def _violation(message: str, kind: type[_Object], root: str, expected: str) -> str:
    """msgspec's message in our words: it quotes values of enumerations, and knows no nearest spelling."""
    path = ""
    if found := _PATH.fullmatch(message):
        message, path = found[1], found[2][1:]
    key = re.sub(r"\[\d+\]", "[]", path).rpartition(".")[2]
    prefix = "" if root == "the body" else f"{root}: "
    place = f'{prefix}"{path}"' if path else root
    if unknown := _UNKNOWN.fullmatch(message):
        inside = kind if not key else Parameters if key == "parameters" else Encoded
        return _refused_key(unknown[1], inside, place)
    if missing := _MISSING.fullmatch(message):
        return f'{prefix}"{path + "." * bool(path) + missing[1]}" is missing; it has to be {EXPECTED[missing[1]]}'
    received = _TYPE.fullmatch(message)
    problem = f"is {_WORDS.get(received[1], received[1])}" if received else "has a value that is not accepted"
    if root == "the form":  # all its fields are strings
        problem = "has a text that cannot be read"
    return f"{place} {problem}; it has to be {EXPECTED.get(key, expected)}"


def _refused_key(name: str, kind: type[_Object], place: str) -> str:
    """A key that may not stand where it stands: a misspelt one would be a question that nobody asked."""
    known = list(kind.__struct_fields__)
    if kind in INSTANCES.values() and name in _KEYS_OF_AN_INSTANCE and '"' not in place:
        form = next(key for key, of in INSTANCES.items() if of is kind)
        right = 'references and parameters of a comparison go with "image"' if form == "b64" else "one image is enough"
        return f'{place} has "{form}" and "{name}", which contradict each other: {right}'
    what = "parameter" if kind is Parameters else "key"
    short = name if NAME.fullmatch(name) else ""
    called = repr(short) if short else f"of {len(name):,} characters"  # it may be an image, sent in the wrong place
    return f"{place}: {what} {called} is unknown{nearest(short, known) or '; there is: ' + ', '.join(known)}"


def _meant(keys: dict[str, Any]) -> str:
    """The nearest key to the first that an instance without an image has."""
    first = next(iter(keys), "")
    return nearest(first, list(INSTANCES)) if NAME.fullmatch(first) else ""


def _where(error: Exception, body: bytes) -> str:
    """The line and column at which JSON ends to be JSON, where that is known."""
    found = _BYTE.search(str(error)) if isinstance(error, msgspec.DecodeError) else None
    if not found:
        early = "truncated" in str(error) and not body.rstrip().endswith(b"}")  # also said of half a surrogate
        return " (it ends too early)" if early else ""
    before = bytes(body[: int(found[1])])
    return f" (line {before.count(10) + 1}, column {len(before) - before.rfind(10)})"
