"""Environment variables that connect the real gcloud and our own commands with loopback services, and a ``docker``.

There are no credentials, no real project and no address but loopback. The ``docker`` is a script that logs its
arguments and stores the Dockerfile that it receives; ``tests/test_image.py`` really builds and runs containers.
"""

import os
import shutil
from pathlib import Path

IS_INSTALLED = shutil.which("gcloud") is not None
MISSING = "gcloud is not installed"

DOCKER = f"""#!/bin/sh
echo "$@" >> "$DOCKER_LOG"
case " $* " in *" -f- "*) cat > "$DOCKER_LOG.Dockerfile" ;; esac
for last; do :; done
if [ "$1" = inspect ]; then echo "${{last%:*}}@sha256:{"1f" * 32}"; fi
"""


def environment(vertex: str, storage: str, folder: Path) -> dict[str, str]:
    """Return variables for gcloud, the SDK and the storage client; gcloud's files and docker's log go to ``folder``."""
    bin = folder / "bin"
    bin.mkdir(parents=True, exist_ok=True)
    (bin / "docker").write_text(DOCKER)
    (bin / "docker").chmod(0o755)
    return {
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": "my-project",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_AI_REGION": "us-central1",
        "CLOUDSDK_RUN_REGION": "us-central1",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"{vertex}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": f"{vertex}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING": f"{vertex}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": f"{vertex}/",
        # gcloud puts the region before the name of this host: the request reaches the loopback through the proxy.
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.loopback/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE": f"{vertex}/",
        "http_proxy": vertex,
        "no_proxy": "127.0.0.1,localhost",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{storage}/storage/v1/",
        "COUNTERSIGN_API_ENDPOINT": vertex,
        "COUNTERSIGN_ANONYMOUS": "1",
        "STORAGE_EMULATOR_HOST": storage,
        "DOCKER_LOG": str(folder / "docker.log"),
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "ignore",  # of gcloud's own Python
    }
