"""The commands of ``python -m deploy`` that submit jobs and follow them: prepare, train and batch.

Next: ``preparation_job.py``, ``jobs.py`` and ``batch_prediction.py`` describe the jobs.
"""

import dataclasses
import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path

from deploy import batch_prediction, jobs, preparation_cost, preparation_job
from deploy.executor import VertexExecutor
from deploy.spec import Environment, to_label
from deploy.vertex import VertexClient
from trainer.console.errors import UserError
from trainer.settings.config import parse_config


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """The flags of ``train`` itself: further flags of the trainer, name and label of the job, file of a study."""

    trainer_flags: Sequence[str] = ()
    name: str = ""
    commit: str = ""
    study: Path | None = None
    dry_run: bool = False
    follow: bool = True


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """The flags of ``prepare`` itself; ``images`` is their number for the estimate, counted if it is ``None``."""

    trainer_flags: Sequence[str] = ()
    name: str = ""
    commit: str = ""
    images: int | None = None
    dry_run: bool = False
    follow: bool = True


def prepare(client: VertexClient, environment: Environment, options: PrepareOptions) -> int:
    """Print a job that prepares data on Dataflow and what it will cost, submit it and follow it.

    All flags are checked before. The job of a name continues what an earlier job of this name has finished.
    """
    environment = _add_arguments(environment, options.trainer_flags)
    name = options.name or _make_job_name(environment, "data")
    job = preparation_job.make_job(environment, name, options.commit)
    sources = preparation_job.check_flags(environment, name)
    print(jobs.render(job), end="")
    images = preparation_cost.ImageCount(options.images) if options.images else preparation_cost.count_images(sources)
    print(preparation_cost.estimate(environment, images))
    if options.dry_run:
        return 0
    resource_name = jobs.submit(client, job)
    print(f"submitted: {resource_name}; --name {name} continues it if it fails or is cancelled")
    if not options.follow:
        return 0
    try:
        jobs.follow(client, resource_name)
    except jobs.JobFailed as error:
        raise jobs.JobFailed(f"{error}\nthe same command with --name {name} continues it") from None
    print(f"records: {jobs.make_job_dir(environment.training, name)}/records")
    return 0


def train(client: VertexClient, environment: Environment, options: TrainOptions) -> int:
    """Print a training job, submit it and follow it.

    The flags of the trainer are checked before: a typo would cost the start of a machine.
    """
    environment = _add_arguments(environment, options.trainer_flags)
    name = options.name or _make_job_name(environment, "job")
    job = (
        jobs.make_tuning_job(environment, name, options.commit, options.study)
        if options.study
        else jobs.make_custom_job(environment, name, options.commit)
    )
    parse_config(jobs.trainer_arguments(job), {}, prog="python -m deploy train: arguments")
    print(jobs.render(job), end="")
    if options.dry_run:
        return 0
    resource_name = jobs.submit(client, job)
    print(f"submitted: {resource_name}")
    if not options.follow:
        return 0
    finished = jobs.follow(client, resource_name)
    job_dir = jobs.make_job_dir(environment.training, name)
    if options.study:
        trial = jobs.best_trial(finished)
        if trial is None:
            raise jobs.JobFailed(f"{resource_name}: no trial measured {finished.study_spec.metrics[0].metric_id}")
        values = ", ".join(f"{parameter.parameter_id} {parameter.value}" for parameter in trial.parameters)
        print(f"best trial: {trial.id} ({trial.final_measurement.metrics[0].value:g}; {values})")
        job_dir = f"{job_dir}/{trial.id}"
    print(f"artefact: {job_dir}/model")
    return 0


def predict_batch(
    client: VertexClient, environment: Environment, input_path: str, output_prefix: str, replicas: int
) -> int:
    """Run a batch prediction job by the serving version over a prefix of images or a file of instances."""
    live = VertexExecutor(client, environment).read_without_waiting()
    version = live.find_by_alias(environment.model.serving_alias)
    if version is None:
        raise UserError(f"no version has the alias {environment.model.serving_alias!r}; apply sets it")
    request = batch_prediction.BatchRequest(
        _make_job_name(environment, "batch"), version.number, input_path, output_prefix, replicas
    )
    resource_name = batch_prediction.submit(client, batch_prediction.make_job(client, environment, request))
    print(f"submitted: {resource_name}, by version {version.number}")
    finished = jobs.follow(client, resource_name)
    print(batch_prediction.summarize(finished))
    return 0 if finished.state.name == "JOB_STATE_SUCCEEDED" else 1


def _add_arguments(environment: Environment, flags: Sequence[str]) -> Environment:
    """Return the environment with further flags of the trainer."""
    training = dataclasses.replace(environment.training, arguments=(*environment.training.arguments, *flags))
    return dataclasses.replace(environment, training=training)


def _make_job_name(environment: Environment, kind: str) -> str:
    """Return a name that every service accepts; jobs that start in the same second have different names."""
    suffix = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return f"{to_label(environment.name).replace('_', '-')}-{kind}-{suffix}"
