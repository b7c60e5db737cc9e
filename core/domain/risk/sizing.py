"""Sizing: how much to hold. Each limit stands alone and names its source; the most cautious of them wins. Pure.

A number that is not known never means "no limit": the limit that needs it then allows nothing, as "<limit>_unknown".
Amounts are rounded down, so that no limit is exceeded by a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import Final

from msgspec import Struct

from core.domain.risk.breakers import Result
from core.domain.risk.policy import Policy

ZERO, UNKNOWN = Decimal(0), Decimal("NaN")
DAY: Final = timedelta(days=1)
# Products of what comes in are exact at 100 digits. Nothing raises: what cannot be reckoned is no number, and seen.
_EXACT: Final = Context(prec=100, traps=[])
_AMOUNT: Final = Context(prec=28, rounding=ROUND_DOWN)
_MOST_TOLD: Final = Decimal("1e300")  # a record holds floats, and none of them is infinite


class Money(Struct, frozen=True, kw_only=True):
    """What the size of one entry follows from.

    equity (marked), distance (price to protective stop), free and room in quote currency; price: quote currency for one
    base coin. results: closed trades, at least of the last `kelly_days`, in any order. volatility: realised, per bar,
    and bars_per_year to go with it. value_at_risk: the largest of the three methods, the share of a position's worth
    that is lost in a day at 99 %. leverage: the least of policy's and venue's; maintenance: Rules.maintenance.
    scale: what the regimes leave, 0 to 1. free: of our own, unused, as the venue tells; None: it does not.
    room: what the account's limits leave for this position; None: one book has the account to itself.
    """

    equity: Decimal
    price: Decimal
    distance: Decimal
    results: Sequence[Result]
    now: datetime
    volatility: float
    bars_per_year: float
    value_at_risk: float
    leverage: Decimal
    maintenance: Decimal
    scale: float
    free: Decimal | None = None
    room: Decimal | None = None


class Sizing(Struct, frozen=True, kw_only=True):
    """How much to hold, base coin before lots, after `scale`. `limit`: the name of the one that binds; `limits`: what
    each allows, base coin before `scale`, those that are off left out. `capital`: the equity that was reckoned with;
    `staged`: the capital stage holds it below the equity that there is."""

    amount: Decimal
    limit: str
    limits: dict[str, float] = {}
    capital: Decimal = ZERO
    staged: bool = False
    scale: float = 0.0


def sized(money: Money, policy: Policy) -> Sizing:
    """The most that every limit allows, times the regimes' scale (above 1 counts as 1).

    0 as "no_equity" where equity, price or distance are not known or not above 0, as "capital_stage" where the stage
    gives nothing, as "regime" where the scale is 0, less or not known.
    """
    if not all(_positive(number) for number in (money.equity, money.price, money.distance)):
        return Sizing(amount=ZERO, limit="no_equity")
    with localcontext(_EXACT):
        capital = staged_capital(money.equity, policy)
        if not _positive(capital):
            return Sizing(amount=ZERO, limit="capital_stage")
        limits = _limits(money, policy, capital)
        limit = min(limits, key=lambda name: limits[name])  # of equals the first
        scale = _decimal(min(money.scale, 1.0)) if 0.0 < money.scale < math.inf else ZERO
        amount = _AMOUNT.plus(limits[limit] * scale)
    return Sizing(
        amount=amount,
        limit=limit if scale else "regime",
        limits={name: float(min(allowed, _MOST_TOLD)) for name, allowed in limits.items()},
        capital=capital,
        staged=capital < money.equity,
        scale=float(scale),
    )


def _limits(money: Money, policy: Policy, capital: Decimal) -> dict[str, Decimal]:
    """What every limit that is on allows, by name."""
    found = {
        "risk_per_trade": risk_per_trade(money, policy, capital),
        "kelly": kelly(money, policy, capital),
        "volatility_target": volatility_target(money, policy, capital),
        "value_at_risk": value_at_risk(money, policy, capital),
        "leverage": leverage(money, capital),
        "liquidation": liquidation(money, policy, capital),
        "free_balance": free_balance(money),
        "exposure": exposure(money),
    }
    return dict(_sane(name, amount) for name, amount in found.items() if amount is not None)


def _sane(name: str, amount: Decimal) -> tuple[str, Decimal]:
    return (name, max(amount, ZERO)) if amount.is_finite() else (f"{name}_unknown", ZERO)


def staged_capital(equity: Decimal, policy: Policy) -> Decimal:
    """The equity that may be put at risk at the policy's stage, in quote currency: a strategy begins small and grows by
    a person's decision (López de Prado, Advances in Financial Machine Learning, 2018, ch. 1: embargo, paper trading,
    graduation). A stage past the end of the list is its last; an empty list has no stages."""
    if not policy.capital_stages:
        return equity
    stage = min(max(policy.stage, 1), len(policy.capital_stages))
    return min(policy.capital_stages[stage - 1], equity)


# Limits: base coin that is allowed, None where the limit is off, no finite number where it cannot be known.


def risk_per_trade(money: Money, policy: Policy, capital: Decimal) -> Decimal:
    """Fixed-fractional: at the stop, `risk_per_trade` of the capital is lost (Vince, The Mathematics of Money
    Management, 1992; a stop in ATR: Wilder, New Concepts in Technical Trading Systems, 1978)."""
    return policy.risk_per_trade * capital / money.distance


def kelly(money: Money, policy: Policy, capital: Decimal) -> Decimal | None:
    """At the stop, Kelly's stake is lost (Kelly, A New Interpretation of Information Rate, 1956; Thorp, The Kelly
    Criterion in Blackjack, Sports Betting and the Stock Market, 2006)."""
    if not policy.kelly:
        return None
    return stake(_recent(money, policy.kelly_days), policy) * capital / money.distance


def _recent(money: Money, days: float) -> list[float]:
    """Shares of the results that are at most so old."""
    closed, shares = [result.closed for result in money.results], [result.share for result in money.results]
    if not closed or 0 <= (money.now - max(closed)) / DAY <= (money.now - min(closed)) / DAY < days:
        return shares
    return [share for share, at in zip(shares, closed, strict=True) if 0 <= (money.now - at) / DAY < days]


def stake(shares: Sequence[float], policy: Policy) -> Decimal:
    """Share of the capital to lose at the stop, from what closed trades won and lost as shares of their equity.

    `policy.kelly` times the evidence (half-Kelly keeps three quarters of the growth at half of the volatility: Thorp
    2006), drawn towards `risk_per_trade` as by `kelly_trades` further trades that say just that (shrinkage: James and
    Stein, Estimation with Quadratic Loss, 1961); without a trade it is `risk_per_trade` itself. Not below kelly_floor,
    so that a book may show that it has recovered, nor above kelly_cap, which has the last word. Trades that came out
    even say nothing: growth does not depend on them.
    """
    decided = [share for share in shares if share != 0.0]
    count, prior = len(decided), policy.kelly_trades
    with localcontext(_EXACT):
        evidence = _decimal(policy.kelly) * _decimal(edge(decided))
        drawn = (count * evidence + prior * policy.risk_per_trade) / (count + prior)
        return min(max(drawn, _decimal(policy.kelly_floor)), _decimal(policy.kelly_cap))


def edge(shares: Sequence[float]) -> float:
    """Kelly's f* = p - (1 - p) / b, and 0 where that is less: who has no edge does not bet.

    p: share of trades won; b: mean gain over mean loss. Written out it is p (1 - all losses / all gains). With losses
    only it is 0, with gains only 1; with a share that is no number it is 0. No trade of `shares` came out even.
    """
    gains = [share for share in shares if share > 0.0]
    if not gains or not math.isfinite(sum(shares)):
        return 0.0
    lost = -sum([share for share in shares if share < 0.0])
    return max(0.0, len(gains) / len(shares) * (1.0 - lost / sum(gains)))


def volatility_target(money: Money, policy: Policy, capital: Decimal) -> Decimal | None:
    """Worth of the position <= capital x target / volatility, both for a year (Moreira and Muir, Volatility-Managed
    Portfolios, 2017; Harvey et al., The Impact of Volatility Targeting, 2018). A volatility of 0 was not measured."""
    annual = money.volatility * math.sqrt(money.bars_per_year) if money.bars_per_year > 0.0 else math.nan
    return _share(policy.volatility_target, annual, money, capital)


def value_at_risk(money: Money, policy: Policy, capital: Decimal) -> Decimal | None:
    """What the position loses in a day at 99 % is at most `value_at_risk` of the capital (RiskMetrics Technical
    Document, J.P. Morgan, 1996; Jorion, Value at Risk, 2006). A value at risk of 0 was not measured."""
    return _share(policy.value_at_risk, money.value_at_risk, money, capital)


def leverage(money: Money, capital: Decimal) -> Decimal:
    """The position is worth at most `leverage` times the capital: of policy and venue the lesser. Over the optimal
    fraction growth falls and ruin comes near (Vince 1992; MacLean, Thorp, Ziemba, The Kelly Capital Growth Investment
    Criterion, 2011)."""
    return money.leverage * capital / money.price


def liquidation(money: Money, policy: Policy, capital: Decimal) -> Decimal:
    """The venue does not close the position by force before the price went `liquidation_buffer` x distance against it.

    The venue closes when equity <= maintenance x worth of the position. After a move d against `amount`, the equity is
    capital - amount d, and the worth of a short, the harder case, amount (price + d): both meet at
    amount = capital / (d + maintenance (price + d)). Fees and interest are not in it: the buffer is there for them.
    (What being closed by force costs: Brunnermeier and Pedersen, Market Liquidity and Funding Liquidity, 2009.)
    """
    if not money.maintenance >= 0:
        return UNKNOWN
    move = _decimal(policy.liquidation_buffer) * money.distance
    return capital / (move + money.maintenance * (money.price + move))


def free_balance(money: Money) -> Decimal | None:
    """What nothing else uses carries `leverage` times itself: initial margin, as the venue reckons it (Hull,
    Options, Futures, and Other Derivatives, on margin accounts)."""
    return None if money.free is None else money.free * money.leverage / money.price


def exposure(money: Money) -> Decimal | None:
    """The room that the account's limits leave, where several books share it (concentration: Markowitz, Portfolio
    Selection, 1952)."""
    return None if money.room is None else money.room / money.price


def _share(allowed: float, measured: float, money: Money, capital: Decimal) -> Decimal | None:
    """Base coin for `allowed` / `measured` of the capital; None where nothing was set, no number where nothing was
    measured. Multiplied first, so that only the one division is rounded."""
    if allowed == 0.0:
        return None
    return _decimal(allowed) * capital / (_decimal(measured) * money.price) if measured > 0.0 else UNKNOWN


def _positive(number: Decimal) -> bool:
    return number.is_finite() and number > 0


def _decimal(number: float) -> Decimal:
    """The shortest decimal that reads back as the same float."""
    return Decimal(repr(float(number)))
