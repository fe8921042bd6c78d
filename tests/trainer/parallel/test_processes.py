"""Work in processes: in order, in bounds, and to its end when processes are killed."""

import itertools
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from trainer.parallel import processes
from trainer.parallel.processes import ProcessNotStarted, run_in_order

DEADLY = {3, 4, 11}


def double(number):
    """Double a number, after a time that is different for each; end this process on some of them."""
    if number in DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.005 * (number % 3))
    return 2 * number


def fail_to_start():
    raise RuntimeError("a planned failure")


@pytest.mark.slow
def test_arguments_on_which_a_process_is_killed_are_handed_back_and_all_others_have_results():
    results = run_in_order(double, ((n,) for n in range(16)), 2, on_crash=lambda number: f"killed on {number}")
    assert list(results) == [f"killed on {n}" if n in DEADLY else 2 * n for n in range(16)]


def test_a_killed_process_is_an_error_where_nothing_else_is_agreed():
    results = run_in_order(double, ((n,) for n in (2, 3, 5)), 1)
    assert next(results) == 4
    with pytest.raises(BrokenProcessPool):
        next(results)


def test_a_process_that_cannot_start_is_an_error_and_not_tried_for_ever():
    with pytest.raises(ProcessNotStarted):
        list(run_in_order(double, [(1,), (2,)], 1, fail_to_start, on_crash=lambda number: None))


def test_arguments_are_taken_as_results_are_consumed():
    source = iter(range(10_000))
    results = run_in_order(double, ((n,) for n in source if n not in DEADLY), 2)
    assert [*itertools.islice(results, 3)] == [0, 2, 4]
    assert next(source) <= 3 + processes.AHEAD * 2 + len(DEADLY)
    results.close()
