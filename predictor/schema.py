"""The contract of ``POST /predict``: msgspec types that validate a request and are its schema in the OpenAPI document.

Parses JSON, the files and fields of a form, or a bare image into a ``ParsedRequest``. A key that no type declares is
refused, at every level. Independent of images and HTTP. Next: ``service.py`` answers the request, ``violations.py``
writes the error messages, ``openapi.py`` publishes the types.
"""

import array
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, UnsetType

from predictor.errors import BadRequest, TooLarge
from predictor.text_encodings import decode_base64, to_utf8
from predictor.violations import INSTANCE_FORMS, ViolationMessages, locate_syntax_error, suggest_key

Base64 = Annotated[
    str,
    Meta(
        description="an encoded image (PNG, JPEG, TIFF, BMP, GIF or WebP), or a PDF, as base64; the URL-safe alphabet, "
        "line breaks and a leading data:image/...;base64, are accepted",
        extra_json_schema={"format": "byte"},
    ),
]
Embedding = Annotated[list[float], Meta(min_length=1, description="an embedding from an answer of this server")]


class _Object(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A JSON object whose keys are exactly its fields."""


class Base64Image(_Object, frozen=True):
    """An image file as base64."""

    b64: Base64


class _Comparison(_Object, frozen=True, kw_only=True):
    """What an image is compared with, by models that compare signatures."""

    references: list[Base64 | Base64Image] | None = None
    reference_embeddings: list[Embedding] | None = None
    writer: Annotated[str, Meta(description="compare with the references of this writer on file")] | None = None
    identify: Annotated[bool, Meta(description="search the writer among all on file")] = False
    explain: Annotated[bool, Meta(description="as in the parameters, for this instance")] | UnsetType = UNSET


class ImageInstance(_Comparison, frozen=True, kw_only=True):
    """An image and its references."""

    image: Base64 | Base64Image


class ImageBytesInstance(_Comparison, frozen=True, kw_only=True):
    """An image and its references, with the key that TensorFlow's clients use."""

    image_bytes: Base64 | Base64Image


class Parameters(_Object, frozen=True):
    """Parameters of all instances of a request."""

    far: Annotated[float, Meta(description="decide by this false acceptance rate, such as 0.01")] | None = None
    threshold: (
        Annotated[float, Meta(gt=0, lt=1, description="accept from this score upwards, instead of far")] | None
    ) = None
    fpir: (
        Annotated[float, Meta(gt=0, lt=1, description="identify at most this rate of signatures of strangers")] | None
    ) = None
    candidates: Annotated[int, Meta(ge=1, le=20, description="writers on file to return, nearest first")] | None = None
    return_embedding: Annotated[
        bool, Meta(description="return the embedding, too; without references a verifier returns it alone")
    ] = False
    return_ink: Annotated[bool, Meta(description="return the canonical image, too, as a PNG")] = False
    explain: Annotated[bool, Meta(description="return a picture of what lowers the score, too")] = False
    task: (
        Annotated[
            Literal["find", "classify", "verify"],
            Meta(description="find signatures on pages, classify an image, or compare it with references as it is"),
        ]
        | None
    ) = None
    crops: Annotated[bool, Meta(description="return the signatures that are found, as transparent PNGs, too")] = False
    return_pages: Annotated[bool, Meta(description="return pictures of the pages (JPEG), too")] = False
    encoder: (
        Annotated[str, Meta(description="the encoder of the embeddings, from the answer that contained them")] | None
    ) = None
    on_error: Annotated[
        Literal["fail", "row"], Meta(description="whether one bad instance fails the request, or only its own row")
    ] = "fail"


# The first of these keys that an instance has chooses its type: msgspec has no unions of several objects.
INSTANCE_TYPES: dict[str, type[_Object]] = {
    "image": ImageInstance,
    "image_bytes": ImageBytesInstance,
    "b64": Base64Image,
}
REF_TEMPLATE = "#/components/schemas/{name}"
_INSTANCE = {
    "oneOf": [
        msgspec.json.schema(Base64),
        *({"$ref": REF_TEMPLATE.format(name=struct.__name__)} for struct in INSTANCE_TYPES.values()),
    ]
}


class PredictRequest(_Object, frozen=True):
    """A request of Vertex AI's prediction contract."""

    instances: list[Annotated[Raw, Meta(extra_json_schema=_INSTANCE)]]
    parameters: Parameters | None = None


COMPONENT_TYPES = (PredictRequest, *INSTANCE_TYPES.values(), Parameters)
IMAGE_FIELDS, REFERENCE_FIELDS = ("image", "file"), ("references", "reference")  # of a form; two names each
WRITER_FIELDS = ("writer", "identify")  # of a form, for all its images

_MESSAGES = ViolationMessages(Parameters, Base64Image, INSTANCE_TYPES)
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_REQUEST, _TEXT = msgspec.json.Decoder(PredictRequest), msgspec.json.Decoder(Base64 | Base64Image)
_KEYS = msgspec.json.Decoder(dict[str, Raw])
_DECODERS: dict[str, msgspec.json.Decoder] = {
    key: msgspec.json.Decoder(struct) for key, struct in INSTANCE_TYPES.items()
}


@dataclasses.dataclass(frozen=True)
class Instance:
    """An image file and its references: image files and embeddings ``float32 [D]``, or a ``writer`` on file.

    With ``identify``, the writer is searched among all on file.
    """

    image: bytes
    references: tuple[bytes, ...] = ()
    embeddings: tuple[np.ndarray, ...] = ()
    writer: str | None = None
    identify: bool = False
    explain: bool = False

    @property
    def is_compared(self) -> bool:
        """Whether it says what the image is compared with."""
        return bool(self.references or self.embeddings or self.identify) or self.writer is not None


@dataclasses.dataclass(frozen=True)
class ParsedRequest:
    """A validated request. With ``on_error="row"``, an instance that violates the contract is replaced by its error."""

    instances: list[Instance | BadRequest]
    parameters: Parameters


def parse_json(body: bytes | bytearray, max_instances: int) -> ParsedRequest:
    """Parse a JSON body of at most ``max_instances`` images and embeddings. Raises ``BadRequest`` or ``TooLarge``."""
    content = decode_request(to_utf8(body))
    if len(content.instances) > max_instances:  # before any of them is decoded
        raise TooLarge(f"the request has {len(content.instances)} instances; at most {max_instances} are accepted")
    request = ParsedRequest([], _check_threshold(content.parameters or Parameters()))
    remaining = max_instances - len(content.instances)
    for position, raw in enumerate(content.instances):
        try:
            instance = _to_instance(decode_instance(raw, position), position, request.parameters.explain)
        except BadRequest as error:
            if request.parameters.on_error != "row":
                raise
            # A new error: the frames of this one refer to the request, and the request would refer to it.
            request.instances.append(BadRequest(str(error), position))
            continue
        remaining -= len(instance.references) + len(instance.embeddings)
        if remaining < 0:
            raise TooLarge(f"the request has more than the accepted {max_instances} images and embeddings")
        request.instances.append(instance)
    return request


def from_image(data: bytes) -> ParsedRequest:
    """Make the request of a bare image."""
    return ParsedRequest([Instance(data)], Parameters())


def from_form(files: Mapping[str, Sequence[bytes]], fields: Mapping[str, str]) -> ParsedRequest:
    """Parse a form, in which each image is compared with all references. Raises ``BadRequest``."""
    of_instances = {name: fields[name] for name in WRITER_FIELDS if name in fields}
    parameters = convert_parameters({name: text for name, text in fields.items() if name not in of_instances})
    images, references = (
        [data for name in names for data in files[name]] for names in (IMAGE_FIELDS, REFERENCE_FIELDS)
    )
    if not images:
        raise BadRequest('the form has no file named "image"')
    writer, identify = of_instances.get("writer"), _convert_flag(of_instances.get("identify"))
    _check_comparison(bool(references), writer, identify, "the form")
    instances = [Instance(image, tuple(references), (), writer, identify, parameters.explain) for image in images]
    return ParsedRequest([*instances], parameters)


def decode_request(body: bytes) -> PredictRequest:
    """Validate a JSON body except its instances. Raises ``BadRequest``."""
    try:
        return _REQUEST.decode(body)
    except msgspec.ValidationError as error:
        message = _MESSAGES.describe(str(error), PredictRequest, "the body", '{"instances": [...]}')
        raise BadRequest(message) from None
    except _NOT_JSON as error:
        location = locate_syntax_error(error, body)
        raise BadRequest(f'the body is not JSON{location}; it has to be {{"instances": [...]}}') from None


def decode_instance(raw: Raw, position: int) -> str | Base64Image | ImageInstance | ImageBytesInstance:
    """Validate one instance of a request. Raises ``BadRequest`` with its position."""
    name = f"instance {position}"
    struct: type[_Object] = Base64Image
    try:
        if memoryview(raw)[0] != ord("{"):
            return _TEXT.decode(raw)
        keys = _KEYS.decode(raw)
        image_key = next((key for key in INSTANCE_TYPES if key in keys), None)
        if image_key is None:
            hint = suggest_key(next(iter(keys), ""), list(INSTANCE_TYPES))
            raise BadRequest(f"{name} holds no image{hint}; it has to be {INSTANCE_FORMS}", position)
        struct = INSTANCE_TYPES[image_key]
        return _DECODERS[image_key].decode(raw)
    except msgspec.ValidationError as error:
        raise BadRequest(_MESSAGES.describe(str(error), struct, name, INSTANCE_FORMS), position) from None
    except _NOT_JSON:
        raise BadRequest(f"{name} is not JSON; it has to be {INSTANCE_FORMS}", position) from None


def convert_parameters(fields: Mapping[str, str]) -> Parameters:
    """Validate the parameters in the text fields of a form. Raises ``BadRequest``."""
    try:
        return _check_threshold(msgspec.convert(fields, Parameters, strict=False))
    except msgspec.ValidationError as error:
        raise BadRequest(_MESSAGES.describe(str(error), Parameters, "the form", "")) from None


def _convert_flag(text: str | None) -> bool:
    """Read a flag of a form. Raises ``BadRequest``."""
    try:
        return msgspec.convert(text or "false", bool, strict=False)
    except msgspec.ValidationError:
        raise BadRequest('the form: "identify" has to be true or false') from None


def _check_comparison(has_references: bool, writer: str | None, identify: bool, name: str) -> None:
    """Raise ``BadRequest`` for an instance, or a form, that says in two ways what it is compared with."""
    forms = {"references": has_references, '"writer"': writer is not None, '"identify"': identify}
    if len(names := [form for form, is_used in forms.items() if is_used]) > 1:
        raise BadRequest(f"{name}: {' and '.join(names)} contradict each other: give one of them")


def _check_threshold(parameters: Parameters) -> Parameters:
    """Return the parameters. Raises ``BadRequest`` for a threshold beside a rate."""
    if parameters.threshold is not None and parameters.far is not None:
        raise BadRequest('"far" and "threshold" contradict each other: both select the threshold; give one of them')
    return parameters


def _to_instance(
    instance: str | Base64Image | ImageInstance | ImageBytesInstance, position: int, explain: bool
) -> Instance:
    name = f"instance {position}"
    if not isinstance(instance, ImageInstance | ImageBytesInstance):
        return Instance(_to_bytes(instance, position, name), explain=explain)
    image = instance.image if isinstance(instance, ImageInstance) else instance.image_bytes
    references = tuple(
        _to_bytes(reference, position, f"{name}, reference {number}")
        for number, reference in enumerate(instance.references or ())
    )
    explain = explain if instance.explain is UNSET else instance.explain
    embeddings = tuple(_to_vectors(instance.reference_embeddings or ()))
    try:
        _check_comparison(bool(references or embeddings), instance.writer, instance.identify, name)
    except BadRequest as error:
        raise BadRequest(str(error), position) from None
    writer, identify = instance.writer, instance.identify
    return Instance(_to_bytes(image, position, name), references, embeddings, writer, identify, explain)


def _to_bytes(image: str | Base64Image, position: int, name: str) -> bytes:
    text = image if isinstance(image, str) else image.b64
    try:
        return decode_base64(text)
    except ValueError:
        raise BadRequest(f"{name}: {len(text):,} characters that are not base64", position) from None


def _to_vectors(rows: Iterable[list[float]]) -> Iterable[np.ndarray]:
    """Convert stored embeddings to ``float32 [D]`` each; the model checks D and their length."""
    with np.errstate(over="ignore"):  # an overflow becomes infinite, and its length is not 1
        for row in rows:
            yield np.array(array.array("d", row), np.float32)  # from the list itself it takes twice as long
