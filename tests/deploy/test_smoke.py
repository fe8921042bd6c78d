"""Smoke, sizes of requests, and images that have to be made smaller."""

import base64
import random

import cv2
import httpx
import numpy as np
import pytest

from deploy import asking, release, shrink, smoke
from deploy.smoke import SmokeFailed
from trainer import samples
from trainer.artifact import recorded
from trainer.errors import UserError
from trainer.imaging import ImageError

IMAGE = "image@sha256:" + "0" * 64


@pytest.fixture
def given(artifact):
    return release.opened(str(artifact), IMAGE)


def endpoint(given, share=100, wrong=None, seed=1):
    """An endpoint that answers as recorded, its canary for a share of the requests; ``wrong`` changes its answers."""
    golden = recorded.read(given.folder)
    by_image = {
        base64.b64encode((given.folder / recorded.FOLDER / one.file).read_bytes()).decode(): one for one in golden
    }
    rng, asked = random.Random(seed), []

    def ask(instances, parameters):
        asked.append(len(instances))
        vectors = [by_image[one["image"]["b64"]].vectors["float32"] for one in instances]
        answers = [{"scores": dict(zip(given.manifest.labels, vector, strict=True))} for vector in vectors]
        if rng.uniform(0, 100) < share:
            return "canary", [wrong(answer) for answer in answers] if wrong else answers
        return "champion", answers

    ask.asked = asked
    return ask


def test_every_golden_answer_is_compared(given):
    assert smoke.check(endpoint(given), given, "canary", 100) == len(recorded.read(given.folder))


@pytest.mark.parametrize("share", [1, 10, 50])
def test_a_canary_is_asked_until_it_has_answered_itself(given, share):
    for seed in range(10):
        ask = endpoint(given, share, seed=seed)
        assert smoke.check(ask, given, "canary", share) == 9


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
        smoke.check(endpoint(given, wrong=wrong), given, "canary", 100)


def test_a_canary_that_never_answers_fails(given):
    with pytest.raises(SmokeFailed, match="answered none of 20 requests; champion did"):
        smoke.check(endpoint(given, share=0), given, "canary", 50, patience=0)


def test_a_change_of_traffic_may_take_a_while_to_arrive(given, monkeypatch):
    ask, waited = endpoint(given), []
    monkeypatch.setattr(smoke.time, "sleep", waited.append)

    def late(instances, parameters):
        who, answers = ask(instances, parameters)
        return (who if len(ask.asked) > 3 else "champion"), answers

    assert smoke.check(late, given, "canary", 100) == 9
    assert waited


def test_nothing_reaches_what_has_no_traffic(given):
    with pytest.raises(SmokeFailed, match="no traffic"):
        smoke.check(endpoint(given), given, "canary", 0)


def test_requests_stay_below_their_limit_and_keep_their_order():
    instances = [{"n": number, "x": "a" * (number * 37 % 500)} for number in range(200)]
    batches = list(asking.batches(instances, 1000))
    assert [one for batch in batches for one in batch] == instances
    assert all(len(str(batch)) < 1300 or len(batch) == 1 for batch in batches)
    assert len(batches) > 10


def page(pixels):
    """A signature on a large page of paper with noise: a file that hardly packs."""
    data, _ = samples.image(3, 1, "genuine", 0)
    ink = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    scale = pixels / max(ink.shape)
    grey = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).integers(-6, 7, grey.shape)
    return data, cv2.imencode(".png", np.clip(grey + noise, 0, 255).astype(np.uint8))[1].tobytes()


def test_an_image_that_fits_is_sent_as_it_is():
    data, _ = samples.image(3, 1, "genuine", 0)
    assert shrink.fitting(data, 1_450_000) is data


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
