"""Other model servers with the same SavedModel and the same imaging, each in its own environment.

``NAME.txt`` pins what is installed, ``serve_NAME.py`` is the program. The settings are those that the makers recommend
for few cores: one worker process for each core, one TensorFlow thread for each worker. Next: ``common.py``.
"""

import os
from pathlib import Path

WORKERS = len(os.sched_getaffinity(0))
MODEL = Path(os.environ.get("AIP_STORAGE_URI", ""))
PORT = int(os.environ.get("AIP_HTTP_PORT", "0"))
