"""Submit a job once: where the reply to its creation is lost, it is looked up by its name, for it may run and bill.

A job has no id that a caller could choose, so a second creation would be a second job. Knows jobs of any kind, not what
they do. Used by ``jobs.py`` and ``batch.py``.
"""

import dataclasses
import json
import re
import shlex
from typing import Any

from deploy.vertex import CloudError, Unavailable, Vertex
from trainer.console.errors import UserError

LOOKS = 3  # at the list of jobs after a lost reply: a new job may take a moment to be listed
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")


class NameTaken(UserError):
    """A job of the same name is under way."""


class MayRun(CloudError):
    """Whether a job was created is not known; the message says how to see it."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What one kind of job is called: in the API's messages, as gcloud's group (empty: none), in the console."""

    field: str
    gcloud: str
    page: str


KINDS = {
    "customJobs": Kind("custom_job", "custom-jobs", "training/custom-jobs"),
    "hyperparameterTuningJobs": Kind(
        "hyperparameter_tuning_job", "hp-tuning-jobs", "training/hyperparameter-tuning-jobs"
    ),
    "batchPredictionJobs": Kind("batch_prediction_job", "", "batch-predictions"),
}


def submit(vertex: Vertex, kind: Kind, job: Any) -> str:
    """Create a job; returns its resource name. Raises ``NameTaken``, ``MayRun`` or another ``CloudError``."""
    before = _named(vertex, kind, job.display_name)
    if under_way := [name for name, state in before.items() if state.removeprefix("JOB_STATE_") not in ENDED]:
        raise NameTaken(f"a job named {job.display_name!r} is under way: {under_way[0]}; choose another --name")
    create = getattr(vertex.jobs, f"create_{kind.field}")
    try:
        return str(vertex.change(create, {"parent": vertex.parent, kind.field: job}).name)
    except CloudError as error:
        no_reply = isinstance(error, Unavailable) and error.status is None
        if not no_reply and (error.status or 0) < 500:
            raise  # it was refused: there is no job
        return _created(vertex, kind, job.display_name, set(before), error)


def get(vertex: Vertex, name: str) -> Any:
    """The job of a resource name as it is now. Raises ``CloudError``."""
    job = vertex.read(getattr(vertex.jobs, f"get_{KINDS[name.split('/')[-2]].field}"), {"name": name})
    if job is None:
        raise CloudError(f"there is no job {name}")
    return job


def _created(vertex: Vertex, kind: Kind, display_name: str, before: set[str], lost: CloudError) -> str:
    """The job that a call without a reply has created."""
    wait = vertex.wait()
    for _ in range(LOOKS):
        try:
            new = set(_named(vertex, kind, display_name)) - before
        except CloudError as error:
            raise MayRun(_may_run(vertex, kind, display_name, lost, f"it cannot be looked up ({error})")) from None
        if len(new) == 1:
            (name,) = new
            wait.tell(f"the reply was lost ({lost}); the job was created, as its name shows: {name}")
            return name
        if new:
            raise MayRun(_may_run(vertex, kind, display_name, lost, f"{len(new)} jobs have its name now"))
        wait.pause(vertex.connection.poll, f"job {display_name!r} to be listed")
    raise MayRun(_may_run(vertex, kind, display_name, lost, "no job of its name is listed yet"))


def _named(vertex: Vertex, kind: Kind, display_name: str) -> dict[str, str]:
    """The states of all jobs of a display name, by resource name."""
    request = {"parent": vertex.parent, "filter": f"display_name={json.dumps(display_name)}"}
    jobs = vertex.listed(getattr(vertex.jobs, f"list_{kind.field}s"), request)
    return {job.name: job.state.name for job in jobs if job.display_name == display_name}


def _may_run(vertex: Vertex, kind: Kind, display_name: str, lost: CloudError, reason: str) -> str:
    place = vertex.connection
    group = f"gcloud ai {kind.gcloud} list --project={place.project} --region={place.region}"
    name = display_name if re.fullmatch(r"[\w.-]+", display_name) else json.dumps(display_name)
    command = f"{group} --filter={shlex.quote(f'displayName={name}')}" if kind.gcloud else ""
    console = f"https://console.cloud.google.com/vertex-ai/{kind.page}?project={place.project}"
    return (
        f"the reply to the creation of job {display_name!r} was lost ({lost}), and {reason}: it may run, and bill. "
        "Look before you submit it again: " + " or ".join(filter(None, (command, console)))
    )
