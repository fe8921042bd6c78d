"""Smoke, sizes of requests, and images that have to be made smaller."""

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

from deploy import asking, probe, release, shrink, smoke, vertex
from deploy.smoke import SmokeFailed
from deploy.waiting import Clock, Wait
from trainer.artifact import golden_file
from trainer.console.errors import UserError
from trainer.imaging import ImageError
from trainer.samples import generator

IMAGE = "image@sha256:" + "0" * 64


@pytest.fixture
def given(artifact):
    return release.opened(str(artifact), IMAGE)


class Asked:
    """An endpoint that answers as recorded, its canary for a share of the requests; ``wrong`` changes its answers.

    ``failing`` is the share of requests that fail, by deployment; ``late`` the requests before traffic has moved.
    """

    def __init__(self, given, share=100, wrong=lambda answer: answer, seed=1, failing=None, late=0):
        golden = [(one, given.folder / golden_file.FOLDER / one.file) for one in golden_file.read(given.folder)]
        self._by_image = {base64.b64encode(file.read_bytes()).decode(): one for one, file in golden}
        self._labels, self._share, self._wrong, self._late = given.manifest.labels, share, wrong, late
        self._failing, self._random = failing or {}, random.Random(seed)
        self.images: list[str] = []

    def __call__(self, instances, parameters):
        (instance,) = instances
        golden = self._by_image[instance["image"]["b64"]]
        self.images.append(golden.file)
        canary = self._random.uniform(0, 100) < self._share and len(self.images) > self._late
        who = "canary" if canary else "champion"
        if self._random.random() < self._failing.get(who, 0):
            with vertex._in_our_words():
                raise exceptions.InternalServerError("out of memory " + "QUJD" * 100)
        answer = {"scores": dict(zip(self._labels, golden.vectors["float32"], strict=True))}
        return who, [self._wrong(answer) if canary else answer]


def smoked(ask, given, share=100, answers=20, errors=1.0, said=None):
    """Smoke with a clock whose pauses take no time."""
    seconds = [0.0]
    clock = Clock(lambda: seconds[0], lambda pause: seconds.append(seconds.pop() + pause))
    wait = Wait(clock, [].append if said is None else said.append)
    return smoke.check(ask, given, "canary", share, smoke.Bounds(answers, errors), wait)


def test_every_golden_answer_is_compared(given):
    ask = Asked(given)
    assert smoked(ask, given, answers=1).answers == {"canary": 9}
    assert set(ask.images) == {one.file for one in golden_file.read(given.folder)}


@pytest.mark.parametrize("share", [1, 10, 50])
def test_a_canary_is_asked_until_it_has_answered_enough_itself(given, share):
    for seed in range(3):
        tally = smoked(Asked(given, share, seed=seed), given, share)
        assert tally.answers["canary"] == 20
        assert tally.failed == 0


def off(answer):
    return {"scores": {label: score + 0.01 for label, score in answer["scores"].items()}}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (off, "0.01 away from what was recorded"),
        (lambda answer: {"label": "signature"}, "no vector of 2 numbers"),
        (lambda answer: {"scores": {"signature": float("nan"), "text": 0.5}}, "nan away"),
    ],
)
def test_another_answer_fails_and_names_the_golden_image(given, wrong, said):
    with pytest.raises(SmokeFailed, match=rf"golden image '\S+' is answered .*{said}"):
        smoked(Asked(given, wrong=wrong), given)


def test_a_canary_that_never_answers_fails_after_patience(given):
    said: list[str] = []
    with pytest.raises(SmokeFailed, match=r"answered none of the last \d+ of \d+ requests, \d+ answered by champion"):
        smoked(Asked(given, share=0), given, share=50, said=said)
    assert len(said) in (3, 4), "in two minutes, every half minute a line"


def test_a_smoke_that_could_compare_nothing_fails(given, tmp_path):
    """A signature check may call every golden image none; then nothing is known of the model behind it."""
    folder = shutil.copytree(given.folder, tmp_path / "model")
    refusing = dataclasses.replace(
        given, manifest=dataclasses.replace(given.manifest, signature_check="check"), folder=folder
    )
    shutil.copytree(given.folder, folder / "check")
    images = len(golden_file.read(folder))
    for one in golden_file.read(folder / "check"):
        (folder / "check" / golden_file.FOLDER / one.file).write_bytes(
            b"another image"
        )  # so what the check says is not known

    def ask(instances, parameters):
        return "canary", [{"decision": "not_a_signature"} for _ in instances]

    assert images > 0
    with pytest.raises(SmokeFailed, match="no golden answer could be compared"):
        smoked(ask, refusing)


def test_a_change_of_traffic_may_take_a_while_to_arrive(given):
    assert smoked(Asked(given, late=40), given).answers == {"champion": 40, "canary": 20}


def test_a_version_that_fails_most_of_its_requests_fails_though_it_would_answer_all_golden_images(given):
    with pytest.raises(SmokeFailed, match=r"more than 1 % of the requests failed: .* 1 failed\n  1 x 500: .*memory"):
        smoked(Asked(given, failing={"canary": 0.7}), given)
    tally = smoked(Asked(given, failing={"canary": 0.7}), given, errors=90)
    assert (tally.answers["canary"], tally.errors["500"]) == (20, tally.requests - 20)


def test_a_canary_that_always_fails_is_stopped_at_once_with_its_error(given):
    ask, said = Asked(given, 10, failing={"canary": 1}), []
    with pytest.raises(SmokeFailed, match=r"2 x 500: Vertex AI failed: InternalServerError: out of memory") as stop:
        smoked(ask, given, 10, answers=100, said=said)
    assert len(ask.images) < 60
    assert said == [], "nothing was waited for"
    assert "(10 % of the traffic), and it answered 0" in str(stop.value)
    assert "QUJDQUJD" not in str(stop.value), "what may be an image is not shown"


def test_failures_up_to_the_bound_are_accepted_and_counted(given):
    tally = smoked(Asked(given, failing={"canary": 0.05}, seed=4), given, answers=200, errors=10)
    assert 0 < tally.failed < 20
    assert f"{tally.failed} failed" in str(tally)


def test_errors_that_may_be_those_of_another_deployment_are_said_to_be_so(given):
    with pytest.raises(SmokeFailed, match="where another deployment is the one that fails, --smoke-errors PERCENT"):
        smoked(Asked(given, 50, failing={"champion": 0.5}), given, 50)


def test_an_account_without_permission_is_no_failure_of_the_version(given):
    def ask(instances, parameters):
        raise vertex.NotAllowed("no permission")

    with pytest.raises(vertex.NotAllowed):
        smoked(ask, given)


def test_nothing_reaches_what_has_no_traffic(given):
    with pytest.raises(SmokeFailed, match="no traffic"):
        smoked(Asked(given), given, share=0)


def test_health_asks_until_each_deployment_with_traffic_has_answered(given):
    image = asking.instance((given.folder / golden_file.FOLDER / golden_file.read(given.folder)[0].file).read_bytes())
    for seed in range(20):
        tally = probe.health(Asked(given, 10, seed=seed), {"canary": 10, "champion": 90, "idle": 0}, image)
        assert set(tally.answers) == {"canary", "champion"}
    failing = probe.health(Asked(given, 10, failing={"canary": 1}), {"canary": 10, "champion": 90}, image)
    assert set(failing.answers) == {"champion"}
    assert failing.errors["500"] >= 1
    assert probe.health(Asked(given, failing={"canary": 1}), {"canary": 100}, image).requests == probe.FAILURES


def test_requests_stay_below_their_limit_and_keep_their_order():
    instances = [{"n": number, "x": "a" * (number * 37 % 500)} for number in range(200)]
    batches = list(asking.batches(instances, 1000))
    assert [one for batch in batches for one in batch] == instances
    assert all(len(str(batch)) < 1300 or len(batch) == 1 for batch in batches)
    assert len(batches) > 10


def test_a_request_holds_the_most_images_that_a_server_takes_and_references_count():
    plain = [{"n": number} for number in range(asking.MOST + 1)]
    assert [len(batch) for batch in asking.batches(plain, 10**6)] == [asking.MOST, 1]
    compared = [{"references": ["r"] * 3} for _ in range(asking.MOST // 4 + 1)]
    assert [len(batch) for batch in asking.batches(compared, 10**6)] == [asking.MOST // 4, 1]


def test_each_request_has_the_whole_size_for_itself():
    one = {"x": "a" * 90}
    size = len(json.dumps(one)) + 1
    assert [len(batch) for batch in asking.batches([one] * 9, 3 * size)] == [3, 3, 3]


def page(pixels):
    """A signature on a large page of paper with noise: a file that hardly packs."""
    data, _ = generator.image(3, 1, "genuine", 0)
    ink = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    scale = pixels / max(ink.shape)
    grey = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).integers(-6, 7, grey.shape)
    return data, cv2.imencode(".png", np.clip(grey + noise, 0, 255).astype(np.uint8))[1].tobytes()


def test_an_image_that_fits_is_sent_as_it_is():
    data, _ = generator.image(3, 1, "genuine", 0)
    assert shrink.fitting(data, 1_450_000) is data


def test_what_counts_is_the_size_of_the_base64_text():
    _, large = page(1200)
    large += bytes(1 + -len(large) % 3)  # one byte more than a multiple of three, which base64 pads
    size = len(base64.b64encode(large))
    assert shrink.fitting(large, size) is large
    assert shrink.fitting(large, size - 1) is not large


def test_no_image_is_made_smaller_than_strokes_can_be_seen_in():
    noise = np.random.default_rng(0).integers(0, 256, (300, 600), np.uint8)
    packed = cv2.imencode(".png", noise)[1].tobytes()
    with pytest.raises(UserError, match="crop it to the signature"):
        shrink.fitting(packed, len(base64.b64encode(packed)) - 1)  # 0.8 of 600 pixels are fewer than are needed


def test_a_scan_too_large_for_a_request_is_made_smaller_and_answered_alike(server):
    small, large = page(2600)
    assert len(large) > 1_500_000
    sent = shrink.fitting(large, 1_450_000)
    assert len(asking.instance(sent)["image"]["b64"]) <= 1_450_000
    answers = httpx.post(
        server + "/predict", json={"instances": [asking.instance(one) for one in (large, sent)]}, timeout=60
    ).json()["predictions"]
    assert answers[0]["label"] == answers[1]["label"]
    assert answers[0]["score"] == pytest.approx(answers[1]["score"], abs=0.02)
    assert len(small) < len(sent)


def test_what_cannot_fit_or_is_no_image_is_an_error():
    _, large = page(1200)
    with pytest.raises(UserError, match="crop it to the signature"):
        shrink.fitting(large, 2000)
    with pytest.raises(ImageError, match="not an image"):
        shrink.fitting(b"no image" * 1000, 2000)
