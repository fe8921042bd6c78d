"""Error messages of the contract, made from msgspec's: the location, what was received and what would be right.

A message never quotes a value, which may be an image; it quotes a key only if the key has the form of a name. Next:
``schema.py``, which declares the types.
"""

import dataclasses
import re
from collections.abc import Mapping

import msgspec

from trainer.settings.spelling import suggest_nearest

INSTANCE_FORMS = '"BASE64", {"b64": "BASE64"}, {"image": {"b64": "BASE64"}} or {"image_bytes": {"b64": "BASE64"}}'
_IMAGE, _FLAG = 'base64 text or {"b64": "BASE64"}', "true or false"
EXPECTED_VALUES = {  # by key
    "instances": f"an array of images: {INSTANCE_FORMS}",
    "parameters": "an object, or absent",
    "image": _IMAGE,
    "image_bytes": _IMAGE,
    "references": f"an array of images, each {_IMAGE}",
    "references[]": _IMAGE,
    "reference_embeddings": 'an array, each item an "embedding" from an answer of this server',
    "reference_embeddings[]": 'an array of numbers, an "embedding" from an answer of this server',
    "reference_embeddings[][]": "a number",
    "b64": "base64 text",
    "far": "a number, such as 0.01",
    "threshold": "a score above 0 and below 1, such as 0.9",
    "writer": "the name of a writer on file",
    "identify": _FLAG,
    "fpir": "a rate above 0 and below 1, such as 0.01",
    "candidates": "a number from 1 to 20",
    "encoder": "the string from the answer that contained the embeddings",
    "on_error": '"fail", the whole request for one bad instance, or "row", its own row',
    "return_embedding": _FLAG,
    "return_ink": _FLAG,
    "explain": _FLAG,
}
_TYPE_NAMES = {"object": "an object", "array": "an array", "str": "a string", "bool": "a boolean", "null": "null"}
_TYPE_NAMES |= {"int": "a number", "float": "a number"}
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TYPE = re.compile(r"Expected .*, got `(\w+)`", re.DOTALL)
_PATH = re.compile(r"(.*) - at `\$((?:\.\w+|\[\d+\])+)`", re.DOTALL)
_KEY = re.compile(r"[A-Za-z_][\w-]{0,30}")
_BYTE = re.compile(r"\(byte (\d+)\)")


@dataclasses.dataclass(frozen=True)
class ViolationMessages:
    """The types of a contract that the messages have to know, as a description of one error of msgspec's needs them."""

    parameters: type[msgspec.Struct]
    image: type[msgspec.Struct]
    instances: Mapping[str, type[msgspec.Struct]]

    def describe(self, message: str, struct: type[msgspec.Struct], root: str, expected: str) -> str:
        """Rewrite a message of msgspec, which would quote values of enumerations and suggests no spelling.

        ``struct`` is the validated type, ``root`` names what was validated, ``expected`` is for a fault of the root.
        """
        path = ""
        if match := _PATH.fullmatch(message):
            message, path = match[1], match[2][1:]
        key = re.sub(r"\[\d+\]", "[]", path).rpartition(".")[2]
        prefix = "" if root == "the body" else f"{root}: "
        location = f'{prefix}"{path}"' if path else root
        if unknown := _UNKNOWN.fullmatch(message):
            parent = struct if not key else self.parameters if key == "parameters" else self.image
            return self._describe_unknown_key(unknown[1], parent, location)
        if missing := _MISSING.fullmatch(message):
            name = missing[1]
            return f'{prefix}"{path + "." * bool(path) + name}" is missing; it has to be {EXPECTED_VALUES[name]}'
        received = _TYPE.fullmatch(message)
        fault = f"is {_TYPE_NAMES.get(received[1], received[1])}" if received else "has a value that is not accepted"
        if root == "the form":  # whose fields are all strings
            fault = "has a text that cannot be read"
        return f"{location} {fault}; it has to be {EXPECTED_VALUES.get(key, expected)}"

    def _describe_unknown_key(self, name: str, struct: type[msgspec.Struct], location: str) -> str:
        """Describe a key that ``struct`` does not declare: it contradicts another key, or is misspelt."""
        known = list(struct.__struct_fields__)
        instance_keys = {key for instance in self.instances.values() for key in instance.__struct_fields__}
        if struct in self.instances.values() and name in instance_keys and '"' not in location:
            image_key = next(key for key, instance in self.instances.items() if instance is struct)
            reason = (
                'references and parameters of a comparison go with "image"'
                if image_key == "b64"
                else "one image is enough"
            )
            return f'{location} has "{image_key}" and "{name}", which contradict each other: {reason}'
        role = "parameter" if struct is self.parameters else "key"
        hint = suggest_key(name, known) or "; known keys: " + ", ".join(known)
        return f"{location}: {role} {quote_key(name)} is unknown{hint}"


def quote_key(name: str) -> str:
    """Quote a key for a message, or give its length alone: it may be an image in the wrong place."""
    return repr(name) if _KEY.fullmatch(name) else f"of {len(name):,} characters"


def suggest_key(name: str, known: list[str]) -> str:
    """Suggest a similar key: ``, did you mean 'x'?``, or nothing."""
    return suggest_nearest(name if _KEY.fullmatch(name) else "", known)


def locate_syntax_error(error: Exception, body: bytes) -> str:
    """Return the line and column of a syntax error of JSON, or nothing where they are unknown."""
    match = _BYTE.search(str(error)) if isinstance(error, msgspec.DecodeError) else None
    if not match:
        is_cut_short = "truncated" in str(error) and not body.rstrip().endswith(
            b"}"
        )  # msgspec also writes it of half a surrogate
        return " (it ends too early)" if is_cut_short else ""
    before = bytes(body[: int(match[1])])
    return f" (line {before.count(10) + 1}, column {len(before) - before.rfind(10)})"
