"""The job that prepares data on Dataflow: one machine on Vertex AI runs ``trainer.prepare``, which submits the jobs.

So any machine can start a preparation: it needs neither Beam nor the data, and need not wait. What Beam and the trainer
would refuse is refused here first; Beam itself is not imported. Next: ``jobs.py`` submits and follows it,
``preparation_cost.py`` estimates its cost, ``trainer/prepare.py`` is what it runs.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from deploy import jobs, measurements
from deploy.machine_types import parse_machine_type
from deploy.spec import Environment
from trainer.console.errors import UserError
from trainer.settings.config import parse_config
from trainer.storage import REMOTE

FORM = "prepare_job.yaml"
MIN_GB_PER_CORE = 1.5  # a worker process, the measured peak of which is 0.85 GB, and its share of the system
NOT_LISTED = (".zip", ".csv")  # data that the workers of Dataflow cannot read one image after the other
SETTING_OF_OPTION = {  # of options of Beam that settings determine
    "project": "project",
    "region": "region",
    "sdk_container_image": "preparation_image",
    "machine_type": "worker_machine_type",
    "worker_machine_type": "worker_machine_type",
    "max_num_workers": "max_workers",
    "disk_size_gb": "worker_disk_gb",
    "service_account_email": "preparation_service_account",
}
FIXED_OPTIONS = ("runner", "job_name", "autoscaling_algorithm")


def make_job(environment: Environment, name: str, commit: str) -> dict[str, Any]:
    """Describe a ``CustomJob`` in JSON: ``deploy/jobs/prepare_job.yaml`` with the settings of the environment."""
    form, settings, training = jobs.read_yaml(jobs.JOBS_DIR / FORM), environment.preparation, environment.training
    (pool,) = form["workerPoolSpecs"]
    pool["machineSpec"]["machineType"] = settings.driver_machine_type
    pool["containerSpec"]["imageUri"] = settings.preparation_image
    flags = [*jobs.make_flags(training, name), "--runner=dataflow"]
    pool["containerSpec"]["args"] = [*flags, "--", *_make_beam_options(environment)]
    form["scheduling"]["timeout"] = f"{round(training.timeout_hours * 3600)}s"
    form["baseOutputDirectory"] = {"outputUriPrefix": jobs.make_job_dir(training, name)}
    if settings.preparation_service_account:
        form["serviceAccount"] = settings.preparation_service_account
    return {"displayName": name, "jobSpec": form, "labels": jobs.make_labels(environment, commit)}


def check_flags(environment: Environment, name: str) -> list[str]:
    """Check all flags of the job, and return the ``gs://`` folders of its images.

    Raises ``UserError``; exits with a message and status 2 for a flag that the trainer does not have.
    """
    settings = environment.preparation
    flags = jobs.make_flags(environment.training, name)
    if "--" in flags:
        raise UserError("options of Beam are no flags of the trainer; give each as --beam-options=--NAME=VALUE")
    config = parse_config(flags, {}, prog="python -m deploy prepare: arguments")
    for option in settings.beam_options:
        option_name = option.partition("=")[0].removeprefix("--")
        if option_name in SETTING_OF_OPTION:
            flag = "--" + SETTING_OF_OPTION[option_name].replace("_", "-")
            raise UserError(f"beam_options: --{option_name} is set by {flag}, which the estimate reads; give that")
        if option_name in FIXED_OPTIONS:
            raise UserError(f"beam_options: --{option_name} is set by this command")
    worker = parse_machine_type(settings.worker_machine_type)
    if worker and worker.memory_gb / worker.vcpus < MIN_GB_PER_CORE:
        peak = measurements.read("preparation")["worker_peak_megabytes"]
        raise UserError(
            f"worker_machine_type: {settings.worker_machine_type} has {worker.memory_gb / worker.vcpus:g} GB for each "
            f"core; a worker process on each core takes up to {peak:,} MB, so it has to be {MIN_GB_PER_CORE} or more"
        )
    return [_check_source(argument) for argument in (*config.data.train_dir, *config.data.test_dir)]


def _make_beam_options(environment: Environment) -> Sequence[str]:
    settings, location = environment.preparation, environment.location
    account = settings.preparation_service_account
    return [
        f"--project={location.project}",
        f"--region={location.region}",
        f"--sdk_container_image={settings.preparation_image}",
        f"--machine_type={settings.worker_machine_type}",
        f"--disk_size_gb={settings.worker_disk_gb}",
        f"--max_num_workers={settings.max_workers}",
        "--autoscaling_algorithm=THROUGHPUT_BASED",
        *([f"--service_account_email={account}"] if account else []),
        *(f"--labels={key}={value}" for key, value in environment.resource_labels().items()),
        *settings.beam_options,
    ]


def _check_source(argument: str) -> str:
    """Return the path of ``[LABEL=]PATH``. Raises ``UserError`` for one that workers of Dataflow cannot read."""
    label, _, path = argument.rpartition("=")
    if not path.startswith(REMOTE) or "/" in label:
        raise UserError(f"{argument!r} is not a gs:// path; the workers of Dataflow have no other folder in common")
    if PurePosixPath(path.rstrip("/")).suffix.lower() in NOT_LISTED:
        raise UserError(f"{path!r} cannot be read by many workers; name a folder of image files")
    return path
