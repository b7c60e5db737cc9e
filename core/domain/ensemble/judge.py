"""Judge: how a model does on rows that it never saw, against the naive ways, and whether that is enough."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from core.domain import metrics
from core.domain.bars import Floats
from core.domain.forecast import MEMBERS, Forecaster


class Judgement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On the newest unseen rows: log-losses in nats, `ups` the number of rows that went up, `base_rate` the share of
    ups in training (what a naive forecast says always), `mean` the plain mean of the probabilities of the members that
    the model asks; None: it does not ask that one."""

    rows: int
    ups: int
    base_rate: float
    auc: float
    log_loss: float
    base_log_loss: float
    mean_log_loss: float
    lightgbm_log_loss: float | None = None
    xgboost_log_loss: float | None = None
    forest_log_loss: float | None = None
    brier: float
    calibration_error: float

    def metrics(self) -> dict[str, float | None]:
        """By name, as a manifest holds them; None stands for what is not a number, or not there."""
        values = msgspec.structs.asdict(self)
        return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}

    @property
    def odd(self) -> list[str]:
        """The names of what should be a number."""
        values = msgspec.structs.asdict(self)
        return [name for name, value in values.items() if value is not None and not math.isfinite(value)]


class Gate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model must reach to be published. Labels over several bars overlap, so `rows` count for fewer than they
    are; `mean_tolerance` is in nats, and about the standard error of that difference over 1,440 hourly rows."""

    rows: Annotated[int, Meta(ge=1)] = 300
    auc_margin: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.01
    mean_tolerance: Annotated[float, Meta(ge=0.0)] = 0.003


def judge(scorer: Forecaster, rows: Floats, y: Floats, base_rate: float) -> Judgement:
    """Compare the forecasts for `rows` (n, features) with `y`; rows with a NaN label are left out. Raises ValueError
    when none is left."""
    keep = np.isfinite(y)
    if not keep.any():
        raise ValueError("no row of the holdout has a label: the holdout is too short, or the cost too high")
    rows, y = rows[keep], y[keep]
    members, stacked = scorer.members(rows), scorer.predict(rows)
    there = ~np.isnan(members).all(axis=0)
    losses = {f"{MEMBERS[i]}_log_loss": metrics.log_loss(y, members[:, i]) for i in np.flatnonzero(there).tolist()}
    return Judgement(
        rows=len(y),
        ups=int(y.sum()),
        base_rate=base_rate,
        auc=metrics.auc(y, stacked),
        log_loss=metrics.log_loss(y, stacked),
        base_log_loss=metrics.log_loss(y, np.full(len(y), base_rate)),
        mean_log_loss=metrics.log_loss(y, members[:, there].mean(axis=1)),
        brier=metrics.brier(y, stacked),
        calibration_error=metrics.calibration_error(y, stacked),
        **losses,
    )


def verdict(judgement: Judgement, gate: Gate | None = None) -> list[str]:
    """The reasons to refuse the model, each a sentence with its numbers; empty when it may be published."""
    j, gate = judgement, gate or Gate()
    checks = [
        (bool(j.odd), f"{', '.join(j.odd)}: not a number"),
        (j.rows < gate.rows, f"it was judged on {j.rows} rows, {gate.rows} are needed"),
        (
            not j.log_loss < j.base_log_loss,
            f"its log-loss {j.log_loss:.5f} is no better than {j.base_log_loss:.5f}, which saying "
            f"{j.base_rate:.3f} every time would reach",
        ),
        (
            not j.log_loss <= j.mean_log_loss + gate.mean_tolerance,
            f"its log-loss {j.log_loss:.5f} is worse than {j.mean_log_loss:.5f}, the plain mean of what it asks",
        ),
        (not j.auc > 0.5 + gate.auc_margin, f"its AUC {j.auc:.4f} is not above {0.5 + gate.auc_margin:.4f}"),
    ]
    return [sentence for refused, sentence in checks if refused]
