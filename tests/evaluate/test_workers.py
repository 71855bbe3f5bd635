"""Several processes: results in any order, few in flight, and the death of one told."""

import operator
import os
import time

import pytest

from jaxicm.errors import JaxicmError
from jaxicm.evaluate.workers import Workers


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_has_its_result(jobs):
    with Workers(jobs) as workers:
        found = sorted(workers.stream(operator.mul, ((number, number) for number in range(9))))
    assert found == [number**2 for number in range(9)]


def test_items_are_taken_only_as_fast_as_results_are_wanted():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield (number, 1)

    with Workers(2) as workers:
        results = workers.stream(operator.mul, items())
        next(results)
        assert len(taken) <= 4
        results.close()


def test_an_error_of_a_function_arrives_here():
    with Workers(2) as workers, pytest.raises(ZeroDivisionError):
        list(workers.stream(operator.truediv, [(1, 0)]))


def test_a_process_that_dies_is_an_error_and_no_hang():
    with Workers(2) as workers, pytest.raises(JaxicmError, match=r"a worker process died.* smaller --jobs"):
        list(workers.stream(os._exit, [(1,)]))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_is_stopped_ends_after_what_is_at_hand(jobs):
    found = []
    with pytest.raises(KeyboardInterrupt), Workers(jobs, stopped=lambda: len(found) >= 2) as workers:
        for result in workers.stream(operator.mul, ((number, 1) for number in range(1000))):
            found.append(result)
    assert 2 <= len(found) <= 2 + 2 * jobs


def test_work_in_hand_is_given_up_at_once():
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Workers(2, stopped=lambda: True) as workers:
        list(workers.stream(time.sleep, [(60,), (60,)]))
    assert time.monotonic() - begun < 30
