"""The runners by name, and the options of Beam for them.

Next: ``execution.py`` runs pipelines with these options; ``trainer/prepare.py`` has the flags.
"""

import logging
import os

from apache_beam.options.pipeline_options import PipelineOptions

WORKER_LOG = "apache_beam.runners.portability.local_job_service"  # what workers of local runners write


def make_options(runner: str, arguments: list[str]) -> PipelineOptions:
    """Return the options of a runner; ``arguments`` are options of Beam, which replace those that are set here."""
    workers = os.cpu_count() or 1
    logging.getLogger(WORKER_LOG).setLevel(logging.ERROR)  # each worker warns of a folder that it does not need
    defaults = {
        "direct": [
            "--runner=FnApiRunner",
            "--direct_running_mode=multi_processing" if workers > 1 else "--direct_running_mode=in_memory",
            f"--direct_num_workers={workers}",
        ],
        "portable": ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"],
        "flink": ["--runner=FlinkRunner"],
        "spark": ["--runner=SparkRunner"],
        "dataflow": ["--runner=DataflowRunner"],
    }
    return PipelineOptions(["--default_sdk_harness_log_level=WARNING", *defaults[runner], *arguments])
