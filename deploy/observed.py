"""Read what a deployed model saw: from lines of the server's log, entries of Cloud Logging, or dumps of ``/metrics``.

Each gives distributions by model and version. Next: ``drift.py`` compares them with a baseline.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from trainer.artifact.monitoring import SIGNALS, BadDistributions, Distributions
from trainer.console.errors import UserError

PREFIX = "countersign_"
START_TIME = re.compile(r"^process_start_time_seconds (\S+)", re.MULTILINE)
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
        for row in _list_rows(payload):
            distributions = Distributions.from_line(row)
            if not (isinstance(row.get("model"), str) and isinstance(row.get("version"), str)):
                raise BadDistributions(f"{source}: a line with observations does not name their model and version")
            observed.setdefault((row["model"], row["version"]), Distributions()).merge(distributions)
    if not observed:
        raise NothingObserved(
            f"{source}: none of {count:,} entries has observations; servers since this release write them for every "
            "answered request"
        )
    return observed


def _list_rows(payload: Any) -> list[Any]:
    """Return the rows of a request's line; other programs may write whatever they like."""
    rows = payload.get("observed") if isinstance(payload, dict) else None
    return rows if isinstance(rows, list) else []


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
        skipped = f"{path}: {len(entries) - len(objects):,} lines are no JSON objects; they are left out"
        print(skipped, file=sys.stderr)  # not among the lines of --json
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
            for sample in family.samples:
                if sample.name.startswith(PREFIX) and "version" in sample.labels:
                    _add_sample(observed, sample.name, sample.labels, sample.value)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{str(path)!r} is no dump of /metrics: {error}") from None
    except KeyError as error:
        raise UserError(f"{str(path)!r} is no dump of /metrics: a line has no label {error}") from None
    for distributions in observed.values():
        for signal, counts in distributions.signals.items():  # those of Prometheus are cumulative
            counts[:] = [count - before for count, before in zip(counts, [0, *counts[:-1]], strict=True)]
            if min(counts) < 0:
                raise BadDistributions(f"{str(path)!r}: buckets of {signal!r} are missing, or their counts fall")
        distributions.images = distributions.answers.total()
    if not observed:
        raise NothingObserved(f"{str(path)!r} has no observations; it has to be the text of a server's GET /metrics")
    return observed


def _add_sample(observed: Observed, sample: str, labels: Mapping[str, str], value: float) -> None:
    signal = sample.removeprefix(PREFIX).removesuffix("_bucket")
    distributions = observed.setdefault((labels["model"], labels["version"]), Distributions())
    if sample == PREFIX + "answers_total":
        distributions.answers[labels["answer"]] += int(value)
    elif sample == PREFIX + "warnings_total":
        distributions.warnings[labels["code"]] += int(value)
    elif signal in SIGNALS and sample.endswith("_bucket"):
        edges = (*SIGNALS[signal].edges, math.inf)
        if float(labels["le"]) not in edges:
            raise BadDistributions(f"the dump has other buckets of {signal!r}: it is of another release")
        distributions.add_counts(signal)[edges.index(float(labels["le"]))] += int(value)


def read_between(after: Path, before: Path) -> Observed:
    """Read what a server observed between two dumps. Raises ``UserError`` if they are not of one run of it."""
    source = f"{before}, {after}"
    starts = [START_TIME.search(path.read_text(errors="replace")) for path in (before, after)]
    if starts[0] and starts[1] and starts[0][1] != starts[1][1]:
        raise UserError(f"{source}: the server was restarted between the two, or they are of two servers")
    return subtract(read_metrics(after), read_metrics(before), source)


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
