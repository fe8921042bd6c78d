"""The generated dataset: the same seed gives the same people, and they behave like people."""

import numpy as np
import pytest

from trainer.imaging import Imaging, canonicalise
from trainer.samples import generator, hand, pen
from trainer.samples.amount import Amount


def test_an_image_follows_from_its_four_numbers():
    assert generator.image(3, 5, "genuine", 1) == generator.image(3, 5, "genuine", 1)
    others = [(4, 5, "genuine", 1), (3, 6, "genuine", 1), (3, 5, "forged", 1), (3, 5, "genuine", 2), (3, 5, "text", 1)]
    assert generator.image(3, 5, "genuine", 1)[0] not in [generator.image(*other)[0] for other in others]


@pytest.mark.slow
def test_a_person_does_not_depend_on_how_many_people_there_are(tmp_path):
    for writers in (2, 4):
        for _ in generator.write(tmp_path / str(writers), Amount(writers=writers, genuine=1, forged=1, text=1), seed=9):
            pass
    few, many = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "24")
    assert few.items() <= many.items()


def test_every_generated_image_can_be_read_by_our_imaging():
    for writer in range(1, 9):
        for kind in generator.KINDS:
            assert canonicalise(generator.image(2, writer, kind, 0)[0], Imaging()).image.any()


@pytest.mark.slow
def test_genuine_signatures_are_more_alike_than_those_of_other_people():
    def canonical(writer, number):
        return canonicalise(generator.image(6, writer, "genuine", number)[0], Imaging()).image.astype(float) / 255

    own, other = [], []
    for writer in range(1, 9):
        first = canonical(writer, 0)
        own.append(np.abs(first - canonical(writer, 1)).mean())
        other.append(np.abs(first - canonical(writer + 20, 0)).mean())
    assert np.mean(own) < np.mean(other)


def test_the_lognormal_pen_arrives_where_it_aims():
    targets = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, -0.5]])
    path = pen.move(targets, pen.Motion(), np.random.default_rng(0))
    np.testing.assert_allclose(path[0, :2], targets[0], atol=0.02)
    np.testing.assert_allclose(path[-1, :2], targets[-1], atol=0.02)
    assert path[0, 2] < path[:, 2].max() / 4, "it starts slowly"


def test_careful_forgers_are_slower_than_the_person():
    def seconds(paths):
        return sum(len(path) for path in paths) * pen.STEP

    ratios = []
    for seed in range(12):
        person = hand.new_person(np.random.default_rng(seed))
        rng = np.random.default_rng(seed + 100)
        ratios.append(seconds(hand.forged(person, rng)) / seconds(hand.genuine(person, rng)))
    assert np.median(ratios) > 1.2
