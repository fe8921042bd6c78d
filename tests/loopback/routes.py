"""The API's methods by verb and path, with their request messages, as the installed SDK lists them."""

import dataclasses
import functools
import importlib
import re
from collections.abc import Mapping
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.longrunning import operations_pb2
from google.protobuf import json_format

SERVICES = (
    "model_service",
    "endpoint_service",
    "job_service",
    "prediction_service",
    "metadata_service",
    "tensorboard_service",
)
MIXINS = {
    "GetOperation": operations_pb2.GetOperationRequest,
    "ListOperations": operations_pb2.ListOperationsRequest,
}


class BadRequest(ValueError):
    """The API does not accept a request."""


@dataclasses.dataclass(frozen=True)
class Route:
    """A method of the API at an address."""

    rpc: str
    verb: str
    path: re.Pattern[str]
    body: str | None
    message: Any

    def request(self, match: re.Match[str], query: Mapping[str, str], content: Any) -> Any:
        """Return the request message. Raises ``BadRequest`` for a field that the message does not have."""
        values: dict[str, Any] = {}
        for name, value in query.items():
            if not name.startswith("$") and name != "alt":
                values[name] = {"true": True, "false": False}.get(value, value)
        if "updateMask" in values:  # gcloud spells paths as the messages do; the API takes both
            values["updateMask"] = re.sub(r"_([a-z])", lambda letter: letter[1].upper(), values["updateMask"])
        if self.body == "*":
            values.update(content or {})
        elif self.body:
            values[self.body] = content or {}
        try:
            message = json_format.ParseDict(values, self.message())
        except json_format.ParseError as error:
            raise BadRequest(f"Invalid JSON payload received: {error}") from None
        for name, value in match.groupdict().items():
            target = message
            *outer, last = name.split("__")
            for field in outer:
                target = getattr(target, field)
            setattr(target, last, value)
        return message


@functools.cache
def routes() -> list[Route]:
    """Return every method of the services, special verbs (``:deployModel``) before plain ones."""
    all_routes = []
    for service in SERVICES:
        base = importlib.import_module(f"google.cloud.aiplatform_v1.services.{service}.transports.rest_base")
        (transport,) = [
            value for name, value in vars(base).items() if name.startswith("_Base") and name.endswith("RestTransport")
        ]
        for name, method in vars(transport).items():
            rpc = name.removeprefix("_Base")
            message = MIXINS.get(rpc) or getattr(api, rpc + "Request", None)
            if message is None or not hasattr(method, "_get_http_options"):
                continue
            plain = message.pb if hasattr(message, "pb") else message
            for option in method._get_http_options():
                make = (lambda message=message: message.pb(message())) if hasattr(message, "pb") else plain
                all_routes.append(
                    Route(rpc, option["method"].upper(), _pattern(option["uri"]), option.get("body"), make)
                )
    return sorted(all_routes, key=lambda route: ":" not in route.path.pattern.replace("(?:", ""))


def find(verb: str, path: str) -> tuple[Route, re.Match[str]] | None:
    """Return the method at an address, with the match of its path."""
    path = re.sub(r"^/v1beta1/", "/v1/", path)
    return next(
        ((route, match) for route in routes() if route.verb == verb and (match := route.path.fullmatch(path))), None
    )


def _pattern(uri: str) -> re.Pattern[str]:
    """Return the pattern of ``/v1/{endpoint.name=projects/*/locations/*}``, with a group ``endpoint__name``."""

    def to_group(match: re.Match[str]) -> str:
        inner = re.escape(match[2]).replace(r"\*\*", ".+").replace(r"\*", "[^/:]+")
        return f"(?P<{match[1].replace('.', '__')}>{inner})"

    sections = re.split(r"(\{[^}]*\})", uri)
    return re.compile(
        "".join(
            re.sub(r"\{([\w.]+)=([^}]*)\}", to_group, section) if section[:1] == "{" else re.escape(section)
            for section in sections
        )
    )
