"""Check whether a live endpoint answers: send one image until each deployed model with traffic has answered.

Next: ``request_counts.py``.
"""

from collections.abc import Mapping

from deploy.errors import PermissionDenied
from deploy.live_state import Endpoint
from deploy.request_counts import Instance, Predict, RequestCounts, max_attempts

MAX_FAILURES = 5  # errors after which no more requests are sent
MISS_PROBABILITY = 1e-3  # chance that a deployed model that answers gets no request


def check_health(predict: Predict, traffic_split: Mapping[str, int], instance: Instance) -> RequestCounts:
    """Send an instance until each deployed model with traffic has answered, or too many requests have failed."""
    counts = RequestCounts()
    expected = {id for id, percentage in traffic_split.items() if percentage}
    limit = max_attempts(min(traffic_split[id] for id in expected), MISS_PROBABILITY) if expected else 0
    while not expected <= set(counts.answers) and counts.answers.total() < limit and counts.failed < MAX_FAILURES:
        try:
            counts.send(predict, [instance], {})
        except PermissionDenied as error:
            counts.count_error(error)
            break
    return counts


def describe_endpoint_health(endpoint: Endpoint, counts: RequestCounts) -> str:
    """Say for people whether an endpoint answers."""
    if not endpoint.traffic_split:
        return "takes no requests"
    if not counts.failed:
        return "answers"
    return f"{'fails sometimes' if counts.answers else 'does not answer'}: {counts}"


def describe_deployment_health(endpoint: Endpoint, id: str, counts: RequestCounts) -> str:
    """Say for people whether a deployed model answers; empty where it has no traffic and gets no requests."""
    if not endpoint.traffic_percentage(id):
        return ""
    return ", answers" if counts.answers[id] else f", did not answer any of {counts.requests} requests"
