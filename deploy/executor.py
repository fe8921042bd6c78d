"""Execute the steps of a plan on Vertex AI, each as ``steps.py`` describes it.

Every step can be executed again: what is done already is not done twice. Next: ``apply.py`` executes the steps of a
plan in order, ``live_state_reader.py`` reads the state between them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from deploy import artifact_store, model_card, smoke
from deploy.errors import CloudError
from deploy.live_state import LiveState, ModelVersion, ServingConfig, VersionIdentity
from deploy.live_state_reader import CPU_METRIC, read_image, read_live_state, wait_for_operations
from deploy.prediction_client import PredictionClient
from deploy.release import Release
from deploy.request_counts import RequestCounts
from deploy.spec import Environment
from deploy.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    Deploy,
    ImportEvaluation,
    RegisterVersion,
    Resize,
    RunSmokeTest,
    SetAlias,
    SetLabels,
    SetTraffic,
    Step,
    StoreArtifact,
    Undeploy,
)
from deploy.vertex import VertexClient, make_message

IDEMPOTENT_STEPS = (SetAlias, SetLabels, Resize, SetTraffic, Undeploy, DeleteEndpoint)
PREDICT_ROUTE, HEALTH_ROUTE, PORT = "/predict", "/health", 8080
HTTP_CONFLICT = 409  # the resource exists already


class VertexExecutor:
    """Reads the live state of an environment on Vertex AI and executes steps there."""

    def __init__(self, client: VertexClient, environment: Environment, declared_release: Release | None = None):
        self.client, self.environment, self.declared_release = client, environment, declared_release
        self._model_name = client.resource_name("models", environment.model.model_id)
        self._endpoint_name = client.resource_name("endpoints", environment.endpoint.endpoint_id)

    def read_live_state(self) -> LiveState:
        """Wait for operations that are under way, then read the live state. Raises ``CloudError``."""
        wait_for_operations(self.client, self.environment)
        return self.read_without_waiting()

    def read_without_waiting(self) -> LiveState:
        """Read the live state as it is now, with what is stored. Raises ``CloudError``."""
        identity = self.declared_release.identity if self.declared_release else None
        live = read_live_state(self.client, self.environment, identity)
        identities = {identity, *(version.identity for version in live.versions if version.aliases)}
        stored_artifacts = frozenset(
            identity.artifact
            for identity in identities
            if identity and artifact_store.is_stored(self.environment, identity)
        )
        return dataclasses.replace(live, stored_artifacts=stored_artifacts)

    def execute(self, step: Step) -> None:
        """Execute a step and wait for its end; idempotent steps are retried while the service is unavailable.

        Raises ``CloudError``, ``SmokeTestFailed``, ``StorageError`` or ``BadArtifact``.
        """
        methods: dict[type, Callable[[Any], object]] = {
            StoreArtifact: self._store_artifact,
            RegisterVersion: self._register_version,
            ImportEvaluation: self._import_evaluation,
            SetAlias: self._set_alias,
            CreateEndpoint: self._create_endpoint,
            SetLabels: self._set_labels,
            Deploy: self._deploy,
            Resize: self._resize,
            SetTraffic: self._set_traffic,
            RunSmokeTest: self._run_smoke_test,
            Undeploy: self._undeploy,
            DeleteEndpoint: self._delete_endpoint,
        }
        work = functools.partial(methods[type(step)], step)
        if isinstance(step, IDEMPOTENT_STEPS):
            self.client.retry_while_unavailable(work)
        else:
            work()

    def open_release(self, identity: VersionIdentity) -> Release:
        """Open the release of an identity: the declared one, or the one in the store.

        Raises ``CloudError``, ``StorageError`` or ``BadArtifact``.
        """
        if self.declared_release and self.declared_release.identity == identity:
            return self.declared_release
        version = self._require_version(identity)
        image = read_image(self.client, self.environment, version)
        return artifact_store.open_stored(self.environment, identity, image)

    def run_smoke_test(self, id: str, identity: VersionIdentity, traffic_percentage: int) -> RequestCounts:
        """Test the deployed model ``id`` by the limits of the environment.

        Raises ``SmokeTestFailed`` or ``CloudError``.
        """
        settings = self.environment.endpoint
        limits = smoke.SmokeLimits(settings.smoke_requests, settings.smoke_errors)
        target = smoke.SmokeTarget(self.open_release(identity), id, traffic_percentage)
        return smoke.run_smoke_test(self.prediction_client().predict_once, target, limits, self.client.start_wait())

    def prediction_client(self) -> PredictionClient:
        """Return a client for the predictions of the endpoint."""
        return PredictionClient(self.client, self._endpoint_name)

    def _store_artifact(self, step: StoreArtifact) -> None:
        artifact_store.upload(self.environment, self.open_release(step.identity))

    def _register_version(self, step: RegisterVersion) -> None:
        release, environment = self.open_release(step.identity), self.environment
        card = model_card.render(release.manifest, release.sha256, release.image, release.card_facts)
        model = {
            "display_name": environment.model.model_id,
            "description": card,
            "version_description": card,
            "artifact_uri": environment.artifact_uri(release.sha256),
            "container_spec": {
                "image_uri": release.image,
                "predict_route": PREDICT_ROUTE,
                "health_route": HEALTH_ROUTE,
                "ports": [{"container_port": PORT}],
            },
            "labels": {
                **environment.resource_labels(),
                **model_card.make_labels(release.identity, release.manifest),
            },
        }
        if not self.read_without_waiting().find_version(step.identity):
            self._remove_duplicate(step.identity, self._upload_model(step.identity, model))

    def _upload_model(self, identity: VersionIdentity, model: dict[str, Any]) -> str:
        """Register a version and return its number.

        Where another user creates the model at the same time with the same identity, return that version's number.
        """
        upload = functools.partial(self.client.change, self.client.models.upload_model)
        request = {"parent": self.client.parent, "model": model}
        if not self.client.read(self.client.models.get_model, {"name": self._model_name}):
            try:
                response = upload({**request, "model_id": self.environment.model.model_id})
                return str(response.model_version_id)
            except CloudError as error:
                if error.status != HTTP_CONFLICT:
                    raise
            wait_for_operations(self.client, self.environment)
            if version := self.read_without_waiting().find_version(identity):
                return version.number
        return str(upload({**request, "parent_model": self._model_name}).model_version_id)

    def _remove_duplicate(self, identity: VersionIdentity, number: str) -> None:
        """Remove version ``number``, just registered, where another user has registered the identity before.

        Versions are numbered in order, so users who register at the same time all see the same first version, and each
        removes its own duplicate. A crash before that leaves a version that is not used.
        """
        wait_for_operations(self.client, self.environment)  # an upload under way gets its number
        first = self.read_without_waiting().find_version(identity)
        if first and first.number != number:
            self.client.print_line(f"     version {first.number} was registered at the same time; {number} is removed")
            request = {"name": f"{self._model_name}@{number}"}
            self.client.retry_while_unavailable(
                lambda: self.client.change(self.client.models.delete_model_version, request)
            )

    def _import_evaluation(self, step: ImportEvaluation) -> None:
        version = self._require_version(step.identity)
        if version.has_evaluation:
            return
        release = self.open_release(step.identity)
        evaluation = model_card.make_evaluation(release.manifest, release.card_facts)
        request = {
            "parent": self._version_name(version),
            "model_evaluation": make_message("ModelEvaluation", evaluation),
        }
        self.client.change(self.client.models.import_model_evaluation, request)

    def _set_alias(self, step: SetAlias) -> None:
        """Remove the alias from its current version first: an alias points to one version."""
        live = self.read_without_waiting()
        target, current = live.find_version(step.identity), live.find_by_alias(step.alias)
        merge = self.client.models.merge_version_aliases
        if current and current is not target:
            self.client.change(merge, {"name": self._version_name(current), "version_aliases": ["-" + step.alias]})
        if target and current is not target:
            self.client.change(merge, {"name": self._version_name(target), "version_aliases": [step.alias]})

    def _create_endpoint(self, step: CreateEndpoint) -> None:
        id = self.environment.endpoint.endpoint_id
        endpoint = {
            "display_name": id,
            "labels": dict(step.labels),
            "dedicated_endpoint_enabled": step.is_dedicated,
        }
        request = {"parent": self.client.parent, "endpoint": endpoint, "endpoint_id": id}
        self.client.change(self.client.endpoints.create_endpoint, request)

    def _set_labels(self, step: SetLabels) -> None:
        self._update_endpoint({"labels": dict(step.labels)}, "labels")

    def _deploy(self, step: Deploy) -> None:
        live, version = self.read_without_waiting(), self._require_version(step.identity)
        has_traffic = live.endpoint and live.endpoint.traffic_split
        deployed_model = {
            "id": step.deployed_model_id,
            "model": self._version_name(version),
            "display_name": f"{self.environment.model.model_id}-{version.number}",
            "dedicated_resources": {
                "machine_spec": {"machine_type": step.serving_config.machine_type},
                **_scaling(step.serving_config),
            },
            "service_account": step.serving_config.service_account,
            "enable_access_logging": step.serving_config.access_logging,
            "disable_container_logging": not step.serving_config.container_logging,
        }
        request = {
            "endpoint": self._endpoint_name,
            "deployed_model": deployed_model,
            "traffic_split": {} if has_traffic else {"0": 100},  # 0 is the new deployed model
        }
        self.client.change(self.client.endpoints.deploy_model, request)

    def _resize(self, step: Resize) -> None:
        deployed_model = {
            "id": step.deployed_model_id,
            "dedicated_resources": _scaling(step.serving_config),
            "disable_container_logging": not step.serving_config.container_logging,
        }
        paths = [f"dedicated_resources.{name}" for name in _scaling(step.serving_config)]
        request = {
            "endpoint": self._endpoint_name,
            "deployed_model": deployed_model,
            "update_mask": {"paths": [*paths, "disable_container_logging"]},
        }
        self.client.change(self.client.endpoints.mutate_deployed_model, request)

    def _set_traffic(self, step: SetTraffic) -> None:
        self._update_endpoint({"traffic_split": dict(step.traffic_split)}, "traffic_split")

    def _run_smoke_test(self, step: RunSmokeTest) -> None:
        endpoint = self.read_without_waiting().endpoint
        percentage = endpoint.traffic_percentage(step.deployed_model_id) if endpoint else 0
        counts = self.run_smoke_test(step.deployed_model_id, step.identity, percentage)
        self.client.print_line(f"     {counts}")

    def _undeploy(self, step: Undeploy) -> None:
        request = {"endpoint": self._endpoint_name, "deployed_model_id": step.deployed_model_id}
        self.client.change(self.client.endpoints.undeploy_model, request)

    def _delete_endpoint(self, _: DeleteEndpoint) -> None:
        self.client.change(self.client.endpoints.delete_endpoint, {"name": self._endpoint_name})

    def _update_endpoint(self, fields: dict[str, Any], mask: str) -> None:
        request = {"endpoint": {"name": self._endpoint_name, **fields}, "update_mask": {"paths": [mask]}}
        self.client.change(self.client.endpoints.update_endpoint, request)

    def _require_version(self, identity: VersionIdentity) -> ModelVersion:
        version = read_live_state(self.client, self.environment, identity).find_version(identity)
        if version is None:
            raise CloudError(f"there is no version of {identity} in the registry")
        return version

    def _version_name(self, version: ModelVersion) -> str:
        return f"{self._model_name}@{version.number}"


def _scaling(serving_config: ServingConfig) -> dict[str, Any]:
    """Return the fields of ``DedicatedResources`` that can be changed in place."""
    return {
        "min_replica_count": serving_config.min_replicas,
        "max_replica_count": serving_config.max_replicas,
        "autoscaling_metric_specs": [{"metric_name": CPU_METRIC, "target": serving_config.target_cpu}],
    }


def connect(client: VertexClient, environment: Environment) -> VertexExecutor:
    """Return the executor of an environment, with the declared release where artefact and image are given."""
    is_declared = environment.model.artifact and environment.model.image
    return VertexExecutor(client, environment, artifact_store.open_declared(environment) if is_declared else None)
