"""``deploy/monitoring``: files that Cloud Logging and Cloud Monitoring accept, about lines that the server writes."""

import copy
import json
import re

import pytest
import yaml
from google.protobuf import json_format

from predictor.telemetry import RequestLog
from tests.conftest import ROOT
from tests.loopback import alerting
from trainer.artifact.monitoring import Observation

FILES = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "deploy" / "monitoring").glob("*.yaml")}
METRICS = {name.removesuffix("_metric"): content for name, content in FILES.items() if name.endswith("_metric")}
POLICIES = {name: content for name, content in FILES.items() if name.endswith("_policy")}


def test_every_file_has_only_fields_and_values_of_its_api():
    assert len(METRICS) + len(POLICIES) == len(FILES)
    for content in METRICS.values():
        alerting.check("metrics", content)
    for content in POLICIES.values():
        alerting.check("alertPolicies", content)


@pytest.mark.parametrize("change", [{"thresholdValues": 1}, {"comparison": "MORE"}, {"duration": "an hour"}])
def test_a_misspelt_policy_is_refused(change):
    policy = copy.deepcopy(POLICIES["images_policy"])
    policy["conditions"][0]["conditionThreshold"].update(change)
    with pytest.raises(json_format.ParseError):
        alerting.check("alertPolicies", policy)


@pytest.mark.parametrize("change", [{"filtre": "x"}, {"metricDescriptor": {"metricKind": "SUM"}}])
def test_a_misspelt_metric_is_refused(change):
    with pytest.raises(json_format.ParseError):
        alerting.check("metrics", {**METRICS["requests"], **change})


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_waits_on_fields_that_a_line_of_the_server_has(name, capsys):
    request_log = RequestLog({})
    request_log.observe(("same_writer", "1"), Observation("not_a_signature"))
    request_log.write(200)
    line = json.loads(capsys.readouterr().out)
    fields = re.findall(r"jsonPayload\.([a-z_.]+)", METRICS[name]["filter"] + METRICS[name].get("valueExtractor", ""))
    assert {"message", "status"} <= set(fields)
    for field in fields:
        value = line
        for key in field.split("."):
            assert key in value, field
            value = value[key]


def test_the_two_sides_of_a_ratio_are_aligned_alike():
    ratios = [
        condition["conditionThreshold"]
        for policy in POLICIES.values()
        for condition in policy["conditions"]
        if "denominatorFilter" in condition.get("conditionThreshold", {})
    ]
    assert ratios
    assert all(ratio["aggregations"] == ratio["denominatorAggregations"] for ratio in ratios)
