"""Other model servers around the same SavedModel and the same imaging, each pinned in an environment of its own.

``NAME.txt`` is what is installed, ``serve_NAME.py`` what is run. Each is set as its makers advise for few
cores: one worker process a core, one TensorFlow thread a worker.
"""

import os
from pathlib import Path

WORKERS = len(os.sched_getaffinity(0))
MODEL = Path(os.environ.get("AIP_STORAGE_URI", ""))
PORT = int(os.environ.get("AIP_HTTP_PORT", "0"))
