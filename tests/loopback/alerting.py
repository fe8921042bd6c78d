"""Metrics of Cloud Logging and alert policies of Cloud Monitoring: only fields and values that the APIs have.

gcloud sends what a file says, also misspelt; the services refuse it, and so does ``check``. Next: ``server.py``.
"""

from typing import Any

from google.api import distribution_pb2, metric_pb2
from google.cloud import monitoring_v3
from google.protobuf import json_format

LOG_METRIC = {  # cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics, without what the service sets
    "name",
    "description",
    "filter",
    "bucketName",
    "disabled",
    "metricDescriptor",
    "valueExtractor",
    "labelExtractors",
    "bucketOptions",
}


def check(kind: str, content: dict[str, Any]) -> None:
    """Check a resource of a collection, ``metrics`` or ``alertPolicies``. Raises ``json_format.ParseError``."""
    if kind == "alertPolicies":
        json_format.ParseDict(content, monitoring_v3.AlertPolicy.pb(monitoring_v3.AlertPolicy()))
        return
    if unknown := content.keys() - LOG_METRIC:
        raise json_format.ParseError(f"a LogMetric has no field {', '.join(sorted(unknown))}")
    json_format.ParseDict(content["metricDescriptor"], metric_pb2.MetricDescriptor())
    json_format.ParseDict(content.get("bucketOptions", {}), distribution_pb2.Distribution.BucketOptions())
