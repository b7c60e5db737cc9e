"""Evidence: how sure one may be of what a run made."""

from core.domain.evidence.figures import Charges, Figures, Part
from core.domain.evidence.resample import Interval
from core.domain.evidence.track import Paid, Track, track
from core.domain.evidence.verdict import DELAYED, DOUBLED, Check, Rerun
from core.domain.evidence.weigh import Evidence, weigh

__all__ = [
    "DELAYED",
    "DOUBLED",
    "Charges",
    "Check",
    "Evidence",
    "Figures",
    "Interval",
    "Paid",
    "Part",
    "Rerun",
    "Track",
    "track",
    "weigh",
]
