"""The artefact's golden images through the live endpoint: what is deployed answers as what was exported.

Every request is sent once: what fails here fails for others, too. A part of the traffic reaches a canary, so requests
go on until it has answered enough of them itself. Knows golden answers and requests, not plans. Next: ``probe.py``.
"""

import dataclasses
import math
from typing import Any

from deploy import asking
from deploy.probe import Ask, Tally, tries
from deploy.release import Release
from deploy.waiting import Wait
from trainer.artifact import golden_file, manifest
from trainer.console.errors import UserError

UNLUCKY = 1e-6  # chance that a healthy canary is not reached in all tries
PATIENCE = 120.0  # seconds until a change of traffic has to have arrived


class SmokeFailed(UserError):
    """What is deployed does not answer as the artefact did when it was exported."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """``answers`` that a deployment has to give, and the percent of failing requests above which it fails."""

    answers: int = 100
    errors: float = 1.0


def check(
    ask: Ask, release: Release, id: str, share: int, bounds: Bounds, wait: Wait, patience: float = PATIENCE
) -> Tally:
    """Compare every golden answer of deployment ``id``, which has ``share`` percent of the traffic.

    A failed request does not say which deployment it reached: each is counted as if it had reached this one. For
    ``patience`` seconds others may answer in its place, because a change of traffic takes a while to arrive everywhere.
    Raises ``SmokeFailed``, or ``CloudError`` where nothing can be asked at all.
    """
    if not share:
        raise SmokeFailed(f"{id} has no traffic, so nothing reaches it")
    golden = golden_file.read(release.folder)
    instances = [asking.instance((release.folder / golden_file.FOLDER / one.file).read_bytes()) for one in golden]
    refused, goal, tally = _refused(release), max(bounds.answers, len(golden)), Tally()
    compared = missed = 0
    seen = wait.seconds
    while tally.answers[id] < goal:
        wait.sign(f"{goal} answers of {id}, of which {tally.answers[id]} came")
        turn = tally.answers[id] % len(golden)
        answer = tally.send(ask, [instances[turn]], {"return_embedding": True})
        if 100 * tally.failed > bounds.errors * (goal + tally.failed):
            raise SmokeFailed(_too_many(tally, id, share, bounds))
        if answer and answer[0] == id:
            if len(answer[1]) != 1:
                raise SmokeFailed(f"1 image was asked about, {len(answer[1])} answers came")
            compared += _compare(golden[turn], answer[1][0], release, refused.get(golden[turn].file))
            missed, seen = 0, wait.seconds
            continue
        missed += 1
        if missed >= tries(share, UNLUCKY):
            if wait.seconds - seen >= patience:
                raise SmokeFailed(f"{id}, with {share} % of the traffic, answered none of the last {missed} of {tally}")
            wait.pause(1, f"{id} to answer, which has {share} % of the traffic; {tally}")
    if not compared:
        raise SmokeFailed("no golden answer could be compared: none was a vector")
    return tally


def _too_many(tally: Tally, id: str, share: int, bounds: Bounds) -> str:
    expected = f"about {tally.requests * share / 100:.0f} of them reached {id} ({share} % of the traffic)"
    whose = (
        f"an error does not say whose it is: {expected}, and it answered {tally.answers[id]}; where another "
        "deployment is the one that fails, --smoke-errors PERCENT accepts more"
        if share < 100
        else f"{id} has all the traffic"
    )
    return f"more than {bounds.errors:g} % of the requests failed: {tally}\n{whose}"


def _refused(release: Release) -> dict[str, bool]:
    """Golden images that the artefact's signature check calls none, as far as they are its own golden images, too."""
    if not release.manifest.signature_check:
        return {}
    folder = release.folder / release.manifest.signature_check
    asked = manifest.read(folder)
    found = {}
    for one in golden_file.read(folder):
        ours, its = (place / golden_file.FOLDER / one.file for place in (release.folder, folder))
        if ours.is_file() and ours.read_bytes() == its.read_bytes():
            rates = zip(one.vectors[asked.variant], asked.decision["thresholds"], strict=True)
            scores = [rate / threshold for rate, threshold in rates]
            found[one.file] = asked.labels[scores.index(max(scores))] != "signature"
    return found


def _compare(golden: golden_file.Answer, answer: dict[str, Any], release: Release, refused: bool | None) -> bool:
    """Raises ``SmokeFailed`` when the answer is another one; whether there was a vector to compare.

    ``refused`` is what the signature check should say, None where that is not known.
    """
    said_no = answer.get("decision") == "not_a_signature"
    if said_no and (refused is False or not release.manifest.signature_check):
        raise SmokeFailed(f"golden image {golden.file!r} is a signature, and was called none")
    if refused and not said_no:
        raise SmokeFailed(f"golden image {golden.file!r} is none to the signature check, and was not called so")
    if said_no:
        return False
    variant = release.manifest.variant
    expected = golden.vectors[variant]
    vector = answer.get("embedding", [])
    if "scores" in answer:  # by label, in an order that JSON does not keep
        vector = [answer["scores"].get(label, math.nan) for label in release.manifest.labels]
    if len(vector) != len(expected):
        raise SmokeFailed(f"golden image {golden.file!r} is answered with no vector of {len(expected)} numbers")
    difference = max(abs(a - b) for a, b in zip(vector, expected, strict=True))
    if not difference <= golden_file.TOLERANCE[variant]:
        raise SmokeFailed(
            f"golden image {golden.file!r} is answered {difference:.2g} away from what was recorded; "
            f"{golden_file.TOLERANCE[variant]:.2g} is accepted"
        )
    return True
