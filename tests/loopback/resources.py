"""What all methods of a loopback Vertex AI stand on: resources by name, operations that go on as they are looked at.

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
PAGE = 2  # of a list, so that paging is seen to work


class Refused(Exception):
    """The API's answer is an error."""

    def __init__(self, code: int, status: str, message: str):
        super().__init__(message)
        self.code, self.status = code, status


def invalid(message: str) -> Refused:
    return Refused(400, "FAILED_PRECONDITION" if "traffic" in message else "INVALID_ARGUMENT", message)


class Resources:
    """One project's. ``machines`` runs jobs and answers predictions; without it, jobs are accepted and stay pending."""

    def __init__(self, machines: Any = None):
        self.machines = machines
        self.resources: dict[str, Any] = {}  # proto messages by name
        self.models: dict[str, list[Any]] = {}  # versions by model name, oldest first; a deleted one is None
        self.operations: dict[str, dict[str, Any]] = {}
        self.points: list[tuple[str, int, float]] = []  # of TensorBoard curves: series, step, value
        self.calls: list[str] = []  # the methods called, in order
        self.logs: list[dict[str, Any]] = []
        self.looks = 0  # how often an operation is looked at before it is done
        self.lock = threading.RLock()
        self._count = 1000

    # Operations: looked at, they go on.

    def _operation(self, at: str, work: Callable[[], Any]) -> dict[str, Any]:
        name = f"{at}/operations/{self._number()}"
        self.operations[name] = {"left": self.looks, "work": work, "fails": self._fails}
        return self._look(name)

    def _look(self, name: str) -> dict[str, Any]:
        of = self.operations[name]
        if "done" not in of and of["left"] <= 0:
            of["done"] = self._end(of)
        of["left"] -= 1
        return {"name": name, **of.get("done", {"done": False})}

    def _end(self, of: dict[str, Any]) -> dict[str, Any]:
        try:
            if of["fails"]:
                raise Refused(13, "INTERNAL", "Model server never became ready. Please validate the container.")
            answer = of["work"]()
        except Refused as error:
            return {"done": True, "error": {"code": 6 if error.code == 409 else 13, "message": str(error)}}
        pb = type(answer).pb(answer) if hasattr(type(answer), "pb") else answer
        typed = {"@type": f"type.googleapis.com/{pb.DESCRIPTOR.full_name}"}
        return {"done": True, "response": {**typed, **json_format.MessageToDict(pb)}}

    def _get_operation(self, request):
        if request.name not in self.operations:
            raise Refused(404, "NOT_FOUND", f"{request.name} is not found.")
        return self._look(request.name)

    def _list_operations(self, request):
        mine = [name for name in self.operations if name.startswith(request.name + "/operations/")]
        first = int(request.page_token or 0)
        told = [self._look(name) for name in mine[first : first + PAGE]]
        return {"operations": told, "nextPageToken": str(first + PAGE) if len(mine) > first + PAGE else ""}

    # What all resources have in common.

    def _any(self, rpc: str, request: Any, path: str) -> Any:
        """Create, get, list, update and delete of what needs no rules of its own."""
        verb, kind = re.fullmatch(r"(Create|Get|List|Update|Delete)?(.*)", rpc).groups()
        field = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
        if verb == "Create":
            id = getattr(request, f"{field}_id", "") or str(self._number())
            name = f"{request.parent}/{path.rpartition('/')[2]}/{id}"
            if name in self.resources:
                raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
            kept = self._keep(name, getattr(request, field))
            slow = kind in ("MetadataStore", "Tensorboard")
            return self._operation(name, lambda: kept) if slow else kept
        if verb == "Get":
            return self._get(request.name)
        if verb == "List":
            at = f"{request.parent}/{path.rpartition('/')[2]}/"
            found = [of for name, of in self.resources.items() if re.fullmatch(re.escape(at) + "[^/]+", name)]
            answer = getattr(api, f"{rpc}Response")
            (many,) = [field.json_name for field in answer.pb(answer()).DESCRIPTOR.fields if field.message_type]
            return {many: [json_format.MessageToDict(of) for of in found]}
        if verb == "Update":
            new = getattr(request, field)
            self._get(new.name)
            return self._keep(new.name, new)
        raise Refused(501, "UNIMPLEMENTED", f"{rpc} is not in the loopback Vertex AI.")

    def _keep(self, name: str, message: Any) -> Any:
        kept = type(message)()
        kept.CopyFrom(message)
        kept.name = name
        self.resources[name] = kept
        return kept

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
    """The answer of methods that answer nothing."""
    return Empty()
