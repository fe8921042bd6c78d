"""``python -m deploy drift --env ENV``: has what the endpoint sees moved away from the validation images of its model?

Next: ``observed.py`` reads what was seen, ``drift.py`` compares it.
"""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from deploy import drift, observed
from deploy.executor import connect
from deploy.observed import Observed
from deploy.spec import Environment
from deploy.vertex import VertexClient
from trainer.artifact import manifest
from trainer.artifact.monitoring import Distributions
from trainer.console.errors import UserError
from trainer.ready import fetch_artifact

MOVED = 3  # the exit status when something moved
ANY_VERSION = ""  # of a baseline that was saved from what was seen


@dataclasses.dataclass(frozen=True)
class DriftOptions:
    """What is compared: the last ``days`` of the endpoint's log, or files instead; and with which ``baseline``."""

    days: float
    log_lines: Path | None = None
    metrics: Path | None = None
    metrics_before: Path | None = None
    baseline: str = ""
    save_baseline: Path | None = None
    as_json: bool = False


def find_drift(client: VertexClient, environment: Environment, options: DriftOptions) -> int:
    """Compare and print; return the exit status, ``MOVED`` if something moved.

    Raises ``UserError`` or ``CloudError``.
    """
    if options.log_lines and options.metrics:
        raise UserError("--log-lines and --metrics are two forms of what was seen; give one of them")
    if options.metrics_before and not options.metrics:
        raise UserError("--metrics-before is the earlier one of two dumps; give the later one by --metrics")
    live = _read_live(client, environment, options)
    if options.save_baseline:
        by_model: dict[str, Distributions] = {}
        for (model, _), distributions in live.items():
            by_model.setdefault(model, Distributions()).merge(distributions)
        rows = [{"model": model, **distributions.to_json()} for model, distributions in by_model.items()]
        options.save_baseline.write_text(json.dumps(rows, indent=1) + "\n")
        print(f"saved: {options.save_baseline}; compare later weeks with --baseline {options.save_baseline}")
        return 0
    baselines = _read_baselines(client, environment, options.baseline)
    reports = []
    for (model, version), baseline in sorted(baselines.items()):
        if baseline.images:
            reports.append(_compare(model, version, baseline, live))
    if not reports:
        raise UserError(
            "the artefact has no distributions of validation images; it is of an earlier release. Take what was seen "
            "in weeks that you have checked: --save-baseline FILE, then --baseline FILE"
        )
    for report in reports:
        _print(report, environment.name, options.as_json)
    return MOVED if any(report["moved"] for report in reports) else 0


def _read_live(client: VertexClient, environment: Environment, options: DriftOptions) -> Observed:
    if options.log_lines:
        return observed.read_lines(options.log_lines)
    if options.metrics and options.metrics_before:
        return observed.read_between(options.metrics, options.metrics_before)
    if options.metrics:
        return observed.read_metrics(options.metrics)
    endpoint_id = environment.endpoint.endpoint_id
    log_filter = (
        f'resource.type="aiplatform.googleapis.com/Endpoint" AND resource.labels.endpoint_id="{endpoint_id}" '
        'AND jsonPayload.message="predict"'
    )
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=options.days)
    entries = client.read_logs(log_filter, since.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return observed.read_entries(entries, f"the log of endpoint {endpoint_id} in the last {options.days:g} days")


def _read_baselines(client: VertexClient, environment: Environment, path: str) -> Observed:
    """Read the distributions of an artefact and its parts, by default the one that has most of the traffic."""
    if path.endswith(".json"):
        try:
            content = json.loads(Path(path).read_text())
        except ValueError as error:
            raise UserError(f"{path!r} is not JSON: {error}") from None
        rows = content if isinstance(content, list) else [content]
        return {(_get_model(row, path), ANY_VERSION): Distributions.from_json(row) for row in rows}
    if path:
        return _read_artifact(fetch_artifact(path))
    executor = connect(client, environment)
    endpoint = executor.read_without_waiting().endpoint
    identities = {}
    if endpoint:
        known = [(model.id, model.identity) for model in endpoint.deployed_models if model.identity]
        identities = {endpoint.traffic_percentage(id): identity for id, identity in known}
    if not any(identities):
        raise UserError("no version that this tool deployed has traffic; give --baseline ARTEFACT")
    return _read_artifact(executor.open_release(identities[max(identities)]).folder)


def _read_artifact(folder: Path) -> Observed:
    described = manifest.read(folder)
    baselines = {
        (described.problem, manifest.identity(folder)[:12]): (
            Distributions.from_json(described.monitoring) if described.monitoring else Distributions()
        )
    }
    for part in filter(None, described.parts.values()):
        baselines |= _read_artifact(folder / part)
    return baselines


def _get_model(row: Any, path: str) -> str:
    if not isinstance(row, dict) or not isinstance(row.get("model"), str):
        raise UserError(f"{path!r} is no baseline: no 'model'; --save-baseline and trainer.evaluate write such files")
    return row["model"]


def _compare(model: str, version: str, baseline: Distributions, live: Observed) -> dict[str, Any]:
    """Compare the images that this version answered; those of other versions are counted."""
    chosen, others = Distributions(), 0
    for (name, live_version), distributions in live.items():
        if name == model and version in (live_version, ANY_VERSION):
            chosen.merge(distributions)
        elif name == model:
            others += distributions.images
    comparison = drift.compare(baseline, chosen)
    return {
        "model": model,
        "version": version,
        "comparison": comparison,
        "moved": comparison.list_moved(),
        "others": others,
    }


def _print(report: dict[str, Any], environment: str, as_json: bool) -> None:
    """Print a report: one line in the form of Cloud Logging, on which the alert policy waits, or a table."""
    comparison: drift.Comparison = report["comparison"]
    moved, enough = report["moved"], comparison.has_enough
    if as_json:
        line = {
            "severity": "WARNING" if moved else "INFO",
            "message": "drift",
            "environment": environment,
            **{name: report[name] for name in ("model", "version", "moved")},
            "enough": enough,
            "of_other_versions": report["others"],
            **dataclasses.asdict(comparison),
        }
        print(json.dumps(line))
        return
    of_version = f" {report['version']}" if report["version"] else ""
    print(
        f"{report['model']}{of_version}: {comparison.live_images:,} seen, beside {comparison.baseline_images:,} of the "
        "baseline"
    )
    if report["others"]:
        print(f"  {report['others']:,} more were answered by other versions; they are left out")
    for text in drift.format_comparison(comparison):
        print(text)
    if enough:
        print("  moved: " + "; ".join(moved) if moved else "  nothing has moved")
