"""The API's methods as the installed SDK lists them: verb and path to a method and its request message."""

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
    "model_service", "endpoint_service", "job_service", "prediction_service", "metadata_service", "tensorboard_service",
)  # fmt: skip
MIXINS = {
    "GetOperation": operations_pb2.GetOperationRequest,
    "ListOperations": operations_pb2.ListOperationsRequest,
}


class BadRequest(ValueError):
    """The API does not take this."""


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of the API at one address."""

    rpc: str
    verb: str
    path: re.Pattern[str]
    body: str | None
    message: Any

    def request(self, found: re.Match[str], query: Mapping[str, str], content: Any) -> Any:
        """The request message. Raises ``BadRequest`` for what the message does not have."""
        values: dict[str, Any] = {}
        for name, value in query.items():
            if not name.startswith("$") and name != "alt":
                values[name] = {"true": True, "false": False}.get(value, value)
        if "updateMask" in values:  # gcloud spells paths as the messages do; the API takes both
            values["updateMask"] = re.sub(r"_([a-z])", lambda found: found[1].upper(), values["updateMask"])
        if self.body == "*":
            values.update(content or {})
        elif self.body:
            values[self.body] = content or {}
        try:
            message = json_format.ParseDict(values, self.message())
        except json_format.ParseError as error:
            raise BadRequest(f"Invalid JSON payload received: {error}") from None
        for name, value in found.groupdict().items():
            at = message
            *outer, last = name.split("__")
            for step in outer:
                at = getattr(at, step)
            setattr(at, last, value)
        return message


@functools.cache
def routes() -> list[Route]:
    """Every method of the services, special verbs (``:deployModel``) before plain ones."""
    found = []
    for service in SERVICES:
        base = importlib.import_module(f"google.cloud.aiplatform_v1.services.{service}.transports.rest_base")
        (transport,) = [
            of for name, of in vars(base).items() if name.startswith("_Base") and name.endswith("RestTransport")
        ]
        for name, method in vars(transport).items():
            rpc = name.removeprefix("_Base")
            message = MIXINS.get(rpc) or getattr(api, rpc + "Request", None)
            if message is None or not hasattr(method, "_get_http_options"):
                continue
            plain = message.pb if hasattr(message, "pb") else message
            for option in method._get_http_options():
                make = (lambda of=message: of.pb(of())) if hasattr(message, "pb") else plain
                found.append(Route(rpc, option["method"].upper(), _pattern(option["uri"]), option.get("body"), make))
    return sorted(found, key=lambda route: ":" not in route.path.pattern.replace("(?:", ""))


def find(verb: str, path: str) -> tuple[Route, re.Match[str]] | None:
    """The method at an address."""
    path = re.sub(r"^/v1beta1/", "/v1/", path)
    return next(((r, m) for r in routes() if r.verb == verb and (m := r.path.fullmatch(path))), None)


def _pattern(uri: str) -> re.Pattern[str]:
    """``/v1/{endpoint.name=projects/*/locations/*}`` to a pattern with the group ``endpoint__name``."""

    def group(found: re.Match[str]) -> str:
        inner = re.escape(found[2]).replace(r"\*\*", ".+").replace(r"\*", "[^/:]+")
        return f"(?P<{found[1].replace('.', '__')}>{inner})"

    parts = re.split(r"(\{[^}]*\})", uri)
    return re.compile(
        "".join(re.sub(r"\{([\w.]+)=([^}]*)\}", group, p) if p[:1] == "{" else re.escape(p) for p in parts)
    )
