"""Reads the live state of an environment from Vertex AI: resources of the API to the plain values of ``live.py``.

Changes nothing. Next: ``plan.py`` compares what is read here with what is wanted.
"""

from typing import Any

from deploy import card, release
from deploy.live import Deployed, Endpoint, Identity, Live, Serving, Version
from deploy.spec import Environment
from deploy.vertex import Vertex, plain


def observe(vertex: Vertex, environment: Environment, wanted: Identity | None = None) -> Live:
    """Everything that a plan looks at, as it is now. Raises ``CloudError``.

    Evaluations are read of the ``wanted`` identity, of versions with an alias and of those that are deployed.
    """
    model = vertex.name("models", environment.model.model_id)
    endpoint = vertex.read(vertex.endpoints.get_endpoint, {"name": vertex.name("endpoints", _id(environment))})
    ours = [one for one in endpoint.deployed_models if _of(one, model)] if endpoint else []
    deployed = {one.model_version_id for one in ours}
    versions = [
        _version(vertex, model, found, wanted, found.version_id in deployed)
        for found in vertex.listed(vertex.models.list_model_versions, {"name": model})
    ]
    identities = {wanted, *(one.identity for one in versions if one.aliases)} - {None}
    stored = frozenset(one.artifact for one in identities if one and release.is_stored(environment, one))
    return Live(stored, tuple(versions), _endpoint(endpoint, model, versions))


def settle(vertex: Vertex, environment: Environment) -> None:
    """Wait for what is under way in model and endpoint, begun by whomever. Raises ``CloudError``."""
    vertex.settled(vertex.models, vertex.name("models", environment.model.model_id))
    vertex.settled(vertex.endpoints, vertex.name("endpoints", _id(environment)))


def image(vertex: Vertex, environment: Environment, version: Version) -> str:
    """The image that a version answers with."""
    name = f"{vertex.name('models', environment.model.model_id)}@{version.number}"
    found = vertex.read(vertex.models.get_model, {"name": name})
    known = card.told(found.version_description) if found else None
    return known[1] if known else ""


def _id(environment: Environment) -> str:
    return environment.endpoint.endpoint_id


def _version(vertex: Vertex, model: str, found: Any, wanted: Identity | None, deployed: bool) -> Version:
    known, aliases = card.told(found.version_description), frozenset(found.version_aliases)
    if known is None:
        return Version(found.version_id, None, aliases)
    identity, _ = known
    if not (deployed or identity == wanted or aliases - {"default"}):
        return Version(found.version_id, identity, aliases)
    evaluations = vertex.listed(vertex.models.list_model_evaluations, {"parent": f"{model}@{found.version_id}"})
    told = [(str(one.create_time), _errors(plain(one.metadata))) for one in evaluations]
    ours = [(when, errors) for when, errors in told if errors]  # others may have imported theirs
    newest: dict[str, float] = max(ours, key=lambda one: one[0])[1] if ours else {}
    return Version(found.version_id, identity, aliases, bool(newest), newest)


def _errors(metadata: Any) -> dict[str, float]:
    """The error rates of an evaluation of ours; empty for anybody else's."""
    errors = metadata.get("errors") if isinstance(metadata, dict) else None
    rates = errors if isinstance(errors, dict) else {}
    return rates if all(isinstance(rate, int | float) for rate in rates.values()) else {}


def _endpoint(found: Any, model: str, versions: list[Version]) -> Endpoint | None:
    if found is None:
        return None
    ours = {one.number: one.identity for one in versions}
    deployed = tuple(_deployed(one, model, ours) for one in found.deployed_models)
    there = {one.id for one in deployed}
    traffic = {id: share for id, share in found.traffic_split.items() if share and id in there}
    return Endpoint(found.dedicated_endpoint_enabled, dict(found.labels), deployed, traffic)


def _of(deployed: Any, model: str) -> bool:
    """Whether a deployed model is a version of ours; the API may name the project by its number."""
    return deployed.model.partition("@")[0].rpartition("/")[2] == model.rpartition("/")[2]


def _deployed(found: Any, model: str, ours: dict[str, Identity | None]) -> Deployed:
    on = found.dedicated_resources
    targets = {spec.metric_name: spec.target for spec in on.autoscaling_metric_specs}
    serving = Serving(
        on.machine_spec.machine_type, on.min_replica_count, on.max_replica_count, targets.get(CPU, 60),
        found.service_account, found.enable_access_logging, not found.disable_container_logging,
    )  # fmt: skip
    version, identity = found.model_version_id, ours.get(found.model_version_id)
    if not _of(found, model):
        version, identity = f"{found.model.partition('@')[0].rpartition('/')[2]}@{version or 'default'}", None
    return Deployed(found.id, version, identity, serving, found.status.available_replica_count)


CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
