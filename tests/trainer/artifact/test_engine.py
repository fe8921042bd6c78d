"""The pool of engines: each thread uses one engine, and each engine is checked before it answers."""

import threading

import numpy as np
import pytest

from trainer.artifact.artifact import Artifact
from trainer.artifact.engine import EnginePool
from trainer.artifact.golden import GoldenMismatch

IMAGES = np.zeros((1, 2, 2, 1), np.uint8)


def make_numbered_factory():
    """Return a factory of engines that answer their own number: 0, 1, ..."""
    numbers = []

    def make(threads=1):
        number = float(len(numbers))
        numbers.append(number)
        return lambda images: np.full((len(images), 1), number, np.float32)

    return make


def refuse_the_second(engine):
    if engine(IMAGES)[0, 0] == 1:
        raise GoldenMismatch("another answer")


def test_every_prepared_engine_is_checked():
    pool = EnginePool(make_numbered_factory())
    pool.check_engine = refuse_the_second
    with pytest.raises(GoldenMismatch):
        pool.prepare(2)


def test_an_engine_that_is_made_later_is_checked_before_it_answers():
    pool = EnginePool(make_numbered_factory())
    pool.check_engine = refuse_the_second
    pool.prepare(1)
    computing, done = threading.Event(), threading.Event()
    first = pool._free.get()

    def slow(images):
        computing.set()
        assert done.wait(10)
        return first(images)

    pool._free.put(slow)
    thread = threading.Thread(target=lambda: pool(IMAGES))
    thread.start()
    assert computing.wait(10)
    with pytest.raises(GoldenMismatch):
        pool(IMAGES)
    done.set()
    thread.join()
    assert pool(IMAGES)[0, 0] == 0, "the first is free again"


def test_a_free_engine_is_used_again():
    pool = EnginePool(make_numbered_factory())
    assert [float(pool(IMAGES)[0, 0]) for _ in range(3)] == [0, 0, 0]


def test_after_the_replay_there_is_an_engine_for_every_thread(artifact):
    opened = Artifact(artifact, threads=3)
    assert opened.replay_golden() > 0
    assert opened.engine_pool._free.qsize() == 3
