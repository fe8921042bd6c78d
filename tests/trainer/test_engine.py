"""Engines are borrowed by threads, and each is checked before it answers."""

import threading

import numpy as np
import pytest

from trainer.artifact.artifact import Model
from trainer.artifact.engine import Pool
from trainer.artifact.golden import GoldenMismatch

IMAGES = np.zeros((1, 2, 2, 1), np.uint8)


def numbered():
    """A maker of engines that answer their own number."""
    made = []

    def make(threads=1):
        number = float(len(made))
        made.append(number)
        return lambda images: np.full((len(images), 1), number, np.float32)

    return make


def refuse_the_second(engine):
    if engine(IMAGES)[0, 0] == 1:
        raise GoldenMismatch("another answer")


def test_every_engine_that_is_kept_ready_is_checked():
    pool = Pool(numbered())
    pool.check = refuse_the_second
    with pytest.raises(GoldenMismatch):
        pool.fill(2)


def test_an_engine_that_is_made_later_is_checked_before_it_answers():
    pool = Pool(numbered())
    pool.check = refuse_the_second
    pool.fill(1)
    computing, done = threading.Event(), threading.Event()
    first = pool._free.get()

    def slow(images):
        computing.set()
        assert done.wait(10)
        return first(images)

    pool._free.put(slow)
    other = threading.Thread(target=lambda: pool(IMAGES))
    other.start()
    assert computing.wait(10)
    with pytest.raises(GoldenMismatch):
        pool(IMAGES)
    done.set()
    other.join()
    assert pool(IMAGES)[0, 0] == 0, "the first is free again"


def test_an_engine_is_used_again_when_it_is_free():
    pool = Pool(numbered())
    assert [float(pool(IMAGES)[0, 0]) for _ in range(3)] == [0, 0, 0]


def test_a_model_that_has_proven_itself_has_an_engine_for_every_thread(artifact):
    model = Model(artifact, threads=3)
    assert model.prove() > 0
    assert model.engine._free.qsize() == 3
