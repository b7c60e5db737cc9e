"""What a proof found: one Finding for each name and kind, and all of it with a plain summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.domain.bars import Floats

Kind = Literal["future", "outside", "warm_up", "alone", "unsteady", "decision", "label", "purge", "shuffled"]


class Finding(Struct, frozen=True, kw_only=True):
    """One leak. `name`: of the feature, or `strategy`, `labels`, `windows`, `evaluation`. `bar`: where it was seen.

    `off`: the largest difference between two finite values that should be equal, None when it was always a number
    against none; `ahead`: bars that it looks ahead, at least, None when it cannot be said or it is the whole series
    (`whole`); `needs`: bars after which a row no longer depends on where the history begins, None: never seen.
    """

    kind: Kind
    name: str
    said: str
    bar: datetime | None = None
    off: float | None = None
    ahead: int | None = None
    whole: bool = False
    needs: int | None = None
    points: int = 1


class Shuffled(Struct, frozen=True, kw_only=True):
    """AUCs out of sample: of the real labels, and of each run that was trained and judged on shuffled ones.

    `p_value`: how often shuffled labels did at least as well, the real run counted among them; `bound`: the mean of
    the shuffled runs that chance does not reach.
    """

    real: float | None
    runs: tuple[float, ...]
    mean: float
    bound: float
    p_value: float


class Proof(Struct, frozen=True, kw_only=True):
    """`checked`: a sentence for each thing that was tried. Nothing found means: not at these points."""

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    summary: str
    shuffled: Shuffled | None = None

    @property
    def clean(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class Part:
    """What one check found, and the sentence that says what it tried."""

    findings: tuple[Finding, ...]
    checked: str
    shuffled: Shuffled | None = None


def proof(parts: Sequence[Part]) -> Proof:
    """All parts as one: leaks first, in order of the parts."""
    findings = tuple(found for part in parts for found in part.findings)
    checked = tuple(part.checked for part in parts)
    shuffled = next((part.shuffled for part in parts if part.shuffled), None)
    return Proof(findings=findings, checked=checked, summary=summary(findings, checked), shuffled=shuffled)


def summary(findings: Sequence[Finding], checked: Iterable[str]) -> str:
    """One paragraph for a person."""
    tried = "; ".join(checked)
    if not findings:
        return f"No leak found in {tried}."
    several = "1 leak" if len(findings) == 1 else f"{len(findings)} leaks"
    return f"{several} found: {'; '.join(found.said for found in findings)}. Tried: {tried}."


def unequal(left: Floats, right: Floats) -> NDArray[np.bool_]:
    """Where two arrays differ in any bit that counts: NaN equals NaN."""
    differ: NDArray[np.bool_] = (left != right) & ~(np.isnan(left) & np.isnan(right))
    return differ


def largest(left: Floats, right: Floats) -> float | None:
    """The largest difference where both are finite; None when they nowhere are."""
    both = np.isfinite(left) & np.isfinite(right)
    return float(np.abs(left[both] - right[both]).max()) if both.any() else None


def larger(one: float | None, other: float | None) -> float | None:
    known = [each for each in (one, other) if each is not None]
    return max(known) if known else None


def shown(off: float | None) -> str:
    return "a number here, none there" if off is None else f"off by up to {off:.3g}"
