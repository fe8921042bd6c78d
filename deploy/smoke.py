"""The smoke test: golden images of the artefact, sent to the live endpoint, have to be answered as recorded.

Each request is sent once, without retries: a failure here is a failure for clients. A canary gets only a part of the
requests, so they are sent until it has answered enough of them. Next: ``request_counts.py``.
"""

import dataclasses
import math

from deploy import prediction_client
from deploy.errors import SmokeTestFailed
from deploy.release import Release
from deploy.request_counts import Predict, Prediction, RequestCounts, max_attempts
from deploy.waiting import Wait
from trainer.artifact import golden_file, manifest

MISS_PROBABILITY = 1e-6  # chance that a healthy canary gets none of the attempts


@dataclasses.dataclass(frozen=True)
class SmokeLimits:
    """Answers that a deployed model has to give, percent of failed requests that it may have.

    For ``traffic_change_seconds`` other models may answer in its place: a change of traffic takes effect gradually.
    """

    required_answers: int = 100
    max_error_percent: float = 1.0
    traffic_change_seconds: float = 120.0


@dataclasses.dataclass(frozen=True)
class SmokeTarget:
    """A deployed model with its percentage of the traffic, and the release that it was deployed from."""

    release: Release
    deployed_model_id: str
    traffic_percentage: int


def run_smoke_test(predict: Predict, target: SmokeTarget, limits: SmokeLimits, wait: Wait) -> RequestCounts:
    """Compare answers of a deployed model with the golden answers; return the counts of requests.

    An error does not name the deployed model, so each error counts as one of the target. Raises ``SmokeTestFailed``, or
    ``CloudError`` where no request can be sent.
    """
    id, percentage = target.deployed_model_id, target.traffic_percentage
    if not percentage:
        raise SmokeTestFailed(f"{id} has no traffic, so no request reaches it")
    folder = target.release.folder / golden_file.GOLDEN_DIR
    golden_answers = golden_file.read(target.release.folder)
    instances = [prediction_client.make_instance((folder / golden.file).read_bytes()) for golden in golden_answers]
    rejections = _expected_rejections(target.release)
    # Beside a classifier, return_embedding would send its golden images to the verifier.
    parameters = {"return_embedding": True} if target.release.manifest.decision["kind"] == "verify" else {}
    required, counts = max(limits.required_answers, len(golden_answers)), RequestCounts()
    compared = missed = 0
    last_answer = wait.seconds
    while counts.answers[id] < required:
        wait.print_heartbeat(f"{required} answers of {id}, of which {counts.answers[id]} came")
        index = counts.answers[id] % len(golden_answers)
        reply = counts.send(predict, [instances[index]], parameters)
        if 100 * counts.failed > limits.max_error_percent * (required + counts.failed):
            raise SmokeTestFailed(_explain_errors(counts, target, limits))
        if reply and reply.deployed_model_id == id:
            if len(reply.predictions) != 1:
                raise SmokeTestFailed(f"a request with 1 image was answered with {len(reply.predictions)} predictions")
            golden = golden_answers[index]
            compared += _compare(golden, reply.predictions[0], target.release, rejections.get(golden.file))
            missed, last_answer = 0, wait.seconds
            continue
        missed += 1
        if missed >= max_attempts(percentage, MISS_PROBABILITY):
            if wait.seconds - last_answer >= limits.traffic_change_seconds:
                raise SmokeTestFailed(
                    f"{id}, with {percentage} % of the traffic, answered none of the last {missed} of {counts}"
                )
            wait.sleep(1, f"{id} to answer, which has {percentage} % of the traffic; {counts}")
    if not compared:
        raise SmokeTestFailed("no golden answer could be compared: none was recorded")
    return counts


def _explain_errors(counts: RequestCounts, target: SmokeTarget, limits: SmokeLimits) -> str:
    id, percentage = target.deployed_model_id, target.traffic_percentage
    if percentage < 100:
        explanation = (
            f"an error does not name the deployed model: about {counts.requests * percentage / 100:.0f} requests "
            f"reached {id} ({percentage} % of the traffic), and it answered {counts.answers[id]}; where another "
            "deployment is the one that fails, --smoke-errors PERCENT accepts more"
        )
    else:
        explanation = f"{id} has all the traffic"
    return f"more than {limits.max_error_percent:g} % of the requests failed: {counts}\n{explanation}"


def _expected_rejections(release: Release) -> dict[str, bool]:
    """Return by file whether the signature check rejects a golden image; empty for an artefact without the check.

    Only images that the artefact of the signature check has recorded too are in the answer.
    """
    if not release.manifest.signature_check:
        return {}
    check_folder = release.folder / release.manifest.signature_check
    check = manifest.read(check_folder)
    rejections = {}
    for golden in golden_file.read(check_folder):
        image, check_image = (
            folder / golden_file.GOLDEN_DIR / golden.file for folder in (release.folder, check_folder)
        )
        if image.is_file() and image.read_bytes() == check_image.read_bytes():
            pairs = zip(golden.vectors[check.variant], check.decision["thresholds"], strict=True)
            ratios = [score / threshold for score, threshold in pairs]
            rejections[golden.file] = check.labels[ratios.index(max(ratios))] != "signature"
    return rejections


def _compare(
    golden: golden_file.GoldenAnswer, prediction: Prediction, release: Release, expected_rejection: bool | None
) -> bool:
    """Return whether there was a vector to compare. Raises ``SmokeTestFailed`` for a wrong answer.

    ``expected_rejection`` is whether the signature check rejects the image, None where that is unknown.
    """
    is_rejected = prediction.get("decision") == "not_a_signature"
    if is_rejected and (expected_rejection is False or not release.manifest.signature_check):
        raise SmokeTestFailed(f"golden image {golden.file!r} is a signature, but was rejected as none")
    if expected_rejection and not is_rejected:
        raise SmokeTestFailed(f"golden image {golden.file!r} should be rejected by the signature check, but was not")
    if is_rejected:
        return False
    variant = release.manifest.variant
    if release.manifest.decision["kind"] == "locate":
        return _compare_regions(golden, prediction, release)
    expected = golden.vectors[variant]
    vector = prediction.get("embedding", [])
    if "scores" in prediction:  # by label, because JSON objects have no order
        vector = [prediction["scores"].get(label, math.nan) for label in release.manifest.labels]
    if len(vector) != len(expected):
        raise SmokeTestFailed(f"golden image {golden.file!r} is answered with no vector of {len(expected)} numbers")
    difference = max(abs(a - b) for a, b in zip(vector, expected, strict=True))
    tolerance = golden_file.compute_tolerance(expected, variant)
    if not difference <= tolerance:
        raise SmokeTestFailed(
            f"golden image {golden.file!r} is answered {difference:.2g} away from what was recorded; "
            f"{tolerance:.2g} is accepted"
        )
    return True


def _compare_regions(golden: golden_file.GoldenAnswer, prediction: Prediction, release: Release) -> bool:
    """Return whether there were regions to compare with. Raises ``SmokeTestFailed`` for others than those."""
    variant, thresholds = release.manifest.variant, release.manifest.decision["thresholds"]
    if variant not in golden.regions:
        return False
    if "regions" not in prediction:
        raise SmokeTestFailed(f"golden page {golden.file!r} is answered with no regions")
    recorded = golden.regions[variant]
    for difference in golden_file.list_differences(recorded, prediction["regions"], thresholds, variant):
        raise SmokeTestFailed(f"golden page {golden.file!r} is answered with other regions; {difference}")
    return True
