"""The runners by name, and the options of Beam for them.

Next: ``execution.py`` runs pipelines with these options; ``trainer/prepare.py`` has the flags.
"""

import hashlib
import logging
import os

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, WorkerOptions

from trainer import storage
from trainer.console.errors import UserError

WORKER_LOG = "apache_beam.runners.portability.local_job_service"  # what workers of local runners write


def make_options(runner: str, arguments: list[str], job_dir: str, flag: str = "--job-dir") -> PipelineOptions:
    """Return the options of a runner; ``arguments`` are options of Beam, which replace those that are set here.
    ``flag`` is that of the command whose value is, or leads to, the job dir.

    Raises ``UserError`` when Dataflow lacks an option.
    """
    workers = os.cpu_count() or 1
    logging.getLogger(WORKER_LOG).setLevel(logging.ERROR)  # each worker warns of a folder that it does not need
    temporary = f"{job_dir.rstrip('/')}/dataflow"
    defaults = {
        "direct": [
            "--runner=FnApiRunner",
            "--direct_running_mode=multi_processing" if workers > 1 else "--direct_running_mode=in_memory",
            f"--direct_num_workers={workers}",
        ],
        "portable": ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"],
        "flink": ["--runner=FlinkRunner"],
        "spark": ["--runner=SparkRunner"],
        "dataflow": [
            "--runner=DataflowRunner",
            f"--temp_location={temporary}/temp",
            f"--staging_location={temporary}/staging",
            "--sdk_location=container",  # Beam and this package are those of the image
        ],
    }
    options = PipelineOptions(["--default_sdk_harness_log_level=WARNING", *defaults[runner], *arguments])
    if runner == "dataflow":
        _check_dataflow(options, job_dir, flag)
    return options


def _check_dataflow(options: PipelineOptions, job_dir: str, flag: str) -> None:
    """Raise ``UserError`` when something is missing that only the user knows."""
    if not storage.is_remote(job_dir):
        raise UserError(f"--runner dataflow needs a {flag} on Cloud Storage (gs://BUCKET/PATH), not {job_dir!r}")
    cloud, worker = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    values = {"project": cloud.project, "region": cloud.region, "sdk_container_image": worker.sdk_container_image}
    if missing := [name for name, value in values.items() if not value]:
        raise UserError(f"--runner dataflow needs, after --, {' and '.join(f'--{name}=...' for name in missing)}")


def name_job(options: PipelineOptions, title: str, job_dir: str) -> None:
    """Name the job of a step: Dataflow refuses a second one of this name while the first runs."""
    suffix = hashlib.sha256(job_dir.encode()).hexdigest()[:8]
    options.view_as(GoogleCloudOptions).job_name = f"countersign-{title.replace(' ', '-')}-{suffix}"
