"""What operators see: one JSON line a request on standard output, and counters for Prometheus. Never an image.

The lines have Cloud Logging's form (cloud.google.com/logging/docs/structured-logging). Python's default logging goes
to standard error, which Vertex AI shows as ERROR whatever was said.
"""

import contextlib
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

TRACES = (  # header, its form; https://cloud.google.com/trace/docs/trace-context
    ("traceparent", re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")),
    ("x-cloud-trace-context", re.compile(r"([0-9a-f]{32})(?:/\d+)?(?:;o=\d)?")),
)
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what may be taken over from a client into a log
PROJECT = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
disable_created_metrics()  # a second series for each, of when it began
BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)  # seconds


def log(severity: str, message: str, **fields: Any) -> None:
    """``severity`` is Cloud Logging's: INFO, WARNING, ERROR."""
    line = orjson.dumps({"severity": severity, "message": message, **fields}, default=str)
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


class JsonLines(logging.Handler):
    """Libraries' log records in our form: uvicorn's "address already in use" has to be seen as well."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record, one line; the exception's kind only, its text may quote a request."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log(record.levelname, record.getMessage(), logger=record.name, **({"kind": kind} if kind else {}))


class Record:
    """What is known about one request when it is answered; threads may add to it."""

    def __init__(self, headers: Mapping[str, str]):
        given = headers.get("x-request-id", "")
        self.id = given if ID.fullmatch(given) else uuid.uuid4().hex
        self.trace = _trace(headers)
        self.counts: dict[str, int] = {}
        self.error: str | None = None
        self.began = time.monotonic()
        self._took: list[tuple[str, float]] = []  # appended to by several threads at once

    @property
    def seconds(self) -> float:
        """Since the first byte."""
        return time.monotonic() - self.began

    def took(self, stage: str, seconds: float) -> None:
        """One image's time in a stage; images worked on at the same time add up."""
        self._took.append((stage, seconds))

    @contextlib.contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        """Times a block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.took(stage, time.monotonic() - began)

    def counted(self, **counts: int) -> None:
        """How many there were of something."""
        self.counts.update({name: count for name, count in counts.items() if count or name == "instances"})

    def stages(self) -> dict[str, float]:
        """Seconds by stage."""
        total: dict[str, float] = {}
        for stage, seconds in list(self._took):
            total[stage] = total.get(stage, 0.0) + seconds
        return total

    def say(self, status: int) -> None:
        """The request's line."""
        severity = "INFO" if status < 400 else "ERROR" if status == 500 else "WARNING"
        fields: dict[str, Any] = {"id": self.id, "status": status, **self.counts}
        if self.error:
            fields["error"] = self.error
        if self.trace:
            name = f"projects/{PROJECT}/traces/{self.trace}" if PROJECT else self.trace
            fields["logging.googleapis.com/trace"] = name
        spent = {"total": self.seconds, **self.stages()}
        log(severity, "predict", **fields, ms={stage: round(1000 * seconds, 2) for stage, seconds in spent.items()})


class Metrics:
    """Counters of one server; ``registry`` is what ``/metrics`` shows."""

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, CPU seconds, open files
        name = "countersign_"
        self.requests = Counter(name + "requests", "requests answered", ["status"], registry=self.registry)
        self.instances = Counter(name + "instances", "instances answered", registry=self.registry)
        self.seconds = Histogram(
            name + "request_seconds", "first byte to answer", buckets=BUCKETS, registry=self.registry
        )
        self.stages = Counter(name + "stage_seconds", "time spent, by stage", ["stage"], registry=self.registry)
        self.taken = Gauge(name + "images_taken", "images worked on or waiting", registry=self.registry)
        self.ready = Gauge(name + "ready", "1 while health says yes", registry=self.registry)

    def count(self, record: Record, status: int) -> None:
        """One request is answered."""
        self.requests.labels(str(status)).inc()
        self.seconds.observe(record.seconds)
        self.instances.inc(record.counts.get("instances", 0))
        for stage, seconds in record.stages().items():
            self.stages.labels(stage).inc(seconds)


def _trace(headers: Mapping[str, str]) -> str | None:
    for header, form in TRACES:
        found = form.fullmatch(headers.get(header, ""))
        if found:
            return found[1]
    return None
