"""One JSON line for each request on standard output, and metrics for Prometheus. Never the bytes of an image.

The lines have the form of Cloud Logging (cloud.google.com/logging/docs/structured-logging). Python's default logging
goes to standard error, which Vertex AI shows as ERROR whatever the level. Next: ``app.py``, which writes them.
"""

import contextlib
import itertools
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from trainer.artifact.monitoring import NOT_A_SIGNATURE, SIGNALS, Distributions, Observation

TRACES = (  # header, pattern of its value; https://cloud.google.com/trace/docs/trace-context
    ("traceparent", re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")),
    ("x-cloud-trace-context", re.compile(r"([0-9a-f]{32})(?:/\d+)?(?:;o=\d)?")),
)
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # the ids of clients that may go into the log
PROJECT = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
disable_created_metrics()  # each metric would have a second series with its time of creation
PREFIX = "countersign_"  # of the names of all metrics
Model = tuple[str, str]  # problem and version of the artefact that answered
BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)  # seconds


def log(severity: str, message: str, **fields: Any) -> None:
    """Write a line; ``severity`` is Cloud Logging's: INFO, WARNING or ERROR."""
    line = orjson.dumps({"severity": severity, "message": message, **fields}, default=str)
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


class JsonLogHandler(logging.Handler):
    """Writes the log records of libraries in the same form, such as uvicorn's "address already in use"."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line, with the class of its exception only: the message may quote a request."""
        class_name = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log(record.levelname, record.getMessage(), logger=record.name, **({"kind": class_name} if class_name else {}))


class RequestLog:
    """The id, trace, counts and times of one request; threads may add times."""

    def __init__(self, headers: Mapping[str, str]):
        id = headers.get("x-request-id", "")
        self.id = id if ID.fullmatch(id) else uuid.uuid4().hex
        self.trace = _find_trace(headers)
        self.counts: dict[str, int] = {}
        self.error_code: str | None = None
        self.started_at = time.monotonic()
        self.distributions: dict[Model, Distributions] = {}  # in which buckets values were, never those of one image
        self._seconds: list[tuple[str, float]] = []  # appended to by several threads at once

    @property
    def elapsed(self) -> float:
        """Seconds since the first byte of the request."""
        return time.monotonic() - self.started_at

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Add the time of one image in a stage; images that are processed at the same time add up."""
        self._seconds.append((stage, seconds))

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time that a block takes."""
        started_at = time.monotonic()
        try:
            yield
        finally:
            self.add_seconds(stage, time.monotonic() - started_at)

    def set_counts(self, **counts: int) -> None:
        """Set counts by name; a zero is left out, except for instances."""
        self.counts.update({name: count for name, count in counts.items() if count or name == "instances"})

    def observe(self, model: Model, observation: Observation) -> None:
        """Count what a model answered about one instance, and whether its image is a poor one."""
        self.distributions.setdefault(model, Distributions()).add(observation)
        if observation.warnings or observation.answer == NOT_A_SIGNATURE:
            self.counts["poor_images"] = self.counts.get("poor_images", 0) + 1

    def seconds_by_stage(self) -> dict[str, float]:
        """Sum the seconds of each stage."""
        totals: dict[str, float] = {}
        for stage, seconds in list(self._seconds):
            totals[stage] = totals.get(stage, 0.0) + seconds
        return totals

    def write(self, status: int) -> None:
        """Write the line of the request, answered with this HTTP status."""
        severity = "INFO" if status < 400 else "ERROR" if status == 500 else "WARNING"
        fields: dict[str, Any] = {"id": self.id, "status": status, **self.counts}
        if self.error_code:
            fields["error"] = self.error_code
        if self.trace:
            name = f"projects/{PROJECT}/traces/{self.trace}" if PROJECT else self.trace
            fields["logging.googleapis.com/trace"] = name
        if self.distributions:
            fields["observed"] = [
                {"model": name, "version": version, **distributions.to_line()}
                for (name, version), distributions in self.distributions.items()
            ]
        stages = {"total": self.elapsed, **self.seconds_by_stage()}
        log(severity, "predict", **fields, ms={stage: round(1000 * seconds, 2) for stage, seconds in stages.items()})


class Metrics:
    """The metrics of one server; ``GET /metrics`` responds with ``registry``."""

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, CPU seconds, open files
        self._distributions: dict[Model, Distributions] = {}
        self.requests = Counter(PREFIX + "requests", "requests answered", ["status"], registry=self.registry)
        self.instances = Counter(PREFIX + "instances", "instances answered", registry=self.registry)
        self.verifier_instances = Counter(
            PREFIX + "verifier_instances", "instances answered by a verifier", registry=self.registry
        )
        self.seconds = Histogram(
            PREFIX + "request_seconds", "first byte to answer", buckets=BUCKETS, registry=self.registry
        )
        self.stages = Counter(PREFIX + "stage_seconds", "time spent, by stage", ["stage"], registry=self.registry)
        self.in_flight = Gauge(
            PREFIX + "images_in_flight", "images that are processed or waiting", registry=self.registry
        )
        self.ready = Gauge(PREFIX + "ready", "1 while the server is ready", registry=self.registry)
        self.registry.register(self)

    def observe(self, request_log: RequestLog, status: int) -> None:
        """Count one answered request."""
        self.requests.labels(str(status)).inc()
        self.seconds.observe(request_log.elapsed)
        self.instances.inc(request_log.counts.get("instances", 0))
        self.verifier_instances.inc(request_log.counts.get("verifier_instances", 0))
        for stage, seconds in request_log.seconds_by_stage().items():
            self.stages.labels(stage).inc(seconds)
        for model, distributions in request_log.distributions.items():
            self._distributions.setdefault(model, Distributions()).merge(distributions)

    def collect(self) -> Iterator[Metric]:
        """Yield what was observed of the models, for Prometheus: counters of answers and warnings, and histograms."""
        labels = ["model", "version"]
        answers = CounterMetricFamily(PREFIX + "answers", "instances by answer", labels=[*labels, "answer"])
        warnings = CounterMetricFamily(PREFIX + "warnings", "instances with a warning", labels=[*labels, "code"])
        signals = {
            name: HistogramMetricFamily(PREFIX + name, f"{name}, {about.unit}", labels=labels)
            for name, about in SIGNALS.items()
        }
        for model, distributions in list(self._distributions.items()):
            for answer, count in distributions.answers.items():
                answers.add_metric([*model, answer], count)
            for code, count in distributions.warnings.items():
                warnings.add_metric([*model, code], count)
            for name, counts in distributions.signals.items():
                edges = [*map(str, SIGNALS[name].edges), "+Inf"]
                cumulated = itertools.accumulate(counts)
                signals[name].add_metric([*model], list(zip(edges, cumulated, strict=True)), sum_value=None)
        yield from (answers, warnings, *signals.values())


def _find_trace(headers: Mapping[str, str]) -> str | None:
    for header, pattern in TRACES:
        match = pattern.fullmatch(headers.get(header, ""))
        if match:
            return match[1]
    return None
