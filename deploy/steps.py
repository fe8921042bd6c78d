"""The steps of a plan as data: the text that people read, and what each step changes in the live state.

``apply_to`` is the one description of the effect of a step; ``executor.py`` executes the step on Vertex AI, and tests
compare both. Independent of the SDK. Next: ``plan.py`` decides which steps a plan has.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from deploy.live_state import DeployedModel, Endpoint, LiveState, ModelVersion, ServingConfig, VersionIdentity


def _title() -> Any:
    """Return a field for a title, which ``add_version_titles`` sets; steps that differ in titles only are equal."""
    return dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class StoreArtifact:
    """Copy the artefact to the store."""

    identity: VersionIdentity

    def __str__(self):
        return f"store artefact sha256:{self.identity.artifact[:12]}"

    def apply_to(self, live: LiveState) -> LiveState:
        return dataclasses.replace(live, stored_artifacts=live.stored_artifacts | {self.identity.artifact})


@dataclasses.dataclass(frozen=True)
class RegisterVersion:
    """Add a version to the model in the registry, or the model with its first version."""

    identity: VersionIdentity

    def __str__(self):
        return f"register artefact {self.identity}"

    def apply_to(self, live: LiveState) -> LiveState:
        number = str(max((int(version.number) for version in live.versions), default=0) + 1)
        aliases = frozenset() if live.versions else frozenset({"default"})
        return dataclasses.replace(live, versions=(*live.versions, ModelVersion(number, self.identity, aliases)))


@dataclasses.dataclass(frozen=True)
class ImportEvaluation:
    """Import the artefact's published metrics as the evaluation of the version."""

    identity: VersionIdentity
    version_title: str = _title()

    def __str__(self):
        return f"import the evaluation of {self.version_title or self.identity}"

    def apply_to(self, live: LiveState) -> LiveState:
        evaluated = live.find_version(self.identity)

        def change(version: ModelVersion) -> ModelVersion:
            return dataclasses.replace(version, has_evaluation=version.has_evaluation or version is evaluated)

        return _change_versions(live, change)


@dataclasses.dataclass(frozen=True)
class SetAlias:
    """Move an alias to the version of an identity; without an identity, remove it."""

    alias: str
    identity: VersionIdentity | None
    version_title: str = _title()

    def __str__(self):
        if self.identity:
            return f"set alias {self.alias!r} to {self.version_title or self.identity}"
        return f"remove alias {self.alias!r}" + (f" from {self.version_title}" if self.version_title else "")

    def apply_to(self, live: LiveState) -> LiveState:
        target = live.find_version(self.identity)

        def change(version: ModelVersion) -> ModelVersion:
            aliases = version.aliases - {self.alias} | ({self.alias} if version is target else set())
            return dataclasses.replace(version, aliases=frozenset(aliases))

        return _change_versions(live, change)


@dataclasses.dataclass(frozen=True)
class CreateEndpoint:
    """Create the endpoint. It costs nothing until a model is deployed."""

    is_dedicated: bool
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self):
        return f"create the endpoint ({'dedicated' if self.is_dedicated else 'shared'})"

    def apply_to(self, live: LiveState) -> LiveState:
        return dataclasses.replace(live, endpoint=live.endpoint or Endpoint(self.is_dedicated, dict(self.labels)))


@dataclasses.dataclass(frozen=True)
class SetLabels:
    """Replace the labels of the endpoint."""

    labels: Mapping[str, str]

    def __str__(self):
        return "label the endpoint: " + (", ".join(f"{k}={v}" for k, v in sorted(self.labels.items())) or "no labels")

    def apply_to(self, live: LiveState) -> LiveState:
        return _change_endpoint(live, labels=dict(self.labels))


@dataclasses.dataclass(frozen=True)
class Deploy:
    """Deploy a version at the endpoint. It takes all traffic only where no deployed model has traffic."""

    deployed_model_id: str
    identity: VersionIdentity
    serving_config: ServingConfig
    version_title: str = _title()

    def __str__(self):
        config, version = self.serving_config, self.version_title or self.identity
        return f"deploy {version} on {config.min_replicas} to {config.max_replicas} x {config.machine_type}"

    def apply_to(self, live: LiveState) -> LiveState:
        endpoint, version = live.endpoint, live.find_version(self.identity)
        assert endpoint is not None  # noqa: S101 - a plan creates the endpoint and registers the version before
        assert version is not None  # noqa: S101
        if any(model.id == self.deployed_model_id for model in endpoint.deployed_models):
            return live
        deployed = DeployedModel(self.deployed_model_id, version.number, self.identity, self.serving_config)
        return _change_endpoint(
            live,
            deployed_models=(*endpoint.deployed_models, deployed),
            traffic_split=endpoint.traffic_split or {self.deployed_model_id: 100},
        )


@dataclasses.dataclass(frozen=True)
class Resize:
    """Change the replicas and the autoscaling of a deployed model in place."""

    deployed_model_id: str
    serving_config: ServingConfig
    version_title: str = _title()

    def __str__(self):
        config, version = self.serving_config, self.version_title or f"a deployment (id {self.deployed_model_id})"
        replicas = f"{config.min_replicas} to {config.max_replicas} replicas"
        return f"resize {version} to {replicas}, CPU target {config.target_cpu} %"

    def apply_to(self, live: LiveState) -> LiveState:
        assert live.endpoint is not None  # noqa: S101
        models = [
            dataclasses.replace(model, serving_config=self.serving_config)
            if model.id == self.deployed_model_id
            else model
            for model in live.endpoint.deployed_models
        ]
        return _change_endpoint(live, deployed_models=tuple(models))


@dataclasses.dataclass(frozen=True)
class SetTraffic:
    """Divide the requests, in percent by id of the deployed model; an empty split refuses all requests."""

    traffic_split: Mapping[str, int]
    version_titles: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    def __str__(self):
        by_share = sorted(self.traffic_split.items(), key=lambda item: -item[1])
        shares = [f"{share} % to {self.version_titles.get(id) or f'a deployment (id {id})'}" for id, share in by_share]
        return f"traffic: {', '.join(shares) or 'none'}"

    def apply_to(self, live: LiveState) -> LiveState:
        return _change_endpoint(live, traffic_split=dict(self.traffic_split))


@dataclasses.dataclass(frozen=True)
class RunSmokeTest:
    """Send the artefact's golden images to the endpoint until this deployed model has answered each of them."""

    deployed_model_id: str
    identity: VersionIdentity
    version_title: str = _title()

    def __str__(self):
        version = self.version_title or self.identity
        return f"smoke test: {version} has to answer its golden images as it did when it was exported"

    def apply_to(self, live: LiveState) -> LiveState:
        return live


@dataclasses.dataclass(frozen=True)
class Undeploy:
    """Undeploy a model that has no traffic."""

    deployed_model_id: str
    version_title: str = _title()

    def __str__(self):
        return f"undeploy {self.version_title or f'a deployment (id {self.deployed_model_id})'}"

    def apply_to(self, live: LiveState) -> LiveState:
        assert live.endpoint is not None  # noqa: S101
        models = tuple(model for model in live.endpoint.deployed_models if model.id != self.deployed_model_id)
        split = live.endpoint.traffic_split if models else {}
        return _change_endpoint(live, deployed_models=models, traffic_split=split)


@dataclasses.dataclass(frozen=True)
class DeleteEndpoint:
    """Delete the endpoint, which has no deployed model."""

    def __str__(self):
        return "delete the endpoint"

    def apply_to(self, live: LiveState) -> LiveState:
        return dataclasses.replace(live, endpoint=None)


Step = (
    StoreArtifact
    | RegisterVersion
    | ImportEvaluation
    | SetAlias
    | CreateEndpoint
    | SetLabels
    | Deploy
    | Resize
    | SetTraffic
    | RunSmokeTest
    | Undeploy
    | DeleteEndpoint
)
STEP_TYPES: dict[str, type[Any]] = {step_type.__name__: step_type for step_type in Step.__args__}


def add_version_titles(step: Step, live: LiveState) -> Step:
    """Return the step with the titles of its versions in the live state, for people."""
    if isinstance(step, SetTraffic):
        return dataclasses.replace(step, version_titles={id: _describe(live, id) for id in step.traffic_split})
    if isinstance(step, Resize | Undeploy):
        return dataclasses.replace(step, version_title=_describe(live, step.deployed_model_id))
    if isinstance(step, Deploy | RunSmokeTest):
        return dataclasses.replace(step, version_title=live.describe_version(step.identity, step.deployed_model_id))
    if isinstance(step, ImportEvaluation):
        return dataclasses.replace(step, version_title=live.describe_version(step.identity))
    if isinstance(step, SetAlias):
        current = live.find_by_alias(step.alias)
        foreign = f"foreign version {current.number}" if current else ""
        identity = step.identity or (current.identity if current else None)
        return dataclasses.replace(step, version_title=live.describe_version(identity) if identity else foreign)
    return step


def _describe(live: LiveState, id: str) -> str:
    return live.endpoint.describe(id) if live.endpoint else ""


def to_json(step: Step) -> dict[str, Any]:
    """Return a step as JSON; ``from_json`` is the inverse."""
    return {"step": type(step).__name__, **dataclasses.asdict(step)}


def from_json(content: Mapping[str, Any]) -> Step:
    """Return the step of ``to_json``. Raises ``KeyError`` or ``TypeError`` for other content."""
    values = dict(content)
    step_type = STEP_TYPES[values.pop("step")]
    if values.get("identity") is not None:
        values["identity"] = VersionIdentity(*values["identity"])
    if "serving_config" in values:
        values["serving_config"] = ServingConfig(**values["serving_config"])
    return step_type(**values)


def _change_versions(live: LiveState, change: Callable[[ModelVersion], ModelVersion]) -> LiveState:
    return dataclasses.replace(live, versions=tuple(map(change, live.versions)))


def _change_endpoint(live: LiveState, **changes: Any) -> LiveState:
    assert live.endpoint is not None  # noqa: S101 - a plan creates the endpoint before
    return dataclasses.replace(live, endpoint=dataclasses.replace(live.endpoint, **changes))
