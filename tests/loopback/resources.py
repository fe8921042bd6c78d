"""The base of all methods of a loopback Vertex AI: resources by name, and operations that advance with each poll.

Resources are the API's own proto messages, open to inspection. Next: ``registry.py``, ``endpoints.py`` and ``jobs.py``
hold the rules, ``world.py`` puts them together.
"""

import re
import threading
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty

LABEL = re.compile(r"[a-z0-9_-]{0,63}")
PAGE_SIZE = 2  # small, so that tests need several pages


class Refused(Exception):
    """The API answers with an error."""

    def __init__(self, code: int, status: str, message: str):
        super().__init__(message)
        self.code, self.status = code, status


def invalid(message: str) -> Refused:
    """Return the error for a request that breaks a rule."""
    return Refused(400, "FAILED_PRECONDITION" if "traffic" in message else "INVALID_ARGUMENT", message)


class Resources:
    """The resources of a project. ``machines`` runs jobs and answers predictions; without it, jobs stay pending."""

    def __init__(self, machines: Any = None):
        self.machines = machines
        self.resources: dict[str, Any] = {}  # proto messages by name
        self.models: dict[str, list[Any]] = {}  # versions by model name, oldest first; a deleted one is None
        self.operations: dict[str, dict[str, Any]] = {}
        self.points: list[tuple[str, int, float]] = []  # of TensorBoard curves: series, step, value
        self.calls: list[str] = []  # the methods called, in order
        self.logs: list[dict[str, Any]] = []
        self.polls_until_done = 0  # polls of an operation before it is done
        self.lock = threading.RLock()
        self._count = 1000

    def _operation(self, resource: str, work: Callable[[], Any]) -> dict[str, Any]:
        name = f"{resource}/operations/{self._number()}"
        self.operations[name] = {"polls_left": self.polls_until_done, "work": work, "fails": self._fails}
        return self._poll(name)

    def _poll(self, name: str) -> dict[str, Any]:
        operation = self.operations[name]
        if "result" not in operation and operation["polls_left"] <= 0:
            operation["result"] = self._finish(operation)
        operation["polls_left"] -= 1
        return {"name": name, **operation.get("result", {"done": False})}

    def _finish(self, operation: dict[str, Any]) -> dict[str, Any]:
        try:
            if operation["fails"]:
                raise Refused(13, "INTERNAL", "Model server never became ready. Please validate the container.")
            response = operation["work"]()
        except Refused as error:
            return {"done": True, "error": {"code": 6 if error.code == 409 else 13, "message": str(error)}}
        pb = type(response).pb(response) if hasattr(type(response), "pb") else response
        typed = {"@type": f"type.googleapis.com/{pb.DESCRIPTOR.full_name}"}
        return {"done": True, "response": {**typed, **json_format.MessageToDict(pb)}}

    def _get_operation(self, request):
        if request.name not in self.operations:
            raise Refused(404, "NOT_FOUND", f"{request.name} is not found.")
        return self._poll(request.name)

    def _list_operations(self, request):
        names = [name for name in self.operations if name.startswith(request.name + "/operations/")]
        first = int(request.page_token or 0)
        page = [self._poll(name) for name in names[first : first + PAGE_SIZE]]
        return {"operations": page, "nextPageToken": str(first + PAGE_SIZE) if len(names) > first + PAGE_SIZE else ""}

    def _call_generic(self, rpc: str, request: Any, path: str) -> Any:
        """Create, get, list or update a resource that has no rules."""
        verb, kind = re.fullmatch(r"(Create|Get|List|Update|Delete)?(.*)", rpc).groups()
        field = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
        if verb == "Create":
            id = getattr(request, f"{field}_id", "") or str(self._number())
            name = f"{request.parent}/{path.rpartition('/')[2]}/{id}"
            if name in self.resources:
                raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
            resource = self._store(name, getattr(request, field))
            is_operation = kind in ("MetadataStore", "Tensorboard")
            return self._operation(name, lambda: resource) if is_operation else resource
        if verb == "Get":
            return self._get(request.name)
        if verb == "List":
            pattern = re.escape(f"{request.parent}/{path.rpartition('/')[2]}/") + "[^/]+"
            resources = [resource for name, resource in self.resources.items() if re.fullmatch(pattern, name)]
            response = getattr(api, f"{rpc}Response")
            (key,) = [field.json_name for field in response.pb(response()).DESCRIPTOR.fields if field.message_type]
            return {key: [json_format.MessageToDict(resource) for resource in resources]}
        if verb == "Update":
            new = getattr(request, field)
            self._get(new.name)
            return self._store(new.name, new)
        raise Refused(501, "UNIMPLEMENTED", f"{rpc} is not in the loopback Vertex AI.")

    def _store(self, name: str, message: Any) -> Any:
        """Store a copy of a message under a name; return the copy."""
        stored = type(message)()
        stored.CopyFrom(message)
        stored.name = name
        self.resources[name] = stored
        return stored

    def _get(self, name: str) -> Any:
        if name not in self.resources:
            raise Refused(404, "NOT_FOUND", f"{name} is not found.")
        return self.resources[name]

    def _check_labels(self, labels: Any) -> None:
        if not all(LABEL.fullmatch(text) for pair in labels.items() for text in pair):
            raise invalid(f"{dict(labels)} are no labels.")

    def _number(self) -> int:
        self._count += 1
        return self._count


def empty() -> Any:
    """Return the response of methods without content."""
    return Empty()
