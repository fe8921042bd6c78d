"""Read what a deployed model saw: from lines of the server's log, entries of Cloud Logging, or dumps of ``/metrics``.

Each gives distributions by model and version. Next: ``drift.py`` compares them with a baseline.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from trainer.artifact.monitoring import SIGNALS, BadDistributions, Distributions
from trainer.console.errors import UserError

PREFIX = "countersign_"
Model = tuple[str, str]  # problem and version of an artefact
Observed = dict[Model, Distributions]


class NothingObserved(UserError):
    """A file or a log has no observations; the message says what was read."""


def read_entries(entries: Iterable[Mapping[str, Any]], source: str) -> Observed:
    """Add up the observations of log entries, or of their payloads. Raises ``NothingObserved`` or ``BadDistributions``.

    Entries that are no answered requests are passed over.
    """
    observed: Observed = {}
    count = 0
    for entry in entries:
        payload = entry.get("jsonPayload", entry)
        count += 1
        for row in payload.get("observed", ()):
            model = (str(row.get("model")), str(row.get("version")))
            observed.setdefault(model, Distributions()).merge(Distributions.from_line(row))
    if not observed:
        raise NothingObserved(
            f"{source}: none of {count:,} entries has observations; servers since this release write them for every "
            "answered request"
        )
    return observed


def read_lines(path: Path) -> Observed:
    """Read a file of JSON lines, or a JSON array as ``gcloud logging read --format=json`` prints it.

    Raises ``NothingObserved``, ``BadDistributions`` or ``UserError``.
    """
    text = path.read_text(errors="replace")
    if text.lstrip().startswith("["):
        try:
            entries = json.loads(text)
        except ValueError as error:
            raise UserError(f"{str(path)!r} is no JSON array: {error}") from None
    else:
        entries = [_parse_line(line) for line in text.splitlines() if line.strip()]
    objects = [entry for entry in entries if isinstance(entry, dict)]
    if len(objects) < len(entries):
        print(f"{path}: {len(entries) - len(objects):,} lines are no JSON objects; they are left out")
    return read_entries(objects, repr(str(path)))


def _parse_line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def read_metrics(path: Path) -> Observed:
    """Read a dump of ``/metrics``. Raises ``NothingObserved``, ``BadDistributions`` or ``UserError``."""
    observed: Observed = {}
    try:
        for family in text_string_to_metric_families(path.read_text(errors="replace")):
            name = family.name.removeprefix(PREFIX)
            for sample in family.samples:
                if "version" in sample.labels:
                    _add_sample(observed, name, sample.name, sample.labels, sample.value)
    except ValueError as error:
        raise UserError(f"{str(path)!r} is no dump of /metrics: {error}") from None
    for distributions in observed.values():
        for counts in distributions.signals.values():  # those of Prometheus are cumulative
            counts[:] = [count - before for count, before in zip(counts, [0, *counts[:-1]], strict=True)]
        distributions.images = distributions.answers.total()
    if not observed:
        raise NothingObserved(f"{str(path)!r} has no observations; it has to be the text of a server's GET /metrics")
    return observed


def _add_sample(observed: Observed, family: str, sample: str, labels: Mapping[str, str], value: float) -> None:
    distributions = observed.setdefault((labels["model"], labels["version"]), Distributions())
    if sample == PREFIX + "answers_total":
        distributions.answers[labels["answer"]] += int(value)
    elif sample == PREFIX + "warnings_total":
        distributions.warnings[labels["code"]] += int(value)
    elif family in SIGNALS and sample.endswith("_bucket"):
        edges = (*SIGNALS[family].edges, math.inf)
        if float(labels["le"]) not in edges:
            raise BadDistributions(f"the dump has other buckets of {family!r}: it is of another release")
        distributions.add_counts(family)[edges.index(float(labels["le"]))] += int(value)


def subtract(after: Observed, before: Observed, source: str) -> Observed:
    """Return what was observed between two dumps. Raises ``UserError`` if a server was restarted between them."""
    differences: Observed = {}
    for model, distributions in after.items():
        earlier = before.get(model, Distributions())
        difference = Distributions(
            distributions.images - earlier.images,
            distributions.answers - earlier.answers,
            distributions.warnings - earlier.warnings,
            {
                name: [count - past for count, past in zip(counts, earlier.add_counts(name), strict=True)]
                for name, counts in distributions.signals.items()
            },
        )
        numbers = [difference.images, *(count for counts in difference.signals.values() for count in counts)]
        if min(numbers) < 0 or earlier.answers - distributions.answers:
            raise UserError(
                f"{source}: counters of {model[0]} are smaller than before: the server was restarted between"
            )
        differences[model] = difference
    return differences
