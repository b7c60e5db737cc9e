"""What was tried on a market is remembered, and counted once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from core.flows.trials import Trials, digest, note, tried
from tests.fakes import MemoryModels
from tests.road import small_book

BOOK = small_book()


def test_what_was_tried_twice_counts_once_and_as_it_came_out_last() -> None:
    store = MemoryModels()
    for name, sharpes in {"a": [1.0], "b": [0.5, 2.0]}.items():
        note(store, BOOK, name, sharpes)
    note(store, BOOK, "a", [3.5])
    assert tried(store, BOOK) == Trials(3, 2.25)


def test_books_on_one_market_share_their_trials_and_other_markets_do_not() -> None:
    store = MemoryModels()
    note(store, BOOK, "a", [1.0])
    assert tried(store, replace(BOOK, id="another")).number == 1
    assert tried(store, replace(BOOK, symbol="BTC/USDT:USDT")) == Trials(0, None)
    assert tried(store, replace(BOOK, timeframe="4h")).number == 0


def test_the_variance_of_one_trial_is_not_known() -> None:
    store = MemoryModels()
    note(store, BOOK, "a", [1.0])
    assert tried(store, BOOK) == Trials(1, None)


def test_a_damaged_note_is_named_and_not_passed_over() -> None:
    store = MemoryModels()
    store.put("trials/btc-usdt-1h/a", b"[1.0")
    with pytest.raises(ValueError, match="trials/btc-usdt-1h/a.*is damaged"):
        tried(store, BOOK)


def test_a_digest_is_of_all_that_was_chosen_and_of_no_order_of_keys() -> None:
    assert digest(BOOK, 1) == digest(small_book(), 1)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(BOOK, 1) != digest(small_book(threshold=0.03), 1) != digest(BOOK, 2)
