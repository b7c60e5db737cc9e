"""Calls that go out together: every one is made and waited for, also when some fail or gather in their turn."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from threading import Barrier, Thread
from typing import Any

import pytest

from core.flows.gather import attempt, together

NAME: ContextVar[str] = ContextVar("name", default="")


def test_results_come_in_order_and_the_calls_overlap() -> None:
    met = Barrier(4)

    def call(number: int) -> int:
        met.wait(timeout=30)  # broken unless all four are under way at once
        return number

    assert together([partial(call, number) for number in range(4)]) == [0, 1, 2, 3]
    assert together([lambda: 7]) == [7]
    assert together([]) == []


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_is_raised_after_the_others_are_done(failing: int) -> None:
    done = []

    def call(number: int) -> None:
        if number == failing:
            raise ValueError(f"number {number}")
        done.append(number)

    with pytest.raises(ValueError, match=f"number {failing}"):
        together([partial(call, number) for number in range(3)])
    assert sorted(done) == sorted({0, 1, 2} - {failing})


def test_an_exception_that_is_given_back_is_a_result_and_not_a_failure() -> None:
    given = ValueError("given back")
    assert together([lambda: given, lambda: 1, lambda: given]) == [given, 1, given]


def test_many_that_gather_inside_of_gathering_all_come_to_an_end() -> None:
    def inner() -> list[Any]:
        return together([lambda: 1] * 5)

    results: list[Any] = []
    callers = [Thread(target=lambda: results.append(together([inner] * 5)), daemon=True) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert results == [[[1] * 5] * 5] * 20


def test_threads_know_the_context_of_their_caller() -> None:
    NAME.set("tick")
    assert together([NAME.get, NAME.get, NAME.get]) == ["tick"] * 3


def test_an_attempt_gives_back_only_what_it_expects() -> None:
    def fails() -> None:
        raise KeyError("x")

    assert isinstance(attempt(fails, KeyError), KeyError)
    with pytest.raises(KeyError):
        attempt(fails, ValueError)
