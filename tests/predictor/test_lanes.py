"""Bounded work on threads: refuses at once, drops what is late, gives up what was cancelled."""

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

from predictor.errors import Busy, Expired, TooLarge
from predictor.lanes import Lanes

LATER = 1e9


class Clock:
    """A time that moves when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lanes(clock):
    made = Lanes(threads=2, waiting=2, clock=clock)
    yield made
    made.close()


async def run_all(lanes, work, items, deadline):
    """The items as a request that needs room for nothing else."""
    with lanes.reserve(len(items)) as room:
        return await lanes.run_all(work, items, deadline, room)


async def settled(lanes):
    """Until every item has been counted out."""
    while lanes.taken:
        await asyncio.sleep(0)


def test_results_come_in_the_order_of_the_items(lanes):
    first_may_end = threading.Event()

    def work(item):
        if item == 0:
            assert first_may_end.wait(10)
        else:
            first_may_end.set()
        return item * 10

    assert asyncio.run(run_all(lanes, work, [0, 1], LATER)) == [0, 10]


def test_what_finds_no_room_is_refused_at_once_and_takes_none(lanes):
    gate = threading.Event()

    async def scenario():
        full = asyncio.create_task(run_all(lanes, lambda _: gate.wait(10), [1, 2, 3], LATER))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await run_all(lanes, lambda _: None, [1, 2], LATER)
        one_more = asyncio.create_task(run_all(lanes, lambda _: "fits", [1], LATER))
        await asyncio.sleep(0)
        gate.set()
        assert await one_more == ["fits"]
        await full
        await settled(lanes)

    asyncio.run(scenario())


def test_as_many_items_as_there_is_room_for_are_done_and_one_more_never_will_be(lanes):
    assert asyncio.run(run_all(lanes, lambda item: item, [1, 2, 3, 4], LATER)) == [1, 2, 3, 4]
    with pytest.raises(TooLarge, match="at most 4"):
        asyncio.run(run_all(lanes, lambda item: item, [1, 2, 3, 4, 5], LATER))


def test_items_that_no_thread_can_be_started_for_take_no_room(lanes):
    lanes.close()
    with pytest.raises(RuntimeError):
        asyncio.run(run_all(lanes, lambda item: item, [1, 2], LATER))
    assert lanes.taken == 0


def test_what_waited_past_its_deadline_is_dropped_before_any_work(lanes, clock):
    gate, done = threading.Event(), []

    async def scenario():
        busy = asyncio.create_task(run_all(lanes, lambda _: gate.wait(10), [1, 2], LATER))
        late = asyncio.create_task(run_all(lanes, done.append, [3], deadline=5.0))
        await asyncio.sleep(0)
        clock.now = 6.0
        gate.set()
        with pytest.raises(Expired):
            await late
        await busy
        await settled(lanes)

    asyncio.run(scenario())
    assert done == []


def test_a_cancelled_caller_frees_its_place_and_its_work_is_not_begun(lanes):
    gate, done = threading.Event(), []

    async def scenario():
        busy = asyncio.create_task(run_all(lanes, lambda _: gate.wait(10), [1, 2], LATER))
        gone = asyncio.create_task(run_all(lanes, done.append, [3, 4], LATER))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        for _ in range(3):
            await asyncio.sleep(0)
        assert lanes.taken == 2
        gate.set()
        await busy
        await settled(lanes)

    asyncio.run(scenario())
    assert done == []


def test_the_first_error_wins_and_everything_is_counted_out(lanes):
    def work(item):
        if item == 1:
            raise ValueError("item 1")
        return item

    async def scenario():
        with pytest.raises(ValueError, match="item 1"):
            await run_all(lanes, work, [0, 1, 2], LATER)
        await settled(lanes)

    asyncio.run(scenario())


def test_what_is_given_up_keeps_no_image_and_leaves_no_complaint(lanes, caplog):
    """The pool keeps a cancelled item's place until a thread is free: the item itself must not wait with it."""
    gate = threading.Event()

    class Image:
        pass

    async def scenario():
        busy = asyncio.create_task(run_all(lanes, lambda _: gate.wait(10), [1, 2], LATER))
        image = Image()
        kept = weakref.ref(image)
        leaving = asyncio.create_task(run_all(lanes, lambda _: None, [image], LATER))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        del image, leaving
        gc.collect()
        found = kept()
        gate.set()
        await busy
        await settled(lanes)
        return found

    assert asyncio.run(scenario()) is None
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_an_error_keeps_nothing_alive_until_the_collector_comes_by(lanes):
    """It counts objects, not bytes: a thousand refused images of a megabyte would be a gigabyte before it does."""

    class Image:
        pass

    def refuse(_):
        raise Busy("refused")

    async def scenario():
        image = Image()
        kept = weakref.ref(image)
        with contextlib.suppress(Busy):
            await run_all(lanes, refuse, [image, image], LATER)
        await settled(lanes)
        del image
        return kept

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(scenario())() is None
    finally:
        gc.enable()


def test_room_that_was_reserved_is_there_until_the_end_and_then_given_back(lanes):
    """Work that begins when other work is done, such as an explanation, is not refused then."""

    async def scenario():
        with lanes.reserve(3) as room:
            assert await lanes.run_all(str, [1], LATER, room) == ["1"]
            with pytest.raises(Busy), lanes.reserve(3):
                pass
            assert await lanes.run_all(str, [2], LATER, room) == ["2"]
            with pytest.raises(ValueError, match="reserved"):
                await lanes.run_all(str, [3, 4, 5, 6], LATER, room)
            assert await lanes.run_all(str, [3, 4, 5], LATER, room) == ["3", "4", "5"], "all of it, again"
        await settled(lanes)
        with pytest.raises(TooLarge), lanes.reserve(5):
            pass

    asyncio.run(scenario())
