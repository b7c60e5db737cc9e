"""Vetting a key and a clock: what must be true of both before real money is traded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from core.adapters.venue_line import Fault, Line
from core.ports import Unavailable, Vetting

HALF_S: Final = 0.5  # an HTTP date has whole seconds (RFC 9110, 5.6.7): taken for the middle of its second


class Rights(NamedTuple):
    """What a key may do as the venue tells it; None: it does not tell."""

    withdraw: bool | None = None
    trade: bool | None = None


Ask = Callable[[Callable[[], Any]], Any]  # makes a request of ccxt's, and gives its answer


class Questions(NamedTuple):
    """What a venue is asked.

    clock: a request for something public; `time` reads the venue's time from its answer, None: the answer's Date header
    has to do. proof: one for something that only a working key is told. rights: asks what the key may do; None: the
    venue tells nobody.
    """

    clock: Callable[[], Any]
    proof: Callable[[], Any]
    rights: Callable[[Ask], Rights] | None = None
    time: Callable[[Any], datetime] | None = None


def vet(line: Line, name: str, questions: Questions) -> Vetting:
    """Raises Unavailable when the keys do not work, in the venue's words, or when it cannot be told."""
    skew, said = _skew(line, name, questions)
    try:
        line.read(questions.proof, "proof of the keys")
    except Fault as fault:
        if fault.kind != "clock" or skew is None:
            raise
        side = "ahead of" if skew > 0 else "behind"
        raise Unavailable(f"{fault.said}; our clock is {abs(skew):.1f} s {side} the venue's") from None
    rights, more = _rights(line, name, questions)
    return Vetting(withdraw=rights.withdraw, skew_s=skew, said=(*said, *more))


def _skew(line: Line, name: str, questions: Questions) -> tuple[float | None, list[str]]:
    """By how many seconds our clock is ahead of the venue's."""
    try:
        answer, ours, date = line.dated(questions.clock, "its time")
        if questions.time is not None:
            return (ours - questions.time(answer)).total_seconds(), []
    except Unavailable as failure:
        return None, [f"how far the clocks are apart is not known: {failure}"]
    theirs = _moment(date)
    if theirs is None:
        return None, [f"{name} tells no time, so how far the clocks are apart is not known"]
    rough = f"{name} tells no time: the clocks were compared by the date of an HTTP answer, to half a second"
    return (ours - theirs).total_seconds() - HALF_S, [rough]


def _moment(date: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(date)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _rights(line: Line, name: str, questions: Questions) -> tuple[Rights, list[str]]:
    unknown = "whether the key may withdraw is not known; look at the page where it was made"
    if questions.rights is None:
        return Rights(), [f"{name} does not tell what a key may do, so {unknown}"]
    try:
        rights = questions.rights(lambda call: line.read(call, "rights of the key"))
    except Unavailable as failure:
        return Rights(), [f"{unknown} ({failure})"]
    said = []
    if rights.withdraw is None:
        said.append(f"{name} does not tell it all: {unknown}")
    if rights.withdraw:
        said.append("the key may withdraw: make one that may only trade")
    if rights.trade is False:
        said.append("the key may not trade: its orders would be refused")
    return rights, said
