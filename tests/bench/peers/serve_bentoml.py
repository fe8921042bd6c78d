"""BentoML: one worker process for each core. Next: ``common.py``."""

import os
import subprocess
import sys

import bentoml


@bentoml.service(
    workers="cpu_count", traffic={"timeout": 60, "max_concurrency": 256}, logging={"access": {"enabled": False}}
)
class Signatures:
    """The service; the name of its method is the route."""

    def __init__(self):
        from tests.bench.peers.common import Encoder

        self._encoder = Encoder()

    @bentoml.api
    def predict(self, instances: list[dict]) -> dict:
        return {"predictions": [{"embedding": vector} for vector in self._encoder(instances)]}


if __name__ == "__main__":
    port = os.environ["AIP_HTTP_PORT"]
    target = "tests.bench.peers.serve_bentoml:Signatures"
    command = [sys.executable, "-m", "bentoml", "serve", target, "--port", port, "--host", "127.0.0.1"]
    sys.exit(subprocess.call([*command, "-q"], env={**os.environ, "BENTOML_DO_NOT_TRACK": "True"}))
