"""The artefact's golden images through the live endpoint: what is deployed answers as what was exported.

A part of the traffic reaches a canary, so each request is repeated until the canary has answered it. Knows golden
answers and requests, not plans.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from deploy import asking
from deploy.release import Release
from trainer.artifact import manifest, recorded
from trainer.errors import UserError

Ask = Callable[[list[Any], dict[str, Any]], tuple[str, list[Any]]]
UNLUCKY = 1e-6  # chance that a healthy canary is not reached in all tries
PATIENCE = 120.0  # seconds until a change of traffic has to have arrived


class SmokeFailed(UserError):
    """What is deployed does not answer as the artefact did when it was exported."""


def check(ask: Ask, release: Release, id: str, share: int, patience: float = PATIENCE) -> int:
    """Compare every golden answer; returns how many were compared. Raises ``SmokeFailed`` or ``CloudError``.

    ``id`` has to be who answers, ``share`` is its percentage of the traffic; for ``patience`` seconds others may still
    answer in its place, because a change of traffic takes a while to arrive everywhere.
    """
    if not share:
        raise SmokeFailed(f"{id} has no traffic, so nothing reaches it")
    golden = recorded.read(release.folder)
    images = [(release.folder / recorded.FOLDER / one.file).read_bytes() for one in golden]
    tries = 1 if share == 100 else math.ceil(math.log(UNLUCKY) / math.log(1 - share / 100))
    instances = [asking.instance(image) for image in images]
    predictions: list[Any] = []
    for batch in asking.batches(instances, asking.LARGEST[False]):
        predictions += _answered_by(id, ask, batch, tries, patience)
    refused = _refused(release)
    compared = sum(
        _compare(one, answer, release, refused.get(one.file)) for one, answer in zip(golden, predictions, strict=True)
    )
    if not compared:
        raise SmokeFailed("no golden answer could be compared: none was a vector")
    return compared


def _answered_by(id: str, ask: Ask, batch: list[Any], tries: int, patience: float) -> list[Any]:
    give_up = time.monotonic() + patience
    tried = 0
    while tried < tries or time.monotonic() < give_up:
        if tried >= tries:
            time.sleep(1)
        tried += 1
        who, predictions = ask(batch, {"return_embedding": True})
        if len(predictions) != len(batch):
            raise SmokeFailed(f"{len(batch)} images were asked about, {len(predictions)} answers came")
        if who == id:
            return predictions
    raise SmokeFailed(f"{id} answered none of {tried} requests; {who} did")


def _refused(release: Release) -> dict[str, bool]:
    """Of an artefact with a gate: which golden images it calls no signature, as far as they are the gate's own too."""
    if not release.manifest.gate:
        return {}
    folder = release.folder / release.manifest.gate
    asked = manifest.read(folder)
    found = {}
    for one in recorded.read(folder):
        ours, its = (place / recorded.FOLDER / one.file for place in (release.folder, folder))
        if ours.is_file() and ours.read_bytes() == its.read_bytes():
            rates = zip(one.vectors[asked.precision], asked.decision["thresholds"], strict=True)
            scores = [rate / threshold for rate, threshold in rates]
            found[one.file] = asked.labels[scores.index(max(scores))] != "signature"
    return found


def _compare(golden: recorded.Answer, answer: dict[str, Any], release: Release, refused: bool | None) -> bool:
    """Raises ``SmokeFailed`` when the answer is another one; whether there was a vector to compare.

    ``refused`` is what the gate should say, None where that is not known.
    """
    said_no = answer.get("decision") == "not_a_signature"
    if said_no and (refused is False or not release.manifest.gate):
        raise SmokeFailed(f"golden image {golden.file!r} is a signature, and was called none")
    if refused and not said_no:
        raise SmokeFailed(f"golden image {golden.file!r} is none to the gate, and was not called so")
    if said_no:
        return False
    precision = release.manifest.precision
    expected = golden.vectors[precision]
    vector = answer.get("embedding", [])
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
