"""The switch: what the operator's documents allow, read so that whatever cannot be understood means halt. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from core.domain.orders import Leg

Mode = Literal["run", "reduce", "halt", "flatten"]
MODES: tuple[Mode, ...] = ("run", "reduce", "halt", "flatten")  # in order of severity


def effective(switches: Iterable[object]) -> Mode:
    """The mode that a book's switch documents give together: the most severe, and halt when any cannot be read."""
    documents = tuple(switches)
    if not all(readable(document) for document in documents):
        return "halt"
    return severest(tuple(mode_of(document) for document in documents))


def permits(mode: Mode, leg: Leg) -> bool:
    """Whether an order of this leg may be sent while the switch says `mode`: halt sends nothing, protective stops
    included; those that rest already stay."""
    return mode == "run" if leg == "entry" else mode != "halt"


def severest(modes: tuple[Mode, ...]) -> Mode:
    return max(modes, key=MODES.index, default="run")


def mode_of(switch: object) -> Mode:
    """The mode that a switch document states: absent means run; what cannot be read, or is unknown, means halt."""
    if switch is None:
        return "run"
    return switch["mode"] if readable(switch) else "halt"  # type: ignore[index]


def readable(switch: object) -> bool:
    """Whether a switch document states a mode, or there is none."""
    return switch is None or (isinstance(switch, dict) and switch.get("mode") in MODES)
