"""Batch prediction: a prefix of images, or a file of JSON lines, through a registered version, without an endpoint.

Knows storage and jobs, not plans. Next: ``jobs.py`` follows what is submitted here.
"""

import tempfile
from pathlib import Path
from typing import Any

from deploy import submission
from deploy.spec import Environment
from deploy.vertex import Vertex, proto
from trainer import storage
from trainer.console.errors import UserError
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.storage import Place


def described(
    environment: Environment, vertex: Vertex, version: str, given: str, output: str, name: str, replicas: int
) -> dict[str, Any]:  # fmt: skip
    """A ``BatchPredictionJob`` in JSON; a list of the images below a prefix is written to ``output`` first.

    ``given`` is a ``.jsonl`` file of instances or a prefix of images, both on Cloud Storage. Raises ``UserError``.
    """
    if not given.startswith(storage.REMOTE) or not output.startswith(storage.REMOTE):
        raise UserError(f"batch prediction reads and writes gs:// paths; {given!r} and {output!r} were given")
    lines = given.endswith(".jsonl")
    if lines and not storage.exists(given):
        raise UserError(f"there is no file {given!r}")
    uri = given if lines else _listed(given, f"{output.rstrip('/')}/{name}")
    account = environment.endpoint.service_account
    machine = {"machineSpec": {"machineType": environment.endpoint.machine}}
    return {
        "displayName": name,
        "model": f"{vertex.name('models', environment.model.model_id)}@{version}",
        "inputConfig": {"instancesFormat": "jsonl" if lines else "file-list", "gcsSource": {"uris": [uri]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": output}},
        "dedicatedResources": {**machine, "startingReplicaCount": replicas, "maxReplicaCount": replicas},
        "labels": environment.labelled(),
        **({"serviceAccount": account} if account else {}),
    }


def submit(vertex: Vertex, job: dict[str, Any]) -> str:
    """Hand it over; returns its resource name. Raises ``CloudError`` or ``submission.NameTaken``."""
    return submission.submit(vertex, submission.KINDS["batchPredictionJobs"], proto("BatchPredictionJob", job))


def told(job: Any) -> str:
    """How a finished job went."""
    done = job.completion_stats
    reasons = "".join(f"\n  {one.message}" for one in job.partial_failures)
    counts = f"{done.successful_count} answered, {done.failed_count} failed"
    return f"{counts}: {job.output_info.gcs_output_directory}{reasons}"


def _listed(prefix: str, place: str) -> str:
    """A file that lists the images below a prefix, one path a line, as the platform's file-list wants it."""
    images = [path for path in storage.names(prefix) if path.lower().endswith(tuple(FILE_SUFFIXES))]
    if not images:
        raise UserError(f"there are no images below {prefix!r} ({', '.join(FILE_SUFFIXES)})")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images.txt").write_text("\n".join(sorted(images)) + "\n")
        Place(Path(folder), place).push()
    return f"{place}/images.txt"
