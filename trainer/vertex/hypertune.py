"""Report metrics to a hyperparameter tuning study of Vertex AI, in the file that it reads.

The format is that of the package cloudml-hypertune, which Vertex AI's documentation names: one JSON object in a line,
with values as text. Independent of the meaning of the metrics. Next: ``trainer/pipeline/train.py`` calls it after every
epoch.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

DEFAULT_FILE = "/tmp/hypertune/output.metrics"  # noqa: S108 - the path that Vertex AI reads


def report_metrics(row: Mapping[str, float], step: int, environment: Mapping[str, str] = os.environ) -> None:
    """Append every metric of a row to the file, if the environment is that of a trial; else do nothing.

    Vertex AI takes the last value of each metric as the result of the trial.
    """
    trial = environment.get("CLOUD_ML_TRIAL_ID")
    file_name = environment.get("CLOUD_ML_HP_METRIC_FILE")
    if not (trial or file_name):
        return
    path = Path(file_name or DEFAULT_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for name, value in row.items():
            entry = {"timestamp": time.time(), "trial": trial or "0", name: str(float(value)), "global_step": str(step)}
            file.write(json.dumps(entry) + "\n")
