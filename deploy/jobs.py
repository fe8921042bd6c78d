"""Training jobs and studies of hyperparameters: described by ``jobs/*.yaml`` and an environment, submitted, followed.

gcloud accepts the YAML files as well, so a job has one form. Next: ``job_submission.py`` submits a job once, even where
a reply is lost; ``preparation_job.py`` describes the job that prepares data.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy import job_submission
from deploy.errors import CloudError, PermissionDenied
from deploy.spec import Environment, JobSettings, to_label
from deploy.vertex import HyperparameterTuningJob, Job, Trial, VertexClient, make_message, message_to_json
from trainer.console.errors import UserError

JOBS_DIR = Path(__file__).parent / "jobs"
READS_AFTER_END = 5  # reads of the log after the end of a job: its last lines arrive late
OVERLAP = 200  # log entries that are read again: entries of several workers arrive out of order


class JobFailed(UserError):
    """A job ended without success; the message is the platform's."""


def make_custom_job(environment: Environment, name: str, commit: str) -> dict[str, Any]:
    """Describe a ``CustomJob`` in JSON: ``deploy/jobs/custom_job.yaml`` with the settings of the environment."""
    return {
        "displayName": name,
        "jobSpec": _make_job_spec(environment, name),
        "labels": make_labels(environment, commit),
    }


def make_tuning_job(environment: Environment, name: str, commit: str, file: Path) -> dict[str, Any]:
    """Describe a ``HyperparameterTuningJob`` in JSON: the study of a YAML file, with trials as custom jobs are."""
    study = read_yaml(file)
    for key in ("studySpec", "maxTrialCount", "parallelTrialCount"):
        if key not in study:
            raise UserError(f"{str(file)!r}: {key} is missing; see deploy/jobs/hp_tuning.yaml")
    trial = _make_job_spec(environment, name)
    return {**study, "displayName": name, "trialJobSpec": trial, "labels": make_labels(environment, commit)}


def render(job: dict[str, Any]) -> str:
    """Return the YAML of what is submitted. Raises ``CloudError`` for a field that the API does not have."""
    return yaml.safe_dump(message_to_json(_to_message(job)), sort_keys=False)


def submit(client: VertexClient, job: dict[str, Any]) -> str:
    """Submit a job and return its resource name. Raises ``CloudError`` or ``job_submission.JobNameTaken``."""
    kind = "hyperparameterTuningJobs" if "studySpec" in job else "customJobs"
    return job_submission.submit(client, job_submission.JOB_KINDS[kind], _to_message(job))


def follow(client: VertexClient, name: str, print_line: Callable[[str], None] = print) -> Any:
    """Print the log of a job until it ends, and return the job. Raises ``JobFailed`` or ``CloudError``.

    A log that cannot be read is reported once; the state of the job is followed all the same.
    """
    wait, job_id = client.start_wait(print_line), name.rpartition("/")[2]
    poll_interval = client.connection.poll_interval
    log = _Log(client, job_id, wait.print_line)
    state = ""
    while True:
        job = job_submission.get_job(client, name)
        if job.state.name.removeprefix("JOB_STATE_") != state:
            state = job.state.name.removeprefix("JOB_STATE_")
            wait.print_line(f"{job_id}: {state.lower()}")
        log.print_new_lines()
        if state in job_submission.FINAL_STATES:
            break
        wait.sleep(poll_interval, f"job {job_id}, {state.lower()}")
    for _ in range(READS_AFTER_END):
        wait.sleep(poll_interval, f"the last lines of job {job_id}")
        log.print_new_lines()
    if state not in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
        raise JobFailed(f"{name} {state.lower()}: {job.error.message or 'the platform gives no reason; see its log'}")
    return job


class _Log:
    """The log of a job: prints each line once; lines of several workers may arrive late and out of order."""

    def __init__(self, client: VertexClient, job_id: str, print_line: Callable[[str], None]):
        self._client, self._job_id, self._print_line = client, job_id, print_line
        self._since, self._printed = "", set[str]()
        self._is_readable, self._has_failed = True, False

    def print_new_lines(self) -> None:
        if not self._is_readable:
            return
        try:
            job_filter = f'resource.type="ml_job" AND resource.labels.job_id="{self._job_id}"'
            entries = [*self._client.read_logs(job_filter, self._since)]
        except PermissionDenied as error:
            self._is_readable = False
            self._print_line(f"its log cannot be read ({error}); the job is followed without it")
            return
        except CloudError as error:  # the next read may succeed
            if not self._has_failed:
                self._print_line(f"its log could not be read just now ({error})")
            self._has_failed = True
            return
        self._has_failed = False
        for entry in entries:
            if entry["insertId"] in self._printed:
                continue
            self._printed.add(entry["insertId"])
            self._since = entries[max(0, len(entries) - OVERLAP)]["timestamp"]
            self._print_line("  " + (entry.get("textPayload") or str(entry.get("jsonPayload", {}).get("message", ""))))


def trainer_arguments(job: dict[str, Any]) -> list[str]:
    """Return the flags of the trainer in a job, or in the trials of a study."""
    spec = job.get("jobSpec") or job["trialJobSpec"]
    return list(spec["workerPoolSpecs"][0]["containerSpec"]["args"])


def best_trial(study: HyperparameterTuningJob) -> Trial | None:
    """Return the trial with the best value of the study's metric; None where no trial has one."""
    metric = study.study_spec.metrics[0]
    sign = -1 if metric.goal.name == "MAXIMIZE" else 1
    measured = [trial for trial in study.trials if trial.final_measurement and trial.final_measurement.metrics]
    return min(measured, key=lambda trial: sign * trial.final_measurement.metrics[0].value, default=None)


def _to_message(job: dict[str, Any]) -> Job:
    return make_message("HyperparameterTuningJob" if "studySpec" in job else "CustomJob", job)


def _make_job_spec(environment: Environment, name: str) -> dict[str, Any]:
    """Describe a ``CustomJobSpec``: the form with the settings of the environment.

    Several workers are two pools: the first one is the chief, the second one the other workers.
    """
    form, settings = read_yaml(JOBS_DIR / "custom_job.yaml"), environment.training
    pool = form["workerPoolSpecs"][0]
    pool["machineSpec"]["machineType"] = settings.training_machine_type
    if settings.accelerator_count:
        pool["machineSpec"]["acceleratorType"] = settings.accelerator_type
        pool["machineSpec"]["acceleratorCount"] = settings.accelerator_count
    pool["containerSpec"]["imageUri"] = settings.training_image
    pool["containerSpec"]["args"] = [*make_flags(settings, name), *_make_experiment_flags(environment, name)]
    workers = [{**pool, "replicaCount": settings.workers - 1}] if settings.workers > 1 else []
    form["workerPoolSpecs"] = [{**pool, "replicaCount": 1}, *workers]
    form["scheduling"] = {
        "timeout": f"{round(settings.timeout_hours * 3600)}s",
        "strategy": "SPOT" if settings.spot else "STANDARD",
        "restartJobOnWorkerRestart": True,
    }
    form["baseOutputDirectory"] = {"outputUriPrefix": make_job_dir(settings, name)}
    if settings.training_service_account:
        form["serviceAccount"] = settings.training_service_account
    if settings.tensorboard and not settings.experiment:  # an experiment has its own flag for the TensorBoard
        form["tensorboard"] = settings.tensorboard
    return form


def make_flags(settings: JobSettings, name: str) -> list[str]:
    """Return the flags of the trainer for the data and the folder of a job. Raises ``UserError``."""
    if settings.train_dir and any(flag.partition("=")[0] == "--train-dir" for flag in settings.arguments):
        raise UserError("give --train-dir once: as train_dir (or --train-dir before '--'), or among the arguments")
    data = [f"--train-dir={path}" for path in settings.train_dir]
    return [*settings.arguments, *data, f"--job-dir={make_job_dir(settings, name)}"]


def make_job_dir(settings: JobSettings, name: str) -> str:
    """Return the folder of a job: a preparation and a training of one name have the same."""
    return f"{settings.output.rstrip('/')}/{name}"


def _make_experiment_flags(environment: Environment, name: str) -> Sequence[str]:
    settings, location = environment.training, environment.location
    if not settings.experiment:
        return []
    experiment = f"projects/{location.project}/locations/{location.region}/{settings.experiment}/{name}"
    return [
        f"--experiment={experiment}",
        *([f"--tensorboard={settings.tensorboard}"] if settings.tensorboard else []),
    ]


def make_labels(environment: Environment, commit: str) -> dict[str, str]:
    optional = {"commit": to_label(commit), "data-version": environment.training.data_version}
    return {**environment.resource_labels(), **{name: value for name, value in optional.items() if value}}


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping. Raises ``UserError``."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{str(file)!r} is no YAML mapping; see deploy/jobs/")
    return content
