"""The verdict: one plain sentence that says whether there is evidence of an edge, and what makes one doubt.

There is evidence only when every check passes. Each check is a question that a run without any edge fails at least
nineteen times in twenty, so that luck seldom passes them all; the rest is for size and for robustness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from core.domain.evidence.figures import Figures, Part
from core.domain.evidence.order import TradeOrder
from core.domain.evidence.resample import Interval, Resampled
from core.domain.evidence.rivals import Holder, RandomEntries

SURE: Final = 0.95
CHANCE: Final = 0.05
NOTHING: Final = 1e-6  # of the equity in a year: within rounding of none
FEWEST_TRADES: Final = 30
DOUBLED: Final = "costs_2"  # names of re-runs that an edge has to survive when they are given
DELAYED: Final = "delay_1"
SURVIVED: Final = {DOUBLED: "doubled costs", DELAYED: "one bar of delay"}


class Certainty(msgspec.Struct, frozen=True, kw_only=True):
    """Of the Sharpe ratio. `probabilistic`: the probability that the true one is above 0; `deflated`: above what the
    best of `trials` shows by luck, `best_by_luck` (a year's). `effective_bars`: returns, fewer by as much as their
    autocorrelation widens the error of their mean. `least_bars`, `least_years`: how long a track must be for this
    Sharpe ratio to be above 0 with 95 %; None when no length is enough. All None when nothing varies."""

    trials: int
    trial_variance: float | None
    probabilistic: float | None
    deflated: float | None
    best_by_luck: float | None
    skew: float | None
    kurtosis: float | None
    effective_bars: float
    least_bars: float | None
    least_years: float | None


class Rerun(msgspec.Struct, frozen=True, kw_only=True):
    """The same run under other conditions; `mean_excess`: over cash, in a year, without compounding."""

    name: str
    total_return: float
    annual_return: float | None
    mean_excess: float
    sharpe_ratio: float | None
    max_drawdown: float
    trades: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """`says`: what was found, in words that go on after 'it'."""

    name: str
    passed: bool
    says: str


def checks(
    run: Figures,
    sure: Certainty,
    drawn: Resampled,
    luck: RandomEntries | None,
    reruns: Sequence[Rerun] = (),
    fewest_trades: int = FEWEST_TRADES,
) -> list[Check]:
    """In the order of how much they tell."""
    found = [_traded(run, fewest_trades), _above_cash(drawn.mean_excess), _alpha(drawn.alpha)]
    found += [_deflated(run, sure), _luck(luck)]
    return found + [_survived(rerun) for rerun in reruns if rerun.name in SURVIVED]


def _traded(run: Figures, fewest: int) -> Check:
    enough = run.trades >= fewest
    says = f"made {run.trades:,} trades" if enough else f"made {run.trades:,} trades where at least {fewest} are needed"
    return Check(name="trades", passed=enough, says=says)


def _above_cash(mean: Interval | None) -> Check:
    if mean is None:
        return Check(name="mean_excess", passed=False, says="has too few returns to say what it earns over cash")
    says = f"earned {mean.middle:+.1%} a year over cash, {_range(mean)}"
    return Check(name="mean_excess", passed=mean.low > NOTHING, says=says)


def _alpha(alpha: Interval | None) -> Check:
    if alpha is None:
        return Check(name="alpha", passed=False, says="has too few returns to tell it from holding the market")
    says = f"earned {alpha.middle:+.1%} a year beyond its exposure to the market, {_range(alpha)}"
    return Check(name="alpha", passed=alpha.low > NOTHING, says=says)


def _range(of: Interval) -> str:
    return f"with {of.level:.0%} confidence between {of.low:+.1%} and {of.high:+.1%}"


def _deflated(run: Figures, sure: Certainty) -> Check:
    name = "deflated_sharpe_ratio"
    if sure.deflated is None or run.sharpe_ratio is None:
        return Check(name=name, passed=False, says="has no Sharpe ratio, since its equity does not vary")
    tries = "1 trial" if sure.trials == 1 else f"the best of {sure.trials:,} trials"
    says = f"has a Sharpe ratio of {run.sharpe_ratio:.2f}, which is more than luck in {tries} with probability "
    return Check(name=name, passed=sure.deflated >= SURE, says=says + _chance(sure.deflated))


def _chance(value: float) -> str:
    return "above 0.999" if value > 0.999 else "below 0.001" if value < 0.001 else f"{value:.3f}"


def _luck(luck: RandomEntries | None) -> Check:
    if luck is None:
        return Check(name="random_entries", passed=False, says="has no entries that could be compared with random ones")
    says = f"is matched by random entries at the same costs with probability {luck.p_value:.3f}"
    return Check(name="random_entries", passed=luck.p_value <= CHANCE, says=says)


def _survived(rerun: Rerun) -> Check:
    survived, what = rerun.mean_excess > NOTHING, SURVIVED[rerun.name]
    says = f"{'survives' if survived else 'does not survive'} {what} ({rerun.mean_excess:+.1%} a year)"
    return Check(name=rerun.name, passed=survived, says=says)


def verdict(found: Sequence[Check], run: Figures) -> str:
    """One sentence. It says yes only when every check passed."""
    if not run.trades and not run.exposure:
        return f"No evidence of an edge: it never traded in {run.bars:,} bars."
    failed = [check.says for check in found if not check.passed]
    if not failed:
        return f"Evidence of an edge: it {_listed(check.says for check in found)}."
    more = f"; of {len(found)} checks it fails {len(failed)}" if len(failed) > 3 else ""
    return f"No evidence of an edge: it {_listed(failed[:3])}{more}."


def _listed(said: Iterable[str]) -> str:
    *before, last = said
    return f"{'; it '.join(before)}; and it {last}" if before else last


def warnings(
    run: Figures,
    sure: Certainty,
    years: Sequence[Part],
    order: TradeOrder | None,
    held: Holder,
) -> list[str]:
    """What makes one doubt, whatever the verdict. Each a sentence with its numbers."""
    if not run.trades and not run.exposure:
        return ["It never traded."]
    found = [*_of_size(run, sure), *_of_one(run, years), *_of_losses(run, order)]
    if held.total_return > run.total_return:
        found.append(f"Buy and hold made more: {held.total_return:+.1%} against {run.total_return:+.1%}.")
    found.append("Bars of what is still traded know nothing of what was delisted (survivorship).")
    return found


def _of_size(run: Figures, sure: Certainty) -> list[str]:
    found = []
    if run.trades < 100:
        found.append(f"Few trades: {run.trades:,}.")
    if run.years < 2.0:
        found.append(f"A short track: {run.years:.1f} years.")
    if sure.least_years is not None and sure.least_years > run.years:
        found.append(
            f"The track is {run.years:.1f} years long; for this Sharpe ratio to be above 0 with 95 % confidence it "
            f"would have to be {sure.least_years:,.1f}."
        )
    if sure.trials > 1 and sure.trial_variance is None:
        found.append("How much the trials' Sharpe ratios differ is not known: taken to be what chance alone gives.")
    return found


def _of_one(run: Figures, years: Sequence[Part]) -> list[str]:
    found = []
    if len(years) > 1 and run.total_return > 0.0:
        best = max(years, key=lambda part: part.total_return)
        rest = (1.0 + run.total_return) / (1.0 + best.total_return) - 1.0
        if rest <= 0.0:
            found.append(f"One year makes all of the profit: {best.name}; without it, {rest:+.1%}.")
    if run.best_trade is not None and run.profit > 0.0 and run.best_trade > run.profit / 2.0:
        found.append(f"One trade makes {run.best_trade / run.profit:.0%} of the profit.")
    if run.cost_share is not None and run.cost_share > 0.5:
        found.append(f"Costs take {run.cost_share:.0%} of the profit before them.")
    return found


def _of_losses(run: Figures, order: TradeOrder | None) -> list[str]:
    found = []
    if run.total_return <= -1.0:
        found.append("It lost everything.")
    if run.max_drawdown > 0.3:
        found.append(f"A drawdown of {run.max_drawdown:.0%}; {run.drawdown_days:,.0f} days below a high.")
    if order is not None and order.ruin > 0.01:
        found.append(f"Drawn anew, its trades lose half of the capital with probability {order.ruin:.0%}.")
    return found
