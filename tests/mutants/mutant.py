"""What a mutant is, and the files of the road of a bar that they change."""

from __future__ import annotations

from typing import Final, NamedTuple

SETTLE: Final = "core/domain/settle.py"
PLAN: Final = "core/domain/act.py"
DECIDE: Final = "core/domain/decide.py"
SWITCH: Final = "core/domain/switch.py"
STATE: Final = "core/domain/state.py"
FILLS: Final = "core/domain/fills/booking.py"
ORDERS: Final = "core/domain/orders.py"
BARS: Final = "core/domain/bars.py"
ACT: Final = "core/flows/act.py"
TICK: Final = "core/flows/tick.py"
CLAIM: Final = "core/flows/claim.py"
OUTBOX: Final = "core/flows/outbox.py"
SWITCHES: Final = "core/flows/switches.py"
PAPER: Final = "core/adapters/paper_exchange.py"


class Mutant(NamedTuple):
    """`bug`: the real mistake that it stands for; `old`: a text that occurs once in `file`; `new`: what takes its
    place; `venue`: the class of venues where it does harm, when on all others it does none ("": all are played)."""

    name: str
    bug: str
    file: str
    old: str
    new: str
    venue: str = ""
