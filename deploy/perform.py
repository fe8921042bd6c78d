"""Does the steps of a plan on Vertex AI, each as ``steps.py`` describes it. Next: ``apply.py`` says in which order.

Each step is safe to do again: what is found done is not done twice.
"""

import functools
from collections.abc import Callable
from typing import Any

from deploy import card, release, smoke
from deploy.asking import Asking
from deploy.live import Identity, Live, Serving, Version
from deploy.observe import CPU, image, observe, settle
from deploy.probe import Tally
from deploy.release import Release
from deploy.spec import Environment
from deploy.steps import (
    Alias,
    CreateEndpoint,
    DeleteEndpoint,
    Deploy,
    Evaluate,
    Label,
    Register,
    Resize,
    Smoke,
    Step,
    Store,
    Traffic,
    Undeploy,
)
from deploy.vertex import CloudError, Vertex, proto

REPEATABLE = (Alias, Label, Resize, Traffic, Undeploy, DeleteEndpoint)  # done twice, they do the same
PREDICT, HEALTH, PORT = "/predict", "/health", 8080
CONFLICT = 409  # HTTP status: it exists already


class Platform:
    """An environment's place on Vertex AI: what is there, and the steps."""

    def __init__(self, vertex: Vertex, environment: Environment, given: Release | None = None):
        self.vertex, self.environment, self.given = vertex, environment, given
        self._model = vertex.name("models", environment.model.model_id)
        self._endpoint = vertex.name("endpoints", environment.endpoint.endpoint_id)

    def read(self) -> Live:
        """The live state, after what is under way has ended. Raises ``CloudError``."""
        settle(self.vertex, self.environment)
        return self.look()

    def look(self) -> Live:
        """The live state as it is now. Raises ``CloudError``."""
        return observe(self.vertex, self.environment, self.given.identity if self.given else None)

    def do(self, step: Step) -> None:
        """One step, to its end; a ``REPEATABLE`` one is tried again while the service is unavailable.

        Raises ``CloudError``, ``SmokeFailed``, ``StorageError`` or ``BadArtifact``.
        """
        todo: dict[type, Callable[[Any], object]] = {
            Store: self._store, Register: self._register, Evaluate: self._evaluate, Alias: self._alias,
            CreateEndpoint: self._create, Label: self._label, Deploy: self._deploy, Resize: self._resize,
            Traffic: self._traffic, Smoke: self._smoke, Undeploy: self._undeploy, DeleteEndpoint: self._delete,
        }  # fmt: skip
        work = functools.partial(todo[type(step)], step)
        if isinstance(step, REPEATABLE):
            self.vertex.repeated(work)
        else:
            work()

    def release(self, identity: Identity) -> Release:
        """The artefact and image of an identity: what was given, or what is in the store."""
        if self.given and self.given.identity == identity:
            return self.given
        version = self._version(identity)
        return release.stored(self.environment, identity, image(self.vertex, self.environment, version))

    def _store(self, step: Store) -> None:
        release.store(self.environment, self.release(step.identity))

    def _register(self, step: Register) -> None:
        of, environment = self.release(step.identity), self.environment
        text = card.card(of.manifest, of.sha256, of.image)
        described = {
            "display_name": environment.model.model_id,
            "description": text,
            "version_description": text,
            "artifact_uri": environment.stored(of.sha256),
            "container_spec": {
                "image_uri": of.image, "predict_route": PREDICT, "health_route": HEALTH,
                "ports": [{"container_port": PORT}],
            },
            "labels": {**environment.labelled(), **card.labels(of.identity, of.manifest)},
        }  # fmt: skip
        if not self.look().version(step.identity):
            self._keep_first(step.identity, self._upload(step.identity, described))

    def _upload(self, identity: Identity, described: dict[str, Any]) -> str:
        """Register a version; returns its number, or that of the same identity where the model has just been made."""
        upload = functools.partial(self.vertex.change, self.vertex.models.upload_model)
        request = {"parent": self.vertex.parent, "model": described}
        there = self.vertex.read(self.vertex.models.get_model, {"name": self._model})
        if not there:
            try:
                model_id = self.environment.model.model_id
                return str(upload({**request, "model_id": model_id}).model_version_id)
            except CloudError as error:
                if error.status != CONFLICT:
                    raise
            settle(self.vertex, self.environment)
            if first := self.look().version(identity):
                return first.number
        return str(upload({**request, "parent_model": self._model}).model_version_id)

    def _keep_first(self, identity: Identity, number: str) -> None:
        """Remove version ``number``, just registered, where somebody else has registered the identity before it.

        Numbers are given in order and to one version each, so of several at the same time all see which is the first;
        each removes its own. A crash before that leaves a version that nobody uses.
        """
        settle(self.vertex, self.environment)  # an upload under way has its number afterwards
        first = self.look().version(identity)
        if first and first.number != number:
            self.vertex.tell(f"     version {first.number} was registered at the same time; {number} is removed")
            request = {"name": f"{self._model}@{number}"}
            self.vertex.repeated(lambda: self.vertex.change(self.vertex.models.delete_model_version, request))

    def _evaluate(self, step: Evaluate) -> None:
        version = self._version(step.identity)
        if version.evaluated:
            return
        told = card.evaluation(self.release(step.identity).manifest)
        request = {"parent": self._named(version), "model_evaluation": proto("ModelEvaluation", told)}
        self.vertex.change(self.vertex.models.import_model_evaluation, request)

    def _alias(self, step: Alias) -> None:
        """First away from whoever has it: an alias is of one version."""
        live = self.look()
        wanted, had = live.version(step.identity), live.aliased(step.alias)
        merge = self.vertex.models.merge_version_aliases
        if had and had is not wanted:
            self.vertex.change(merge, {"name": self._named(had), "version_aliases": ["-" + step.alias]})
        if wanted and had is not wanted:
            self.vertex.change(merge, {"name": self._named(wanted), "version_aliases": [step.alias]})

    def _create(self, step: CreateEndpoint) -> None:
        id = self.environment.endpoint.endpoint_id
        endpoint = {"display_name": id, "labels": dict(step.labels), "dedicated_endpoint_enabled": step.dedicated}
        request = {"parent": self.vertex.parent, "endpoint": endpoint, "endpoint_id": id}
        self.vertex.change(self.vertex.endpoints.create_endpoint, request)

    def _label(self, step: Label) -> None:
        self._update({"labels": dict(step.labels)}, "labels")

    def _deploy(self, step: Deploy) -> None:
        live, version = self.look(), self._version(step.identity)
        split = {} if live.endpoint and live.endpoint.traffic else {"0": 100}
        deployed = {
            "id": step.id,
            "model": self._named(version),
            "display_name": f"{self.environment.model.model_id}-{version.number}",
            "dedicated_resources": {
                "machine_spec": {"machine_type": step.serving.machine}, **_scaling(step.serving)
            },
            "service_account": step.serving.service_account,
            "enable_access_logging": step.serving.log_requests,
            "disable_container_logging": not step.serving.log_container,
        }  # fmt: skip
        request = {"endpoint": self._endpoint, "deployed_model": deployed, "traffic_split": split}
        self.vertex.change(self.vertex.endpoints.deploy_model, request)

    def _resize(self, step: Resize) -> None:
        deployed = {
            "id": step.id, "dedicated_resources": _scaling(step.serving),
            "disable_container_logging": not step.serving.log_container,
        }  # fmt: skip
        resources = ("min_replica_count", "max_replica_count", "autoscaling_metric_specs")
        paths = [*(f"dedicated_resources.{name}" for name in resources), "disable_container_logging"]
        request = {"endpoint": self._endpoint, "deployed_model": deployed, "update_mask": {"paths": paths}}
        self.vertex.change(self.vertex.endpoints.mutate_deployed_model, request)

    def _traffic(self, step: Traffic) -> None:
        self._update({"traffic_split": dict(step.split)}, "traffic_split")

    def _smoke(self, step: Smoke) -> None:
        live = self.look()
        share = live.endpoint.share(step.id) if live.endpoint else 0
        self.vertex.tell(f"     {self.smoked(step.id, step.identity, share)}")

    def _undeploy(self, step: Undeploy) -> None:
        request = {"endpoint": self._endpoint, "deployed_model_id": step.id}
        self.vertex.change(self.vertex.endpoints.undeploy_model, request)

    def _delete(self, _: DeleteEndpoint) -> None:
        self.vertex.change(self.vertex.endpoints.delete_endpoint, {"name": self._endpoint})

    def smoked(self, id: str, identity: Identity, share: int) -> Tally:
        """Test what is deployed as ``id``, by the environment's bounds. Raises ``SmokeFailed`` or ``CloudError``."""
        bounds = smoke.Bounds(self.environment.endpoint.smoke_requests, self.environment.endpoint.smoke_errors)
        return smoke.check(self.asking().once, self.release(identity), id, share, bounds, self.vertex.wait())

    def asking(self) -> Asking:
        """The endpoint, to ask it."""
        return Asking(self.vertex, self._endpoint)

    def _update(self, fields: dict[str, Any], mask: str) -> None:
        request = {"endpoint": {"name": self._endpoint, **fields}, "update_mask": {"paths": [mask]}}
        self.vertex.change(self.vertex.endpoints.update_endpoint, request)

    def _version(self, identity: Identity) -> Version:
        found = observe(self.vertex, self.environment, identity).version(identity)
        if found is None:
            raise CloudError(f"there is no version of {identity} in the registry")
        return found

    def _named(self, version: Version) -> str:
        return f"{self._model}@{version.number}"


def _scaling(serving: Serving) -> dict[str, Any]:
    return {
        "min_replica_count": serving.min_replicas,
        "max_replica_count": serving.max_replicas,
        "autoscaling_metric_specs": [{"metric_name": CPU, "target": serving.target_cpu}],
    }
