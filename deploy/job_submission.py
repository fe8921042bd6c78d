"""Submit a job once. Where the reply to its creation is lost, look the job up by its name: it may run, and bill.

The caller cannot choose a job's id, so a second creation would be a second job. Used by ``jobs.py`` and
``batch_prediction.py``.
"""

import dataclasses
import json
import re
import shlex

from deploy.errors import CloudError, ServiceUnavailable
from deploy.vertex import Job, VertexClient
from trainer.console.errors import UserError

LIST_ATTEMPTS = 3  # after a lost reply: a new job may appear in the list of jobs a moment later
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")


class JobNameTaken(UserError):
    """A job of the same name is under way."""


class JobMayRun(CloudError):
    """It is unknown whether a job was created; the message says how to find out."""


@dataclasses.dataclass(frozen=True)
class JobKind:
    """The names of a kind of job: field in the API's messages, group of gcloud (empty: none), page of the console."""

    field: str
    gcloud_group: str
    console_page: str


JOB_KINDS = {
    "customJobs": JobKind("custom_job", "custom-jobs", "training/custom-jobs"),
    "hyperparameterTuningJobs": JobKind(
        "hyperparameter_tuning_job", "hp-tuning-jobs", "training/hyperparameter-tuning-jobs"
    ),
    "batchPredictionJobs": JobKind("batch_prediction_job", "", "batch-predictions"),
}


def submit(client: VertexClient, kind: JobKind, job: Job) -> str:
    """Create a job and return its resource name.

    Raises ``JobNameTaken``, ``JobMayRun`` or another ``CloudError``.
    """
    before = _list_states(client, kind, job.display_name)
    running = [name for name, state in before.items() if state.removeprefix("JOB_STATE_") not in FINAL_STATES]
    if running:
        raise JobNameTaken(f"a job named {job.display_name!r} is under way: {running[0]}; choose another --name")
    create = getattr(client.jobs, f"create_{kind.field}")
    try:
        return str(client.change(create, {"parent": client.parent, kind.field: job}).name)
    except CloudError as error:
        has_reply = error.status is not None or not isinstance(error, ServiceUnavailable)
        if has_reply and (error.status or 0) < 500:
            raise  # the API refused the request: there is no job
        return _find_created(client, kind, job.display_name, set(before), error)


def get_job(client: VertexClient, name: str) -> Job:
    """Read the job of a resource name as it is now. Raises ``CloudError``."""
    kind = JOB_KINDS[name.split("/")[-2]]
    job = client.read(getattr(client.jobs, f"get_{kind.field}"), {"name": name})
    if job is None:
        raise CloudError(f"there is no job {name}")
    return job


def _find_created(client: VertexClient, kind: JobKind, display_name: str, before: set[str], lost: CloudError) -> str:
    """Return the name of the job that a call without a reply has created. Raises ``JobMayRun``."""
    wait = client.start_wait()
    for _ in range(LIST_ATTEMPTS):
        try:
            new = set(_list_states(client, kind, display_name)) - before
        except CloudError as error:
            reason = f"it cannot be looked up ({error})"
            raise JobMayRun(_explain_lookup(client, kind, display_name, lost, reason)) from None
        if len(new) == 1:
            (name,) = new
            wait.print_line(f"the reply was lost ({lost}); the job was created, as its name shows: {name}")
            return name
        if new:
            raise JobMayRun(_explain_lookup(client, kind, display_name, lost, f"{len(new)} jobs have its name now"))
        wait.sleep(client.connection.poll_interval, f"job {display_name!r} to be listed")
    raise JobMayRun(_explain_lookup(client, kind, display_name, lost, "no job of its name is listed yet"))


def _list_states(client: VertexClient, kind: JobKind, display_name: str) -> dict[str, str]:
    """Return the states of all jobs of a display name, by resource name."""
    request = {"parent": client.parent, "filter": f"display_name={json.dumps(display_name)}"}
    jobs = client.list_all(getattr(client.jobs, f"list_{kind.field}s"), request)
    return {job.name: job.state.name for job in jobs if job.display_name == display_name}


def _explain_lookup(client: VertexClient, kind: JobKind, display_name: str, lost: CloudError, reason: str) -> str:
    """Return the message of ``JobMayRun``, with gcloud's command and the console's page that list the job."""
    project, region = client.connection.project, client.connection.region
    name = display_name if re.fullmatch(r"[\w.-]+", display_name) else json.dumps(display_name)
    places = [f"https://console.cloud.google.com/vertex-ai/{kind.console_page}?project={project}"]
    if kind.gcloud_group:
        command = f"gcloud ai {kind.gcloud_group} list --project={project} --region={region}"
        places.insert(0, f"{command} --filter={shlex.quote(f'displayName={name}')}")
    return (
        f"the reply to the creation of job {display_name!r} was lost ({lost}), and {reason}: it may run, and bill. "
        "Look before you submit it again: " + " or ".join(places)
    )
