"""Several processes: results in any order, few in flight, and the death of one told."""

import operator
import os

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
