"""The server counts what is watched: its metrics and its log lines say the same, and neither says too much."""

import base64
import contextlib
import io
import json

import httpx
import pytest

from deploy import observed
from predictor.request import build_body
from tests.conftest import serving


@pytest.fixture(scope="module")
def genuine(verification_data):
    return [path.read_bytes() for path in sorted((verification_data / "007").iterdir())]


@pytest.fixture(scope="module")
def watched(verifier_artifact, genuine):
    """A server that answered five questioned signatures in two requests and refused one; its log and its metrics."""
    with contextlib.redirect_stdout(io.StringIO()) as log, serving("--artifact", str(verifier_artifact)) as address:
        for images in (genuine[3:6], genuine[5:7]):
            response = httpx.post(f"{address}/predict", content=build_body(images, genuine[:3]))
            assert response.status_code == 200
        refused = {"instances": [{"image": base64.b64encode(b"no image").decode()}]}
        assert httpx.post(f"{address}/predict", json=refused).status_code == 400
        version = httpx.get(f"{address}/health").json()["version"]
        metrics = httpx.get(f"{address}/metrics").text
    return log.getvalue(), metrics, version  # the log is printed when the server has stopped


def test_metrics_and_log_lines_give_the_same_distributions(watched, tmp_path):
    log, metrics, version = watched
    (tmp_path / "log").write_text(log)
    (tmp_path / "metrics").write_text(metrics)
    from_log, from_metrics = observed.read_lines(tmp_path / "log"), observed.read_metrics(tmp_path / "metrics")
    assert from_log == from_metrics
    distributions = from_log[("same_writer", version)]
    assert distributions.images == 5, "the refused one is not counted"
    assert sum(distributions.signals["distance"]) == 5
    assert sum(distributions.signals["contrast"]) == 5


def test_a_log_line_has_buckets_and_no_values(watched):
    lines = [json.loads(line) for line in watched[0].splitlines() if '"observed"' in line]
    assert len(lines) == 2
    (row,) = lines[0]["observed"]
    assert set(row) - {"model", "version", "images", "answers", "warnings"} <= set(observed.SIGNALS)
    numbers = [count for name in set(row) & set(observed.SIGNALS) for count in row[name].values()]
    assert all(isinstance(number, int) and number <= 3 for number in numbers)


def test_a_line_counts_poor_images():
    from predictor.telemetry import RequestLog
    from trainer.artifact.monitoring import Observation

    request_log = RequestLog({})
    for answer, warnings in (("accept", ()), ("accept", ("blurred", "cut_off")), ("not_a_signature", ())):
        request_log.observe(("same_writer", "1"), Observation(answer, warnings))
    assert request_log.counts == {"poor_images": 2}


def test_a_document_and_its_signatures_are_watched_by_the_models_that_answered(chain_server, document, genuine):
    instance = {"image": base64.b64encode(document).decode(), "references": [base64.b64encode(genuine[0]).decode()]}
    assert httpx.post(f"{chain_server}/predict", json={"instances": [instance]}).status_code == 200
    metrics = httpx.get(f"{chain_server}/metrics").text
    assert 'countersign_regions_bucket{le="0",model="signature_on_page"' in metrics
    assert 'countersign_answers_total{answer="' in metrics
    assert 'model="same_writer"' in metrics, "the verifier of the artefact compared what was found"
