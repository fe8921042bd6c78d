"""The executor refuses at once what its queue cannot hold, and drops what is late or cancelled."""

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

from predictor.errors import Busy, DeadlineExceeded, TooLarge
from predictor.executor import Executor

LATER = 1e9  # a time that the clock never reaches


class Clock:
    """A clock that moves when ``now`` is set, in seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def executor(clock):
    executor = Executor(threads=2, max_waiting=2, clock=clock)
    yield executor
    executor.close()


async def run_all(executor, work, items, expires_at):
    """Run the items in a reservation of just as many slots."""
    with executor.reserve(len(items)) as reservation:
        return await reservation.run_all(work, items, expires_at)


async def until_idle(executor):
    """Return when every slot is free."""
    while executor.in_flight:
        await asyncio.sleep(0)


def test_results_are_in_the_order_of_the_items(executor):
    second_has_run = threading.Event()

    def work(item):
        if item == 0:
            assert second_has_run.wait(10)
        else:
            second_has_run.set()
        return item * 10

    assert asyncio.run(run_all(executor, work, [0, 1], LATER)) == [0, 10]


def test_a_request_without_free_slots_is_refused_at_once_and_takes_none(executor):
    may_end = threading.Event()

    async def scenario():
        running = asyncio.create_task(run_all(executor, lambda _: may_end.wait(10), [1, 2, 3], LATER))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await run_all(executor, lambda _: None, [1, 2], LATER)
        fitting = asyncio.create_task(run_all(executor, lambda _: "fits", [1], LATER))
        await asyncio.sleep(0)
        may_end.set()
        assert await fitting == ["fits"]
        await running
        await until_idle(executor)

    asyncio.run(scenario())


def test_as_many_items_as_slots_are_done_and_one_more_is_too_large(executor):
    assert asyncio.run(run_all(executor, lambda item: item, [1, 2, 3, 4], LATER)) == [1, 2, 3, 4]
    with pytest.raises(TooLarge, match="at most 4"):
        asyncio.run(run_all(executor, lambda item: item, [1, 2, 3, 4, 5], LATER))


def test_items_for_which_no_thread_can_be_started_take_no_slot(executor):
    executor.close()
    with pytest.raises(RuntimeError):
        asyncio.run(run_all(executor, lambda item: item, [1, 2], LATER))
    assert executor.in_flight == 0


def test_an_item_that_waits_past_its_deadline_is_dropped_before_any_work(executor, clock):
    may_end, processed = threading.Event(), []

    async def scenario():
        busy = asyncio.create_task(run_all(executor, lambda _: may_end.wait(10), [1, 2], LATER))
        late = asyncio.create_task(run_all(executor, processed.append, [3], expires_at=5.0))
        await asyncio.sleep(0)
        clock.now = 6.0
        may_end.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await busy
        await until_idle(executor)

    asyncio.run(scenario())
    assert processed == []


def test_a_cancelled_caller_frees_its_slots_and_its_work_does_not_start(executor):
    may_end, processed = threading.Event(), []

    async def scenario():
        busy = asyncio.create_task(run_all(executor, lambda _: may_end.wait(10), [1, 2], LATER))
        cancelled = asyncio.create_task(run_all(executor, processed.append, [3, 4], LATER))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        for _ in range(3):
            await asyncio.sleep(0)
        assert executor.in_flight == 2
        may_end.set()
        await busy
        await until_idle(executor)

    asyncio.run(scenario())
    assert processed == []


def test_the_first_error_is_raised_and_every_slot_becomes_free(executor):
    def work(item):
        if item == 1:
            raise ValueError("item 1")
        return item

    async def scenario():
        with pytest.raises(ValueError, match="item 1"):
            await run_all(executor, work, [0, 1, 2], LATER)
        await until_idle(executor)

    asyncio.run(scenario())


def test_a_cancelled_item_is_freed_at_once_and_logs_no_error(executor, caplog):
    """The pool keeps a cancelled future until a thread takes it; the item must not be kept with it."""
    may_end = threading.Event()

    class Image:
        pass

    async def scenario():
        busy = asyncio.create_task(run_all(executor, lambda _: may_end.wait(10), [1, 2], LATER))
        image = Image()
        reference = weakref.ref(image)
        cancelled = asyncio.create_task(run_all(executor, lambda _: None, [image], LATER))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        del image, cancelled
        gc.collect()
        remaining = reference()
        may_end.set()
        await busy
        await until_idle(executor)
        return remaining

    assert asyncio.run(scenario()) is None
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_an_error_frees_its_items_without_garbage_collection(executor):
    """Collection is triggered by the number of objects: a thousand refused images of a megabyte would come first."""

    class Image:
        pass

    def refuse(_):
        raise Busy("refused")

    async def scenario():
        image = Image()
        reference = weakref.ref(image)
        with contextlib.suppress(Busy):
            await run_all(executor, refuse, [image, image], LATER)
        await until_idle(executor)
        del image
        return reference

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(scenario())() is None
    finally:
        gc.enable()


def test_reserved_slots_stay_reserved_until_the_end_and_are_then_free(executor):
    """Work that starts after other work, such as an explanation, is not refused."""

    async def scenario():
        with executor.reserve(3) as reservation:
            assert await reservation.run_all(str, [1], LATER) == ["1"]
            with pytest.raises(Busy), executor.reserve(3):
                pass
            assert await reservation.run_all(str, [2], LATER) == ["2"]
            with pytest.raises(ValueError, match="reserved"):
                await reservation.run_all(str, [3, 4, 5, 6], LATER)
            assert await reservation.run_all(str, [3, 4, 5], LATER) == ["3", "4", "5"], "all slots, again"
        await until_idle(executor)
        with pytest.raises(TooLarge), executor.reserve(5):
            pass

    asyncio.run(scenario())
