"""Cloud Run on loopback, for the real gcloud: services, their revisions and traffic, by the API of Knative Serving.

gcloud puts the region before the host's name, which no resolver knows, so that its requests come here through a proxy
(``gcloud.py``). Fields that Cloud Run does not have are gcloud's to refuse; what it needs is checked here. Next:
``server.py`` calls it.
"""

import copy
import re
import threading
from typing import Any

SERVICES = re.compile(r"/apis/serving\.knative\.dev/v1/namespaces/(?P<project>[^/]+)/services(/(?P<name>[^/]+))?")
REVISIONS = re.compile(r"/apis/serving\.knative\.dev/v1/namespaces/[^/]+/revisions(/(?P<name>[^/]+))?")
POLICY = re.compile(r"/v1/projects/[^/]+/locations/[^/]+/services/(?P<name>[^:/]+):(?P<verb>[gs]etIamPolicy)")
ENABLED = re.compile(r"/v1/projects/[^/]+/services/(?P<name>run\.googleapis\.com)")
READY = [{"type": name, "status": "True"} for name in ("Ready", "ConfigurationsReady", "RoutesReady")]
DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
TIME = "2026-01-01T00:00:00Z"

Reply = tuple[int, dict[str, Any]]


def is_mine(path: str) -> bool:
    """Say whether a request is for Cloud Run."""
    return any(pattern.fullmatch(path) for pattern in (SERVICES, REVISIONS, POLICY, ENABLED))


class CloudRun:
    """The ``services`` and ``revisions`` by name, as JSON, and the ``policies`` of the services."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        """Answer one request."""
        with self._lock:
            if match := POLICY.fullmatch(path):
                if match["verb"] == "setIamPolicy":
                    self.policies[match["name"]] = body["policy"]
                return 200, self.policies.get(match["name"], {"etag": "BwU="})
            if match := ENABLED.fullmatch(path):
                return 200, {"name": path.removeprefix("/v1/"), "state": "ENABLED"}
            if match := REVISIONS.fullmatch(path):
                return self._read(self.revisions, match["name"], "Revision")
            match = SERVICES.fullmatch(path)
            assert match
            if method == "GET":
                return self._read(self.services, match["name"], "Service")
            if method == "DELETE":
                return (200, {"status": "Success"}) if self.services.pop(match["name"], None) else _missing("Service")
            return self._put(body)

    def _read(self, resources: dict[str, dict[str, Any]], name: str | None, kind: str) -> Reply:
        if name is None:
            items = [*resources.values()]
            return 200, {"apiVersion": "serving.knative.dev/v1", "kind": f"{kind}List", "metadata": {}, "items": items}
        return (200, resources[name]) if name in resources else _missing(kind)

    def _put(self, body: dict[str, Any]) -> Reply:
        """Create or replace a service; another template is another revision."""
        service, name = copy.deepcopy(body), body["metadata"]["name"]
        container = service["spec"]["template"]["spec"]["containers"][0]
        if not DIGEST.fullmatch(container["image"]):
            return _refuse(f"image {container['image']!r} is not named by its digest")
        previous = self.services.get(name)
        generation = previous["metadata"]["generation"] + 1 if previous else 1
        latest = previous["status"]["latestReadyRevisionName"] if previous else ""
        if not previous or previous["spec"]["template"]["spec"] != service["spec"]["template"]["spec"]:
            latest = service["spec"]["template"].get("metadata", {}).get("name") or f"{name}-{generation:05d}-abc"
            self.revisions[latest] = self._make_revision(latest, name, service["spec"]["template"])
        traffic = service["spec"].setdefault("traffic", [{"latestRevision": True, "percent": 100}])
        for target in traffic:
            if not target.get("latestRevision") and target.get("revisionName") not in self.revisions:
                return _refuse(f"traffic to {target.get('revisionName')!r}, which there is not")
        if sum(target.get("percent", 0) for target in traffic) != 100:
            return _refuse("the traffic is not 100 %")
        url = f"https://{name}-1234.us-central1.run.app"
        service["metadata"] |= {
            "generation": generation,
            "resourceVersion": f"V{generation}",
            "creationTimestamp": TIME,
        }
        service["status"] = {
            "observedGeneration": generation,
            "conditions": [{**each, "lastTransitionTime": TIME} for each in READY],
            "latestCreatedRevisionName": latest,
            "latestReadyRevisionName": latest,
            "url": url,
            "address": {"url": url},
            "traffic": [_route(target, latest, name) for target in traffic],
        }
        self.services[name] = service
        return 200, service

    def _make_revision(self, name: str, service: str, template: dict[str, Any]) -> dict[str, Any]:
        labels = {"serving.knative.dev/service": service}
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Revision",
            "metadata": {
                **template.get("metadata", {}),
                "name": name,
                "labels": labels,
                "namespace": "my-project",
                "creationTimestamp": TIME,
            },
            "spec": template["spec"],
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": TIME}]},
        }


def _route(target: dict[str, Any], latest: str, service: str) -> dict[str, Any]:
    tag = target.get("tag")
    url = {"url": f"https://{tag}---{service}-1234.us-central1.run.app"} if tag else {}
    return {**target, "revisionName": target.get("revisionName", latest), **url}


def _missing(kind: str) -> Reply:
    return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": f"{kind} not found"}}


def _refuse(message: str) -> Reply:
    return 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": message}}
