"""Training jobs: the specification of one, made of ``jobs/*.yaml`` and an environment, submitted and followed.

The YAML files are what gcloud takes as well, so there is one form of a job. Knows jobs, not models.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy import submission
from deploy.spec import Environment, as_label
from deploy.vertex import CloudError, NotAllowed, Vertex, as_json, proto
from trainer.console.errors import UserError

FOLDER = Path(__file__).parent / "jobs"
LATE = 5  # looks at the log after a job's end
OVERLAP = 200  # entries that are looked at again, for some may have come between


class JobFailed(UserError):
    """A job ended without success; the message is the platform's."""


def custom(environment: Environment, name: str, commit: str) -> dict[str, Any]:
    """A ``CustomJob`` in JSON: ``deploy/jobs/custom_job.yaml`` with what the environment says."""
    return {"displayName": name, "jobSpec": _spec(environment, name), "labels": _labels(environment, commit)}


def tuning(environment: Environment, name: str, commit: str, file: Path) -> dict[str, Any]:
    """A ``HyperparameterTuningJob`` in JSON: the study of a YAML file, trials as the environment's jobs are."""
    study = _read(file)
    for key in ("studySpec", "maxTrialCount", "parallelTrialCount"):
        if key not in study:
            raise UserError(f"{str(file)!r}: {key} is missing; see deploy/jobs/hp_tuning.yaml")
    described = {**study, "displayName": name, "trialJobSpec": _spec(environment, name)}
    return {**described, "labels": _labels(environment, commit)}


def shown(described: dict[str, Any]) -> str:
    """Exactly what is submitted, checked against the API's own messages. Raises ``CloudError`` for a wrong field."""
    return yaml.safe_dump(as_json(_message(described)), sort_keys=False)


def submit(vertex: Vertex, described: dict[str, Any]) -> str:
    """Hand a job over; returns its resource name. Raises ``CloudError`` or ``submission.NameTaken``."""
    kind = "hyperparameterTuningJobs" if "studySpec" in described else "customJobs"
    return submission.submit(vertex, submission.KINDS[kind], _message(described))


def follow(vertex: Vertex, name: str, every: float, tell: Callable[[str], None] = print) -> Any:
    """Print a job's log as it comes, until it ends; returns it. Raises ``JobFailed`` or ``CloudError``.

    A log that cannot be read is said once, and the job is followed without.
    """
    wait, id = vertex.wait(tell), name.rpartition("/")[2]
    log = _Log(vertex, id, wait.tell)
    state = ""
    while True:
        job = submission.get(vertex, name)
        if job.state.name.removeprefix("JOB_STATE_") != state:
            state = job.state.name.removeprefix("JOB_STATE_")
            wait.tell(f"{id}: {state.lower()}")
        log.read()
        if state in submission.ENDED:
            break
        wait.pause(every, f"job {id}, {state.lower()}")
    for _ in range(LATE):  # the last lines arrive when the job has ended already
        wait.pause(every, f"the last lines of job {id}")
        log.read()
    if state not in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
        raise JobFailed(f"{name} {state.lower()}: {job.error.message or 'the platform gives no reason; see its log'}")
    return job


class _Log:
    """What a job has printed and was not told yet; lines of several workers may come late, and out of order."""

    def __init__(self, vertex: Vertex, job: str, tell: Callable[[str], None]):
        self._vertex, self._job, self._tell = vertex, job, tell
        self._since, self._told = "", set[str]()
        self._readable, self._missed = True, False

    def read(self) -> None:
        if not self._readable:
            return
        try:
            entries = self._vertex.logs(self._job, self._since)
        except NotAllowed as error:
            self._readable = False
            self._tell(f"its log cannot be read ({error}); it is followed without")
            return
        except CloudError as error:  # the next look may read it
            if not self._missed:
                self._tell(f"its log could not be read just now ({error})")
            self._missed = True
            return
        self._missed = False
        for entry in entries:
            if entry["insertId"] in self._told:
                continue
            self._told.add(entry["insertId"])
            self._since = entries[max(0, len(entries) - OVERLAP)]["timestamp"]
            self._tell("  " + (entry.get("textPayload") or str(entry.get("jsonPayload", {}).get("message", ""))))


def arguments(described: dict[str, Any]) -> list[str]:
    """The trainer's flags in a job or in the trials of a study."""
    spec = described.get("jobSpec") or described["trialJobSpec"]
    return list(spec["workerPoolSpecs"][0]["containerSpec"]["args"])


def best(job: Any) -> Any:
    """The trial of a study whose metric is best."""
    metric = job.study_spec.metrics[0]
    sign = -1 if metric.goal.name == "MAXIMIZE" else 1
    measured = [trial for trial in job.trials if trial.final_measurement and trial.final_measurement.metrics]
    return min(measured, key=lambda trial: sign * trial.final_measurement.metrics[0].value, default=None)


def _message(described: dict[str, Any]) -> Any:
    return proto("HyperparameterTuningJob" if "studySpec" in described else "CustomJob", described)


def _spec(environment: Environment, name: str) -> dict[str, Any]:
    """A ``CustomJobSpec``: the form with what the environment says. Several workers: the first pool is the chief."""
    form, wanted = _read(FOLDER / "custom_job.yaml"), environment.training
    place = f"{wanted.output.rstrip('/')}/{name}"
    pool = form["workerPoolSpecs"][0]
    pool["machineSpec"]["machineType"] = wanted.training_machine
    if wanted.accelerators:
        pool["machineSpec"] |= {"acceleratorType": wanted.accelerator, "acceleratorCount": wanted.accelerators}
    if wanted.train_dir and any(one.partition("=")[0] == "--train-dir" for one in wanted.arguments):
        raise UserError("give --train-dir once: as train_dir (or --train-dir before '--'), or among the arguments")
    data = [f"--train-dir={one}" for one in wanted.train_dir]
    arguments = [*wanted.arguments, *data, f"--job-dir={place}"]
    pool["containerSpec"] |= {"imageUri": wanted.training_image, "args": arguments}
    pool["containerSpec"]["args"] += _tracked(environment, name)
    others = [{**pool, "replicaCount": wanted.workers - 1}] if wanted.workers > 1 else []
    form["workerPoolSpecs"] = [{**pool, "replicaCount": 1}, *others]
    timeout = f"{round(wanted.timeout_hours * 3600)}s"
    form["scheduling"] = {
        "timeout": timeout, "strategy": "SPOT" if wanted.spot else "STANDARD", "restartJobOnWorkerRestart": True
    }  # fmt: skip
    form["baseOutputDirectory"] = {"outputUriPrefix": place}
    if wanted.training_account:
        form["serviceAccount"] = wanted.training_account
    if wanted.tensorboard and not wanted.experiment:  # an experiment brings its own
        form["tensorboard"] = wanted.tensorboard
    return form


def _tracked(environment: Environment, name: str) -> Sequence[str]:
    wanted, place = environment.training, environment.place
    if not wanted.experiment:
        return []
    flags = [f"--experiment=projects/{place.project}/locations/{place.region}/{wanted.experiment}/{name}"]
    return [*flags, *([f"--tensorboard={wanted.tensorboard}"] if wanted.tensorboard else [])]


def _labels(environment: Environment, commit: str) -> dict[str, str]:
    version = environment.training.data_version
    told = {"commit": as_label(commit), "data-version": version}
    return {**environment.labelled(), **{name: value for name, value in told.items() if value}}


def _read(file: Path) -> dict[str, Any]:
    """A YAML file that is a mapping. Raises ``UserError``."""
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{str(file)!r} is no YAML mapping; see deploy/jobs/")
    return found
