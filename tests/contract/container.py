"""``python -m tests.contract.container ADDRESS ARTIFACT``: what Vertex AI expects of a running prediction container.

Cloud Build runs it against the image it has just built, ``tests/test_image.py`` against one built here, and the default
tests against a server of this tree.
"""

import base64
import contextlib
import sys
import time
from pathlib import Path

import httpx

from deploy import release, smoke
from deploy.waiting import Clock, Wait
from trainer.artifact import golden_file

PATIENCE = 60  # seconds until health has to say yes
WRONG = {  # bodies that are no requests, and what they are answered with
    b"{": 400,
    b"[]": 400,
    b'{"parameters": {}}': 400,
    b'{"instances": 3}': 400,
    b'{"instances": ["!"]}': 400,
}


def check(address: str, artifact: Path) -> int:
    """Raises ``AssertionError`` or ``SmokeFailed``; returns how many golden answers were compared."""
    with httpx.Client(base_url=address, timeout=30) as client:
        _wait(client)

        def ask(instances, parameters):
            answer = client.post("/predict", json={"instances": instances, "parameters": parameters})
            assert answer.status_code == 200, answer.text
            return "this one", answer.json()["predictions"]

        given = release.opened(str(artifact), "image@sha256:" + "0" * 64)
        each_once, wait = smoke.Bounds(answers=1, errors=0), Wait(Clock())
        compared = smoke.check(ask, given, "this one", 100, each_once, wait).requests
        for body, status in WRONG.items():
            answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, f"{body!r} is answered with {answer.status_code}"
            assert "error" in answer.json()
        image = (artifact / golden_file.FOLDER / golden_file.read(artifact)[0].file).read_bytes()
        text = base64.b64encode(image).decode()
        forms = [text, {"b64": text}, {"image": {"b64": text}}, {"image_bytes": {"b64": text}}]
        answers = client.post("/predict", json={"instances": forms}).json()["predictions"]
        assert len(answers) == len(forms), "one for each instance"
        assert all(answer == answers[0] for answer in answers), "whatever form it has"
        assert client.get("/health").status_code == 200
    return compared


def _wait(client: httpx.Client) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"not healthy after {PATIENCE} s")


if __name__ == "__main__":
    print(f"the contract holds: {check(sys.argv[1], Path(sys.argv[2]))} golden answers as recorded")
