"""Smoke tests, health checks, sizes of requests, and images that have to be downscaled."""

import base64
import dataclasses
import json
import random
import shutil

import cv2
import httpx
import numpy as np
import pytest
from google.api_core import exceptions

from deploy import artifact_store, downscale, errors, healthcheck, prediction_client, smoke, vertex
from deploy.errors import SmokeTestFailed
from deploy.waiting import Clock, Wait
from trainer.artifact import golden_file
from trainer.console.errors import UserError
from trainer.generators import signatures as generator
from trainer.imaging import ImageError

IMAGE = "image@sha256:" + "0" * 64


@pytest.fixture
def release(artifact):
    return artifact_store.open_artifact(str(artifact), IMAGE)


class FakeEndpoint:
    """An endpoint whose champion and canary answer as recorded; ``change`` alters the answers of the canary.

    The canary has ``percentage`` of the traffic after the first ``delay`` requests. ``failing`` is the share of
    requests that fail, by deployed model.
    """

    def __init__(self, release, percentage=100, change=lambda prediction: prediction, seed=1, failing=None, delay=0):
        folder = release.folder / golden_file.GOLDEN_DIR
        answers = golden_file.read(release.folder)
        self._by_image = {base64.b64encode((folder / a.file).read_bytes()).decode(): a for a in answers}
        self._labels, self._percentage = release.manifest.labels, percentage
        self._change, self._delay = change, delay
        self._failing, self._random = failing or {}, random.Random(seed)
        self.images: list[str] = []

    def __call__(self, instances, parameters):
        (instance,) = instances
        golden = self._by_image[instance["image"]["b64"]]
        self.images.append(golden.file)
        is_canary = self._random.uniform(0, 100) < self._percentage and len(self.images) > self._delay
        id = "canary" if is_canary else "champion"
        if self._random.random() < self._failing.get(id, 0):
            with vertex._translate_errors():
                raise exceptions.InternalServerError("out of memory " + "QUJD" * 100)
        if "float32" in golden.regions:
            prediction = {"regions": golden.regions["float32"]}
        else:
            prediction = {"scores": dict(zip(self._labels, golden.vectors["float32"], strict=True))}
        return id, [self._change(prediction) if is_canary else prediction]


def run_smoke_test(predict, release, percentage=100, answers=20, errors=1.0, lines=None):
    """Run a smoke test with a clock whose sleeps take no time."""
    seconds = [0.0]
    clock = Clock(lambda: seconds[0], lambda sleep: seconds.append(seconds.pop() + sleep))
    wait = Wait(clock, [].append if lines is None else lines.append)
    target = smoke.SmokeTarget(release, "canary", percentage)
    return smoke.run_smoke_test(predict, target, smoke.SmokeLimits(answers, errors), wait)


def test_every_golden_answer_is_compared(release):
    predict = FakeEndpoint(release)
    assert run_smoke_test(predict, release, answers=1).answers == {"canary": 9}
    assert set(predict.images) == {golden.file for golden in golden_file.read(release.folder)}


@pytest.mark.parametrize("percentage", [1, 10, 50])
def test_requests_are_sent_until_the_canary_has_answered_enough(release, percentage):
    for seed in range(3):
        counts = run_smoke_test(FakeEndpoint(release, percentage, seed=seed), release, percentage)
        assert counts.answers["canary"] == 20
        assert counts.failed == 0


def add_error(prediction):
    return {"scores": {label: score + 0.01 for label, score in prediction["scores"].items()}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_error, "0.01 away from what was recorded"),
        (lambda prediction: {"label": "signature"}, "no vector of 2 numbers"),
        (lambda prediction: {"scores": {"signature": float("nan"), "text": 0.5}}, "nan away"),
    ],
)
def test_a_wrong_answer_fails_and_names_the_golden_image(release, change, message):
    with pytest.raises(SmokeTestFailed, match=rf"golden image '\S+' is answered .*{message}"):
        run_smoke_test(FakeEndpoint(release, change=change), release)


REGION = {"page": 1, "box": [10.0, 20.0, 90.0, 60.0], "score": 0.99, "label": "signature"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda prediction: prediction, None),
        (lambda prediction: {"regions": [*prediction["regions"], REGION]}, "answered alone: signature 0.990 on page 1"),
        (lambda prediction: {"scores": {"signature": 1.0}}, "no regions"),
    ],
    ids=["same", "another", "none"],
)
def test_the_regions_of_golden_pages_are_compared(finder_artifact, change, message):
    finder = artifact_store.open_artifact(str(finder_artifact), IMAGE)
    endpoint = FakeEndpoint(finder, change=change)
    if message is None:
        assert run_smoke_test(endpoint, finder, answers=1).answers == {"canary": 3}
        return
    with pytest.raises(SmokeTestFailed, match=rf"golden page '\S+' is answered with .*{message}"):
        run_smoke_test(endpoint, finder)


def test_a_canary_that_never_answers_fails_after_the_timeout(release):
    lines: list[str] = []
    with pytest.raises(
        SmokeTestFailed, match=r"answered none of the last \d+ of \d+ requests, \d+ answered by champion"
    ):
        run_smoke_test(FakeEndpoint(release, percentage=0), release, percentage=50, lines=lines)
    assert len(lines) in (3, 4), "in two minutes, every half minute a line"


def test_a_smoke_test_without_comparable_answers_fails(release, tmp_path):
    """A signature check that rejects every golden image leaves the model behind it untested."""
    folder = shutil.copytree(release.folder, tmp_path / "model")
    changed = dataclasses.replace(release.manifest, signature_check="check")
    rejecting = dataclasses.replace(release, manifest=changed, folder=folder)
    shutil.copytree(release.folder, folder / "check")
    images = len(golden_file.read(folder))
    for golden in golden_file.read(folder / "check"):
        (folder / "check" / golden_file.GOLDEN_DIR / golden.file).write_bytes(
            b"another image"
        )  # so its rejection is not expected

    def predict(instances, parameters):
        return "canary", [{"decision": "not_a_signature"} for _ in instances]

    assert images > 0
    with pytest.raises(SmokeTestFailed, match="no golden answer could be compared"):
        run_smoke_test(predict, rejecting)


@pytest.mark.parametrize(("fixture", "expected"), [("artifact", {}), ("verifier_artifact", {"return_embedding": True})])
def test_embeddings_are_requested_of_verifiers_only(request, fixture, expected):
    """Beside a classifier, they would be those of the verifier."""
    sent = []

    def predict(instances, parameters):
        sent.append(parameters)
        return "canary", [{}]

    with pytest.raises(SmokeTestFailed, match="no vector"):
        run_smoke_test(predict, artifact_store.open_artifact(str(request.getfixturevalue(fixture)), IMAGE))
    assert sent == [expected]


def test_a_change_of_traffic_may_take_effect_gradually(release):
    assert run_smoke_test(FakeEndpoint(release, delay=40), release).answers == {"champion": 40, "canary": 20}


def test_a_version_that_fails_most_requests_fails_though_its_answers_are_right(release):
    with pytest.raises(
        SmokeTestFailed, match=r"more than 1 % of the requests failed: .* 1 failed\n  1 x 500: .*memory"
    ):
        run_smoke_test(FakeEndpoint(release, failing={"canary": 0.7}), release)
    counts = run_smoke_test(FakeEndpoint(release, failing={"canary": 0.7}), release, errors=90)
    assert (counts.answers["canary"], counts.errors["500"]) == (20, counts.requests - 20)


def test_the_test_of_a_canary_that_always_fails_stops_at_once_with_its_error(release):
    predict, lines = FakeEndpoint(release, 10, failing={"canary": 1}), []
    with pytest.raises(
        SmokeTestFailed, match=r"2 x 500: Vertex AI failed: InternalServerError: out of memory"
    ) as raised:
        run_smoke_test(predict, release, 10, answers=100, lines=lines)
    assert len(predict.images) < 60
    assert lines == [], "nothing was waited for"
    assert "(10 % of the traffic), and it answered 0" in str(raised.value)
    assert "QUJDQUJD" not in str(raised.value), "what may be an image is not shown"


def test_errors_up_to_the_limit_are_accepted_and_counted(release):
    counts = run_smoke_test(FakeEndpoint(release, failing={"canary": 0.05}, seed=4), release, answers=200, errors=10)
    assert 0 < counts.failed < 20
    assert f"{counts.failed} failed" in str(counts)


def test_the_message_says_that_errors_may_be_of_another_deployment(release):
    with pytest.raises(SmokeTestFailed, match="where another deployment is the one that fails, --smoke-errors PERCENT"):
        run_smoke_test(FakeEndpoint(release, 50, failing={"champion": 0.5}), release, 50)


def test_a_missing_permission_is_no_failure_of_the_version(release):
    def predict(instances, parameters):
        raise errors.PermissionDenied("no permission")

    with pytest.raises(errors.PermissionDenied):
        run_smoke_test(predict, release)


def test_a_version_without_traffic_fails(release):
    with pytest.raises(SmokeTestFailed, match="no traffic"):
        run_smoke_test(FakeEndpoint(release), release, percentage=0)


def test_the_healthcheck_sends_requests_until_each_deployed_model_with_traffic_has_answered(release):
    image = prediction_client.make_instance(
        (release.folder / golden_file.GOLDEN_DIR / golden_file.read(release.folder)[0].file).read_bytes()
    )
    for seed in range(20):
        counts = healthcheck.check_health(
            FakeEndpoint(release, 10, seed=seed), {"canary": 10, "champion": 90, "idle": 0}, image
        )
        assert set(counts.answers) == {"canary", "champion"}
    failing = healthcheck.check_health(
        FakeEndpoint(release, 10, failing={"canary": 1}), {"canary": 10, "champion": 90}, image
    )
    assert set(failing.answers) == {"champion"}
    assert failing.errors["500"] >= 1
    assert (
        healthcheck.check_health(FakeEndpoint(release, failing={"canary": 1}), {"canary": 100}, image).requests
        == healthcheck.MAX_FAILURES
    )


def test_requests_stay_below_their_limit_and_keep_the_order_of_instances():
    instances = [{"n": number, "x": "a" * (number * 37 % 500)} for number in range(200)]
    requests = list(prediction_client.make_batches(instances, 1000))
    assert [instance for request in requests for instance in request] == instances
    assert all(len(str(request)) < 1300 or len(request) == 1 for request in requests)
    assert len(requests) > 10


def test_a_request_has_at_most_the_images_that_a_server_accepts_references_included():
    plain = [{"n": number} for number in range(prediction_client.MAX_REQUEST_IMAGES + 1)]
    assert [len(batch) for batch in prediction_client.make_batches(plain, 10**6)] == [
        prediction_client.MAX_REQUEST_IMAGES,
        1,
    ]
    compared = [{"references": ["r"] * 3} for _ in range(prediction_client.MAX_REQUEST_IMAGES // 4 + 1)]
    assert [len(batch) for batch in prediction_client.make_batches(compared, 10**6)] == [
        prediction_client.MAX_REQUEST_IMAGES // 4,
        1,
    ]


def test_a_request_for_embeddings_has_fewer_instances_because_its_reply_is_long():
    limit = prediction_client.MAX_REQUEST_EMBEDDINGS
    batches = prediction_client.make_batches([{"n": 1}] * (2 * limit + 1), 10**6, return_embedding=True)
    assert [len(batch) for batch in batches] == [limit, limit, 1]
    assert limit * 4608 * len("-0.012345678,") < 1_450_000, "numbers of an embedding of strokes"


def test_each_request_may_have_the_full_size():
    instance = {"x": "a" * 90}
    size = len(json.dumps(instance)) + 1
    assert [len(batch) for batch in prediction_client.make_batches([instance] * 9, 3 * size)] == [3, 3, 3]


def make_page(pixels):
    """Return a signature, and the same on a large page with noise, which hardly compresses."""
    data, _ = generator.generate_image(3, 1, "genuine", 0)
    ink = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    scale = pixels / max(ink.shape)
    grey = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).integers(-6, 7, grey.shape)
    return data, cv2.imencode(".png", np.clip(grey + noise, 0, 255).astype(np.uint8))[1].tobytes()


def test_an_image_that_fits_is_sent_unchanged():
    data, _ = generator.generate_image(3, 1, "genuine", 0)
    assert downscale.fit_image(data, 1_450_000) is data


def test_the_limit_applies_to_the_base64_text():
    _, large = make_page(1200)
    large += bytes(1 + -len(large) % 3)  # one byte more than a multiple of three, which base64 pads
    size = len(base64.b64encode(large))
    assert downscale.fit_image(large, size) is large
    assert downscale.fit_image(large, size - 1) is not large


def test_no_image_is_downscaled_until_strokes_are_lost():
    noise = np.random.default_rng(0).integers(0, 256, (300, 600), np.uint8)
    packed = cv2.imencode(".png", noise)[1].tobytes()
    with pytest.raises(UserError, match="crop it to the signature"):
        downscale.fit_image(packed, len(base64.b64encode(packed)) - 1)  # 0.8 of 600 pixels are fewer than are needed


def test_a_scan_that_exceeds_a_request_is_downscaled_and_answered_alike(server):
    small, large = make_page(2600)
    assert len(large) > 1_500_000
    sent = downscale.fit_image(large, 1_450_000)
    assert len(prediction_client.make_instance(sent)["image"]["b64"]) <= 1_450_000
    predictions = httpx.post(
        server + "/predict",
        json={"instances": [prediction_client.make_instance(image) for image in (large, sent)]},
        timeout=60,
    ).json()["predictions"]
    assert predictions[0]["label"] == predictions[1]["label"]
    assert predictions[0]["score"] == pytest.approx(predictions[1]["score"], abs=0.02)
    assert len(small) < len(sent)


def test_an_image_that_cannot_fit_and_a_file_that_is_no_image_are_errors():
    _, large = make_page(1200)
    with pytest.raises(UserError, match="crop it to the signature"):
        downscale.fit_image(large, 2000)
    with pytest.raises(ImageError, match="not an image"):
        downscale.fit_image(b"no image" * 1000, 2000)
