"""The artefact's golden images through the live endpoint: what is deployed answers as what was exported.

A part of the traffic reaches a canary, so each request is repeated until the canary has answered it. Knows golden
answers and requests, not plans.
"""

import math
from collections.abc import Callable
from typing import Any

from deploy import asking
from deploy.release import Release
from trainer.artifact import recorded
from trainer.errors import UserError

Ask = Callable[[list[Any], dict[str, Any]], tuple[str, list[Any]]]
UNLUCKY = 1e-6  # chance that a healthy canary is not reached in all tries


class SmokeFailed(UserError):
    """What is deployed does not answer as the artefact did when it was exported."""


def check(ask: Ask, release: Release, id: str, share: int) -> int:
    """Compare every golden answer; returns how many were compared. Raises ``SmokeFailed`` or ``CloudError``.

    ``id`` has to be who answers, ``share`` is its percentage of the traffic.
    """
    if not share:
        raise SmokeFailed(f"{id} has no traffic, so nothing reaches it")
    golden = recorded.read(release.folder)
    images = [(release.folder / recorded.FOLDER / one.file).read_bytes() for one in golden]
    tries = 1 if share == 100 else math.ceil(math.log(UNLUCKY) / math.log(1 - share / 100))
    instances = [asking.instance(image) for image in images]
    predictions: list[Any] = []
    for batch in asking.batches(instances, asking.LARGEST[False]):
        predictions += _answered_by(id, ask, batch, tries)
    compared = sum(_compare(one, answer, release) for one, answer in zip(golden, predictions, strict=True))
    if not compared:
        raise SmokeFailed("no golden answer could be compared: none was a vector")
    return compared


def _answered_by(id: str, ask: Ask, batch: list[Any], tries: int) -> list[Any]:
    for _ in range(tries):
        who, predictions = ask(batch, {"return_embedding": True})
        if len(predictions) != len(batch):
            raise SmokeFailed(f"{len(batch)} images were asked about, {len(predictions)} answers came")
        if who == id:
            return predictions
    raise SmokeFailed(f"{id} answered none of {tries} requests; {who} did")


def _compare(golden: recorded.Answer, answer: dict[str, Any], release: Release) -> bool:
    """Raises ``SmokeFailed`` when the answer is another one; whether there was a vector to compare."""
    vector = answer["embedding"] if "embedding" in answer else list(answer.get("scores", {}).values())
    if answer.get("decision") == "not_a_signature" and release.manifest.gate:
        return False  # the gate answered, it has golden answers of its own
    precision = release.manifest.precision
    expected = golden.vectors[precision]
    if "scores" in answer:  # by label, in an order that JSON does not keep
        vector = [answer["scores"].get(label, math.nan) for label in release.manifest.labels]
    if len(vector) != len(expected):
        raise SmokeFailed(f"golden image {golden.file!r} is answered with no vector of {len(expected)} numbers")
    difference = max(abs(a - b) for a, b in zip(vector, expected, strict=True))
    if not difference <= recorded.TOLERANCE[precision]:
        raise SmokeFailed(
            f"golden image {golden.file!r} is answered {difference:.2g} away from what was recorded; "
            f"{recorded.TOLERANCE[precision]:.2g} is accepted"
        )
    return True
