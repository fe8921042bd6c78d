"""The commands of ``python -m deploy`` that send requests to a live endpoint: smoke, status and predict.

Each returns the exit status. Next: ``smoke.py``, ``healthcheck.py`` and ``prediction_client.py``.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from deploy import cost, downscale, healthcheck, prediction_client
from deploy.errors import SmokeTestFailed
from deploy.executor import VertexExecutor, connect
from deploy.request_counts import Parameters
from deploy.spec import Environment
from deploy.vertex import VertexClient
from trainer.console.errors import UserError
from trainer.imaging import ImageError

JSON_MARGIN = 1000  # bytes of a request beside its images


def run_smoke_tests(client: VertexClient, environment: Environment) -> int:
    """Run the smoke test of every deployed version that has traffic. Raises ``SmokeTestFailed``."""
    executor = connect(client, environment)
    endpoint = executor.read_without_waiting().endpoint
    if endpoint is None:
        raise UserError("there is no endpoint; apply creates it")
    is_tested = False
    for model in endpoint.deployed_models:
        percentage = endpoint.traffic_percentage(model.id)
        if model.identity and percentage:
            counts = executor.run_smoke_test(model.id, model.identity, percentage)
            print(f"{endpoint.describe(model.id)}, {percentage} %: golden answers as recorded; {counts}")
            is_tested = True
    if not is_tested:
        raise SmokeTestFailed(f"no version that this tool deployed has traffic at {environment.endpoint.endpoint_id}")
    return 0


def show_status(client: VertexClient, environment: Environment) -> int:
    """Print versions, traffic, health, cost and the operation that is under way, without waiting for it."""
    executor = VertexExecutor(client, environment)
    live, endpoint_id = executor.read_without_waiting(), environment.endpoint.endpoint_id
    print(f"model {environment.model.model_id}: {len(live.versions)} versions")
    for version in live.versions:
        rates = ", ".join(f"{name} {rate:.2f} %" for name, rate in sorted(version.error_rates.items()))
        aliases = ", ".join(sorted(version.aliases)) or "no alias"
        identity = version.identity or "foreign, not registered by this tool"
        print(f"  version {version.number}: {identity}  {aliases}  {rates}".rstrip())
    endpoint = live.endpoint
    if endpoint is None:
        print(f"endpoint {endpoint_id}: there is none")
        return 0
    instance = prediction_client.make_instance(downscale.draw_test_image())
    counts = healthcheck.check_health(executor.prediction_client().predict_once, endpoint.traffic_split, instance)
    kind = "dedicated" if endpoint.is_dedicated else "shared"
    print(f"endpoint {endpoint_id} ({kind}): {healthcheck.describe_endpoint_health(endpoint, counts)}")
    for model in endpoint.deployed_models:
        config, available = model.serving_config, model.available_replicas
        replicas = f"{config.min_replicas} to {config.max_replicas} x {config.machine_type}"
        health = healthcheck.describe_deployment_health(endpoint, model.id, counts)
        print(
            f"  {endpoint.describe(model.id)}: {endpoint.traffic_percentage(model.id)} % of the traffic, "
            f"{'unknown' if available is None else available} of {replicas} up{health}"
        )
    print(cost.monthly_cost(endpoint, environment.location.region))
    if running := client.find_running_operation(client.endpoints, client.resource_name("endpoints", endpoint_id)):
        print(f"under way: {running}")
    return 0


def predict(
    client: VertexClient,
    environment: Environment,
    files: Sequence[Path],
    references: Sequence[Path],
    parameters: Parameters,
) -> int:
    """Send image files through the endpoint and print one prediction a line.

    An image that exceeds its part of a request is downscaled first.
    """
    predictions = VertexExecutor(client, environment).prediction_client()
    max_bytes = (predictions.max_request_bytes - JSON_MARGIN) // (1 + len(references))
    reference_images = [_read_image(file, max_bytes) for file in references]
    instances = [prediction_client.make_instance(_read_image(file, max_bytes), reference_images) for file in files]
    return_embedding = parameters.get("return_embedding", False)
    for batch in prediction_client.make_batches(instances, predictions.max_request_bytes, return_embedding):
        for prediction in predictions.predict(batch, parameters).predictions:
            print(json.dumps(prediction))
    return 0


def _read_image(file: Path, max_bytes: int) -> bytes:
    """Read an image file, downscaled if necessary. Raises ``UserError`` that names the file."""
    try:
        return downscale.fit_image(file.read_bytes(), max_bytes)
    except ImageError as error:
        raise UserError(f"{str(file)!r}: {error}") from None
