"""Batch prediction jobs: a registered version answers about a prefix of images or a file of instances.

No endpoint is needed. Next: ``jobs.py`` follows the jobs that are submitted here.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from deploy import job_submission
from deploy.spec import Environment
from deploy.vertex import BatchPredictionJob, VertexClient, make_message
from trainer import storage
from trainer.console.errors import UserError
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.storage import Workdir


@dataclasses.dataclass(frozen=True)
class BatchRequest:
    """A batch prediction by the version with the number ``version``.

    ``input_path`` is a ``.jsonl`` file of instances or a prefix of images, ``output_prefix`` the prefix of the
    predictions; both are ``gs://`` paths.
    """

    name: str
    version: str
    input_path: str
    output_prefix: str
    replicas: int = 1


def make_job(client: VertexClient, environment: Environment, request: BatchRequest) -> dict[str, Any]:
    """Describe a ``BatchPredictionJob`` in JSON. Raises ``UserError``.

    For a prefix of images, a list of them is written below ``output_prefix`` first.
    """
    input_path, output_prefix = request.input_path, request.output_prefix
    if not input_path.startswith(storage.REMOTE) or not output_prefix.startswith(storage.REMOTE):
        raise UserError(
            f"batch prediction reads and writes gs:// paths; {input_path!r} and {output_prefix!r} were given"
        )
    is_jsonl = input_path.endswith(".jsonl")
    if is_jsonl and not storage.exists(input_path):
        raise UserError(f"there is no file {input_path!r}")
    uri = input_path if is_jsonl else _upload_list(input_path, f"{output_prefix.rstrip('/')}/{request.name}")
    service_account = environment.endpoint.service_account
    return {
        "displayName": request.name,
        "model": f"{client.resource_name('models', environment.model.model_id)}@{request.version}",
        "inputConfig": {"instancesFormat": "jsonl" if is_jsonl else "file-list", "gcsSource": {"uris": [uri]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": output_prefix}},
        "dedicatedResources": {
            "machineSpec": {"machineType": environment.endpoint.machine_type},
            "startingReplicaCount": request.replicas,
            "maxReplicaCount": request.replicas,
        },
        "labels": environment.resource_labels(),
        **({"serviceAccount": service_account} if service_account else {}),
    }


def submit(client: VertexClient, job: dict[str, Any]) -> str:
    """Submit a job and return its resource name. Raises ``CloudError`` or ``job_submission.JobNameTaken``."""
    kind = job_submission.JOB_KINDS["batchPredictionJobs"]
    return job_submission.submit(client, kind, make_message("BatchPredictionJob", job))


def summarize(job: BatchPredictionJob) -> str:
    """Return the counts, the output folder and the failures of a finished job, for people."""
    counts = f"{job.completion_stats.successful_count} answered, {job.completion_stats.failed_count} failed"
    failures = "".join(f"\n  {failure.message}" for failure in job.partial_failures)
    return f"{counts}: {job.output_info.gcs_output_directory}{failures}"


def _upload_list(prefix: str, folder: str) -> str:
    """Upload a file that lists the images below a prefix, one path a line; return its path."""
    images = [path for path in storage.list_paths(prefix) if path.lower().endswith(tuple(FILE_SUFFIXES))]
    if not images:
        raise UserError(f"there are no images below {prefix!r} ({', '.join(FILE_SUFFIXES)})")
    with tempfile.TemporaryDirectory() as local:
        (Path(local) / "images.txt").write_text("\n".join(sorted(images)) + "\n")
        Workdir(Path(local), folder).push()
    return f"{folder}/images.txt"
