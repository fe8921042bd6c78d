"""A run's parameters, numbers and curves in Vertex Experiments, where that is asked for; it never fails a run.

The only importer of Vertex AI's SDK in this room, and only when asked. Everything is sent by a thread of its own: a
service that is slow, refuses or is not there costs the run nothing but the record. Knows names and numbers.
"""

import os
import queue
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from trainer.console.messages import LOG
from trainer.settings.experiment import NAME

PATIENCE = 60.0  # seconds that the end of a run waits for what was not sent yet


class Tracker:
    """One run of an experiment. Nothing here raises or waits, but for ``close``, which waits ``PATIENCE`` at most."""

    def __init__(self, name: str, tensorboard: str, run: str):
        """``run`` names the run where ``name`` does not."""
        self._todo: queue.Queue[Callable[[Any], None] | None] = queue.Queue()
        self._curves = bool(tensorboard)
        found = NAME.fullmatch(name)
        assert found is not None  # noqa: S101 - checked as a flag
        project, region, experiment, named = found.groups()
        trial = os.environ.get("CLOUD_ML_TRIAL_ID")
        named = f"{named}-{trial}" if named and trial else named  # each trial of a study is a run
        place = {"project": project, "location": region, "experiment": experiment}
        self._thread = threading.Thread(
            target=self._send, args=(place, tensorboard or False, named or _as_run(run)), daemon=True
        )
        self._thread.start()

    def parameters(self, settings: Mapping[str, Any]) -> None:
        """Settings, however nested, by names such as ``training.epochs``; what was left empty is left out."""
        flat = {name: value for name, value in _flat(settings) if value not in ("", None)}
        told = {name: value if isinstance(value, int | float) else str(value) for name, value in flat.items()}
        self._todo.put(lambda sdk: sdk.log_params({n: int(v) if isinstance(v, bool) else v for n, v in told.items()}))

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """A point of each curve; curves need a TensorBoard."""
        if self._curves:
            self._todo.put(lambda sdk: sdk.log_time_series_metrics(dict(row), step=number))

    def numbers(self, metrics: Mapping[str, Any]) -> None:
        """The published numbers."""
        told = {name: float(value) for name, value in _flat(metrics) if isinstance(value, int | float)}
        self._todo.put(lambda sdk: sdk.log_metrics(told))

    def close(self, failed: bool = False) -> None:
        """The run has ended."""
        self._todo.put(lambda sdk: sdk.end_run(sdk.gapic.Execution.State["FAILED" if failed else "COMPLETE"]))
        self._todo.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            LOG.warning(f"Vertex Experiments did not take everything within {PATIENCE:.0f} s; the run is not affected")

    def _send(self, place: dict[str, str], tensorboard: str | bool, run: str) -> None:
        try:
            sdk = _begun(place, tensorboard, run)
            while step := self._todo.get():
                step(sdk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            LOG.warning(f"not in Vertex Experiments ({type(error).__name__}: {error}); the run is not affected")


def _begun(place: dict[str, str], tensorboard: str | bool, run: str) -> Any:
    """The SDK with the run open: a new one, or the one that an interrupted job had begun."""
    from google.api_core.exceptions import NotFound
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    # With these set, the SDK looks the experiment up before it knows project and credentials.
    for name in ("AIP_EXPERIMENT_NAME", "AIP_EXPERIMENT_RUN_NAME"):
        os.environ.pop(name, None)
    anonymous = os.environ.get("COUNTERSIGN_ANONYMOUS", "") not in ("", "0")
    aiplatform.init(
        **place, experiment_tensorboard=tensorboard, api_transport="rest",
        api_endpoint=os.environ.get("COUNTERSIGN_API_ENDPOINT") or None,
        credentials=AnonymousCredentials() if anonymous else None,
    )  # fmt: skip
    try:
        aiplatform.start_run(run, resume=True)
    except NotFound:
        aiplatform.start_run(run)
    return aiplatform


def _as_run(name: str) -> str:
    """A name as the service takes it."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:100] or "run"


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            found.append((before + name, ", ".join(map(str, value))))
        else:
            found.append((before + name, value))
    return found
