"""Reading what a venue answered: digit by digit, and nothing for what is not there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from core.adapters.venue_line import item, name_of, number
from core.ports import Unavailable
from tests.adapters.scripted import Answer, scripted
from tests.adapters.test_venue_line import ask, line_to

ROW = {"id": 7, "name": "btc", "price": "0.10", "flag": True, "rows": [], "empty": "", "none": None, "nan": "NaN"}


def test_a_number_is_read_as_it_was_written() -> None:
    assert str(number(ROW, "price", "row")) == "0.10"
    assert number(ROW, "id", "row") == 7


@pytest.mark.parametrize("text", ["0.10000000000000000001", "12345678901234567890.5", "1e-9", "0.30"])
def test_no_float_comes_between_a_venues_text_and_a_decimal(text: str) -> None:
    with scripted(Answer(200, f'{{"success": 1, "data": {{"price": {text}}}}}'.encode())) as venue:
        assert str(number(ask(line_to(venue.host))["data"], "price", "row")) == str(Decimal(text))
    with pytest.raises(Unavailable):
        number({"price": 0.1}, "price", "row")


@pytest.mark.parametrize("name", ["missing", "name", "flag", "rows", "empty", "none", "nan"])
def test_what_is_no_number_is_no_answer(name: str) -> None:
    with pytest.raises(Unavailable, match=f"row: .*{name}"):
        number(ROW, name, "row")


@pytest.mark.parametrize("name", ["missing", "flag", "rows", "empty", "none"])
def test_what_is_no_name_is_no_answer(name: str) -> None:
    assert (name_of(ROW, "name", "row"), name_of(ROW, "id", "row")) == ("btc", "7")
    with pytest.raises(Unavailable, match=f"row: .*{name}"):
        name_of(ROW, name, "row")


@pytest.mark.parametrize(("name", "kind"), [("missing", list), ("rows", dict), ("flag", int), ("id", bool)])
def test_a_field_of_another_type_is_no_answer(name: str, kind: type) -> None:
    assert item(ROW, "rows", list, "row") == []
    assert item(ROW, "flag", bool, "row") is True
    with pytest.raises(Unavailable, match=f"row: .*{name}"):
        item(ROW, name, kind, "row")


@pytest.mark.parametrize("row", [None, [], "text", 7])
def test_a_row_that_is_no_object_is_no_answer(row: Any) -> None:
    for read in (number, name_of):
        with pytest.raises(Unavailable):
            read(row, "id", "row")
    with pytest.raises(Unavailable):
        item(row, "id", int, "row")
