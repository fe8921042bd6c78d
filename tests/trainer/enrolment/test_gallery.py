"""Identification: the nearest writer is answered, a stranger is not, and the stated rates are the measured ones."""

import contextlib

import numpy as np
import pytest

from tests.bench.writer_histories import DIM, VERIFIER
from trainer.enrolment import writers
from trainer.enrolment.calibration import Calibration
from trainer.enrolment.errors import NotEnrolled
from trainer.enrolment.gallery import Gallery, IdentificationParameters
from trainer.enrolment.store import EnrolmentStore

SPREAD = 1.2  # how much signatures of one writer differ


@pytest.fixture
def make_gallery(tmp_path):
    """A function that makes the gallery of a number of writers with three references each."""
    with contextlib.ExitStack() as stack:

        def make(count: int) -> Gallery:
            path = tmp_path / f"{count}.sqlite"
            store = stack.enter_context(contextlib.closing(EnrolmentStore.create(path, "encoder", DIM)))
            with store.transaction():
                for number in range(count):
                    references = writers.make_references((str(n), sign(number, n)) for n in range(3))
                    writers.put_writer(store, VERIFIER, f"writer {number}", references)
            return Gallery(store, VERIFIER)

        yield make


def sign(writer: int, number: int) -> np.ndarray:
    """Make the embedding of a signature: near those of the same writer, far from all others."""
    mean = np.random.default_rng(writer).standard_normal(DIM)
    vector = mean + SPREAD * np.random.default_rng([writer, number]).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_the_writer_is_the_nearest_candidate_with_the_score_of_a_verification(make_gallery):
    gallery = make_gallery(50)
    for writer in range(0, 50, 7):
        answer = gallery.identify(sign(writer, 9), IdentificationParameters(candidates=3, fpir=0.05))
        assert (answer["decision"], answer["writer"], answer["writers"]) == ("identified", f"writer {writer}", 50)
        assert len(answer["candidates"]) == 3
        verified = VERIFIER.answer(sign(writer, 9), list(gallery.read_vectors(f"writer {writer}")))
        assert answer["score"] == pytest.approx(verified["score"], abs=1e-6)
        assert answer["candidates"][0] == {"writer": f"writer {writer}", "score": answer["score"]}
        assert answer["score"] >= answer["threshold"]


def test_strangers_are_identified_at_most_at_the_stated_rate(make_gallery):
    gallery = make_gallery(200)
    for fpir in (0.02, 0.2):
        parameters = IdentificationParameters(fpir=fpir)
        answers = [gallery.identify(sign(1000 + number, 0), parameters) for number in range(300)]
        assert {answer["fpir"] for answer in answers} == {fpir}
        share = np.mean([answer["decision"] == "identified" for answer in answers])
        assert share <= fpir + 3 * np.sqrt(fpir * (1 - fpir) / 300)
        assert not any("writer" in answer for answer in answers if answer["decision"] == "unknown")


def test_few_writers_cannot_keep_a_low_rate_and_say_so(make_gallery):
    answer = make_gallery(4).identify(sign(2, 9), IdentificationParameters(fpir=0.01))
    assert answer["fpir"] == pytest.approx(1 / 5)
    assert "fnir" not in answer


def test_without_writers_everybody_is_unknown(make_gallery):
    answer = make_gallery(0).identify(sign(0, 0), IdentificationParameters())
    assert answer == {"decision": "unknown", "writers": 0, "fpir": 1.0, "candidates": []}


def test_the_only_writer_is_identified_by_the_threshold_of_verification(make_gallery):
    gallery = make_gallery(1)
    assert gallery.identify(sign(0, 9), IdentificationParameters())["decision"] == "identified"
    assert gallery.identify(sign(5, 9), IdentificationParameters())["decision"] == "unknown"


def test_the_nearest_writers_are_those_of_a_comparison_with_all(make_gallery):
    gallery = make_gallery(60)
    questioned = sign(31, 9)
    positions, log_odds = gallery.rank(questioned)
    everyone = [
        float(
            VERIFIER.log_odds(
                questioned[None] @ gallery.read_vectors(name).T,
                gallery.read_vectors(name) @ gallery.read_vectors(name).T,
            )[0]
        )
        for name in gallery.names
    ]
    assert positions[0] == int(np.argmax(everyone)) == 31
    np.testing.assert_allclose(log_odds, [everyone[position] for position in positions], atol=1e-5)


def test_a_stored_calibration_is_used(make_gallery, tmp_path):
    gallery = make_gallery(5)
    with contextlib.closing(EnrolmentStore(tmp_path / "5.sqlite")) as store:
        assert store.read_calibration() is None
    measured = gallery.calibration
    assert len(measured.strangers) == len(measured.mates) == 5
    gallery._store.write_calibration({"strangers": [100.0], "mates": []})
    with contextlib.closing(EnrolmentStore(tmp_path / "5.sqlite")) as store:
        assert Gallery(store, VERIFIER).calibration == Calibration([100.0], [])


def test_the_threshold_excludes_all_but_the_requested_share_of_strangers():
    calibration = Calibration([float(number) for number in range(99)], [98.5] * 15 + [97.5] * 3 + [None] * 2)
    assert calibration.find_threshold(0.01) == (pytest.approx(98.0), {"fpir": 0.01, "fnir": pytest.approx(0.25)})
    assert calibration.find_threshold(0.1)[0] == pytest.approx(89.0)
    assert calibration.find_threshold(0.001) == (pytest.approx(98.0), {"fpir": 0.01, "fnir": pytest.approx(0.25)})
    assert calibration.top1 == pytest.approx(0.9)


def test_a_reference_by_another_hand_disagrees_with_the_others():
    references = writers.make_references((str(n), sign(1, n)) for n in range(4))
    assert writers.find_disagreements(VERIFIER, references) == []
    (stranger,) = writers.make_references([("slipped in", sign(2, 0))])
    (disagreement,) = writers.find_disagreements(VERIFIER, [*references, stranger])
    assert disagreement.reference is stranger
    described = disagreement.describe()
    assert described["code"] == "unlike_other_references"
    assert described["value"] < described["limit"]
    assert writers.find_disagreements(VERIFIER, [stranger]) == []


def test_an_unknown_name_is_no_writer(make_gallery):
    with pytest.raises(NotEnrolled, match="no writer 'nobody' is on file, among 2"):
        make_gallery(2).read_vectors("nobody")
