"""The server as Cloud Run starts it: by PORT alone, with an artefact of Cloud Storage, stopped by SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx

from predictor.request import build_body
from tests.loopback.storage import cloud_storage
from trainer.storage import Workdir

VERTEX_VARIABLES = ("AIP_HTTP_PORT", "AIP_STORAGE_URI", "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE")


def test_an_instance_is_ready_answers_and_ends_with_0(artifact, signature, tmp_path, monkeypatch):
    with socket.socket() as free, cloud_storage("countersign-run") as url:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        Workdir(artifact, "gs://countersign-run/models/mine").push("manifest.json")
        environment = {name: value for name, value in os.environ.items() if name not in VERTEX_VARIABLES}
        environment |= {
            "PORT": str(port),
            "K_SERVICE": "countersign",
            "K_REVISION": "countersign-00001-abc",
            "ENV_MODE": "prod",  # as the image sets it
            "AIP_STORAGE_URI": "gs://countersign-run/models/mine",
            "TMPDIR": str(tmp_path),
        }
        process = subprocess.Popen([sys.executable, "-m", "predictor"], env=environment, stdout=subprocess.PIPE)
        try:
            address, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
            with httpx.Client(transport=httpx.HTTPTransport(retries=10), timeout=10) as client:
                while client.get(f"{address}/health").status_code == 503 and time.monotonic() < until:
                    time.sleep(0.05)
                response = client.post(f"{address}/predict", content=build_body([signature]))
            assert response.status_code == 200
            assert response.json()["predictions"][0]["label"] in ("signature", "text")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
            assert b'"ready"' in process.stdout.read()
        finally:
            process.kill()
            process.stdout.close()
    assert not list(tmp_path.glob("countersign-*")), "the download is deleted once it is open"
