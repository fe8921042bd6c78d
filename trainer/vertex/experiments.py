"""Log a run's parameters, metrics and curves to Vertex Experiments, if that is requested.

The only module of this package that imports Vertex AI's SDK, and only when it is used. A thread of its own sends
everything: a service that is slow, refuses or is unreachable costs the run nothing but the record. Sends names and
numbers only. Next: ``trainer/settings/experiment.py`` parses its name.
"""

import os
import queue
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from trainer.console.messages import LOG
from trainer.settings.experiment import NAME

CLOSE_SECONDS = 60.0  # that the end of a run waits for what is not sent yet


class Tracker:
    """One run of an experiment. No method raises, and only ``close`` waits, for ``CLOSE_SECONDS`` at most."""

    def __init__(self, name: str, tensorboard: str, run: str):
        """Start to send to the experiment ``name``; ``run`` is the name of the run if ``name`` has none."""
        self._queue: queue.Queue[Callable[[Any], None] | None] = queue.Queue()
        self._has_tensorboard = bool(tensorboard)
        match = NAME.fullmatch(name)
        assert match is not None  # noqa: S101 - the flag's parser has checked it
        project, region, experiment, run_name = match.groups()
        trial = os.environ.get("CLOUD_ML_TRIAL_ID")
        run_name = f"{run_name}-{trial}" if run_name and trial else run_name  # each trial of a study is a run
        target = {"project": project, "location": region, "experiment": experiment}
        self._thread = threading.Thread(
            target=self._send, args=(target, tensorboard or False, run_name or _make_run_name(run)), daemon=True
        )
        self._thread.start()

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Log nested settings by names such as ``training.epochs``, without those that are empty."""
        flat = {name: value for name, value in _flatten(settings) if value not in ("", None)}
        params = {name: value if isinstance(value, int | float) else str(value) for name, value in flat.items()}
        params = {name: int(value) if isinstance(value, bool) else value for name, value in params.items()}
        self._queue.put(lambda sdk: sdk.log_params(params))

    def log_epoch(self, number: int, row: Mapping[str, float]) -> None:
        """Log a point of each curve; without a TensorBoard there are no curves."""
        if self._has_tensorboard:
            self._queue.put(lambda sdk: sdk.log_time_series_metrics(dict(row), step=number))

    def log_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Log the numbers among nested metrics."""
        numbers = {name: float(value) for name, value in _flatten(metrics) if isinstance(value, int | float)}
        self._queue.put(lambda sdk: sdk.log_metrics(numbers))

    def close(self, failed: bool = False) -> None:
        """End the run, and wait until everything is sent."""
        self._queue.put(lambda sdk: sdk.end_run(sdk.gapic.Execution.State["FAILED" if failed else "COMPLETE"]))
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            LOG.warning(
                f"Vertex Experiments did not take everything within {CLOSE_SECONDS:.0f} s; the run is not affected"
            )

    def _send(self, target: dict[str, str], tensorboard: str | bool, run: str) -> None:
        try:
            sdk = _start_run(target, tensorboard, run)
            while call := self._queue.get():
                call(sdk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            LOG.warning(f"not in Vertex Experiments ({type(error).__name__}: {error}); the run is not affected")


def _start_run(target: dict[str, str], tensorboard: str | bool, run: str) -> Any:
    """Return the SDK with the run open: a new run, or the one that an interrupted job has started."""
    from google.api_core.exceptions import NotFound
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    # With these set, the SDK looks the experiment up before it knows project and credentials.
    for name in ("AIP_EXPERIMENT_NAME", "AIP_EXPERIMENT_RUN_NAME"):
        os.environ.pop(name, None)
    anonymous = os.environ.get("COUNTERSIGN_ANONYMOUS", "") not in ("", "0")
    aiplatform.init(
        **target,
        experiment_tensorboard=tensorboard,
        api_transport="rest",
        api_endpoint=os.environ.get("COUNTERSIGN_API_ENDPOINT") or None,
        credentials=AnonymousCredentials() if anonymous else None,
    )
    try:
        aiplatform.start_run(run, resume=True)
    except NotFound:
        aiplatform.start_run(run)
    return aiplatform


def _make_run_name(name: str) -> str:
    """Make a name of lower-case letters, digits and hyphens, as the service requires."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:100] or "run"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return (name, value) of nested mappings, with names joined by dots and lists as text."""
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            flat.append((prefix + name, ", ".join(map(str, value))))
        else:
            flat.append((prefix + name, value))
    return flat
