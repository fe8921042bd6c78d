"""Numbers for hyperparameter tuning on Vertex AI, in the file that it reads; no package is needed for that.

The form is that of cloudml-hypertune, which Vertex AI's documentation names: one JSON object a line, values as text.
Knows numbers, not what they are of.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

DEFAULT = "/tmp/hypertune/output.metrics"  # noqa: S108 - where Vertex AI looks


def report(row: Mapping[str, float], step: int, environment: Mapping[str, str] = os.environ) -> None:
    """Append every number of a row, where this is a trial of a study; nothing anywhere else.

    The last number of a name is what Vertex AI takes for the trial's.
    """
    trial = environment.get("CLOUD_ML_TRIAL_ID")
    file = environment.get("CLOUD_ML_HP_METRIC_FILE")
    if not (trial or file):
        return
    path = Path(file or DEFAULT)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lines:
        for name, value in row.items():
            told = {"timestamp": time.time(), "trial": trial or "0", name: str(float(value)), "global_step": str(step)}
            lines.write(json.dumps(told) + "\n")
