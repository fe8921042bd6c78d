"""``python -m tests.contract.container ADDRESS ARTIFACT``: check what Vertex AI expects of a prediction container.

Cloud Build runs it against the image that it has built, ``tests/test_image.py`` against an image built on this machine,
and ``test_container.py`` against a server of this tree.
"""

import base64
import contextlib
import sys
import time
from pathlib import Path

import httpx

from deploy import artifact_store, smoke
from deploy.waiting import Clock, Wait
from trainer.artifact import golden_file

TIMEOUT = 60  # seconds until the server has to be ready
INVALID_BODIES = {  # body: status of the response
    b"{": 400,
    b"[]": 400,
    b'{"parameters": {}}': 400,
    b'{"instances": 3}': 400,
    b'{"instances": ["!"]}': 400,
}
DEPLOYMENT = "container"  # the id that the smoke test expects in every answer


def check_container(address: str, artifact: Path) -> int:
    """Check a running container; return the number of golden answers that were compared.

    Raises ``AssertionError`` or ``SmokeTestFailed``.
    """
    with httpx.Client(base_url=address, timeout=30) as client:
        _wait_until_ready(client)

        def predict(instances, parameters):
            response = client.post("/predict", json={"instances": instances, "parameters": parameters})
            assert response.status_code == 200, response.text
            return DEPLOYMENT, response.json()["predictions"]

        release = artifact_store.open_artifact(str(artifact), "image@sha256:" + "0" * 64)
        target = smoke.SmokeTarget(release, DEPLOYMENT, traffic_percentage=100)
        limits = smoke.SmokeLimits(required_answers=1, max_error_percent=0)
        compared = smoke.run_smoke_test(predict, target, limits, Wait(Clock())).requests
        for body, status in INVALID_BODIES.items():
            response = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
            assert response.status_code == status, f"the response to {body!r} is {response.status_code}"
            assert "error" in response.json()
        image = (artifact / golden_file.GOLDEN_DIR / golden_file.read(artifact)[0].file).read_bytes()
        text = base64.b64encode(image).decode()
        forms = [text, {"b64": text}, {"image": {"b64": text}}, {"image_bytes": {"b64": text}}]
        predictions = client.post("/predict", json={"instances": forms}).json()["predictions"]
        assert len(predictions) == len(forms), "one for each instance"
        assert all(prediction == predictions[0] for prediction in predictions), "the same for every form of the image"
        assert client.get("/health").status_code == 200
    return compared


def _wait_until_ready(client: httpx.Client) -> None:
    """Return when health is 200. Raises ``AssertionError`` after ``TIMEOUT``."""
    expires_at = time.monotonic() + TIMEOUT
    while time.monotonic() < expires_at:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"not ready after {TIMEOUT} s")


if __name__ == "__main__":
    count = check_container(sys.argv[1], Path(sys.argv[2]))
    print(f"the container keeps the contract: {count} golden answers are reproduced")
