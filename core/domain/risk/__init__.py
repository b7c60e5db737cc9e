"""Risk: what the operator allows, how far a forecast must go, how much to hold, and what stops all of it. Pure."""

from core.domain.risk.account import Limits
from core.domain.risk.breakers import Facts, Marks, Result, Trip
from core.domain.risk.edge import certainty, expected
from core.domain.risk.policy import Level, Policy
from core.domain.risk.room import Room
from core.domain.risk.sizing import Money, Sizing, sized
from core.domain.risk.threshold import threshold

__all__ = [
    "Facts",
    "Level",
    "Limits",
    "Marks",
    "Money",
    "Policy",
    "Result",
    "Room",
    "Sizing",
    "Trip",
    "certainty",
    "expected",
    "sized",
    "threshold",
]
