"""Read the live state of an environment from Vertex AI: resources of the API to the plain values of ``live_state.py``.

Changes nothing. Next: ``plan.py`` compares the live state with the desired state.
"""

from typing import Any

from deploy import model_card, vertex
from deploy.live_state import DeployedModel, Endpoint, LiveState, ModelVersion, ServingConfig, VersionIdentity
from deploy.spec import Environment
from deploy.vertex import VertexClient, value_to_json

CPU_METRIC = "aiplatform.googleapis.com/prediction/online/cpu/utilization"


def read_live_state(
    client: VertexClient, environment: Environment, identity: VersionIdentity | None = None
) -> LiveState:
    """Read versions and endpoint as they are now; ``stored_artifacts`` stays empty. Raises ``CloudError``.

    Evaluations are read for ``identity``, for versions with an alias and for deployed versions.
    """
    model_name = client.resource_name("models", environment.model.model_id)
    endpoint_name = client.resource_name("endpoints", environment.endpoint.endpoint_id)
    endpoint = client.read(client.endpoints.get_endpoint, {"name": endpoint_name})
    models = endpoint.deployed_models if endpoint else []
    deployed = {model.model_version_id for model in models if _is_version_of(model, model_name)}
    versions = [
        _read_version(client, model_name, version, identity, version.version_id in deployed)
        for version in client.list_all(client.models.list_model_versions, {"name": model_name})
    ]
    return LiveState(frozenset(), tuple(versions), _to_endpoint(endpoint, model_name, versions))


def wait_for_operations(client: VertexClient, environment: Environment) -> None:
    """Wait for all operations of model and endpoint, also for those of other users. Raises ``CloudError``."""
    client.wait_for_operations(client.models, client.resource_name("models", environment.model.model_id))
    client.wait_for_operations(client.endpoints, client.resource_name("endpoints", environment.endpoint.endpoint_id))


def read_image(client: VertexClient, environment: Environment, version: ModelVersion) -> str:
    """Return the prediction image of a version; the empty text where its card does not say it."""
    name = f"{client.resource_name('models', environment.model.model_id)}@{version.number}"
    model = client.read(client.models.get_model, {"name": name})
    parsed = model_card.parse_identity(model.version_description) if model else None
    return parsed[1] if parsed else ""


def _read_version(
    client: VertexClient,
    model_name: str,
    version: vertex.Model,
    wanted_identity: VersionIdentity | None,
    is_deployed: bool,
) -> ModelVersion:
    parsed, aliases = model_card.parse_identity(version.version_description), frozenset(version.version_aliases)
    if parsed is None:
        return ModelVersion(version.version_id, None, aliases)
    identity, _ = parsed
    if not (is_deployed or identity == wanted_identity or aliases - {"default"}):
        return ModelVersion(version.version_id, identity, aliases)
    parent = {"parent": f"{model_name}@{version.version_id}"}
    error_rates: dict[str, float] = {}
    newest = ""
    for evaluation in client.list_all(client.models.list_model_evaluations, parent):
        rates = _read_error_rates(value_to_json(evaluation.metadata))
        if rates and str(evaluation.create_time) > newest:  # other users may have imported evaluations without rates
            error_rates, newest = rates, str(evaluation.create_time)
    return ModelVersion(version.version_id, identity, aliases, bool(error_rates), error_rates)


def _read_error_rates(metadata: Any) -> dict[str, float]:
    """Return the error rates of an evaluation that this tool imported; empty for any other evaluation."""
    errors = metadata.get("errors") if isinstance(metadata, dict) else None
    rates = errors if isinstance(errors, dict) else {}
    return rates if all(isinstance(rate, int | float) for rate in rates.values()) else {}


def _to_endpoint(endpoint: vertex.Endpoint | None, model_name: str, versions: list[ModelVersion]) -> Endpoint | None:
    if endpoint is None:
        return None
    identities = {version.number: version.identity for version in versions}
    deployed_models = tuple(_to_deployed_model(model, model_name, identities) for model in endpoint.deployed_models)
    ids = {model.id for model in deployed_models}
    traffic_split = {id: percentage for id, percentage in endpoint.traffic_split.items() if percentage and id in ids}
    return Endpoint(endpoint.dedicated_endpoint_enabled, dict(endpoint.labels), deployed_models, traffic_split)


def _is_version_of(model: vertex.DeployedModel, model_name: str) -> bool:
    """Whether a deployed model is a version of a model; compares ids, since the API may name the project by number."""
    return model.model.partition("@")[0].rpartition("/")[2] == model_name.rpartition("/")[2]


def _to_deployed_model(
    model: vertex.DeployedModel, model_name: str, identities: dict[str, VersionIdentity | None]
) -> DeployedModel:
    resources = model.dedicated_resources
    targets = {spec.metric_name: spec.target for spec in resources.autoscaling_metric_specs}
    serving_config = ServingConfig(
        resources.machine_spec.machine_type,
        resources.min_replica_count,
        resources.max_replica_count,
        targets.get(CPU_METRIC, 60),
        model.service_account,
        model.enable_access_logging,
        not model.disable_container_logging,
    )
    version, identity = model.model_version_id, identities.get(model.model_version_id)
    if not _is_version_of(model, model_name):
        version, identity = f"{model.model.partition('@')[0].rpartition('/')[2]}@{version or 'default'}", None
    return DeployedModel(model.id, version, identity, serving_config, model.status.available_replica_count)
