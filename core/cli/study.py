"""A run of research as the report tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from core.domain import metrics
from core.domain.bars import Floats, seconds
from core.domain.evidence import Evidence, Interval, Part, Rerun
from core.domain.features import CONTEXT, SETS
from core.domain.proof import Proof
from core.domain.risk import threshold
from core.domain.splits import Rows
from core.domain.walk import Walked
from core.flows.backtest import Ran, regimes
from core.report import study as told
from core.report.report import Trade

BINS = 10
SHOWN = 15  # features whose importance is drawn
NAMES = {"costs_0": "no costs", "costs_2": "costs doubled", "costs_3": "costs trebled", "delay_1": "one bar late"}


def study(ran: Ran, sure: Evidence, provenance: dict[str, str], proof: Proof | None = None) -> told.Study:
    """Everything that the report shows of a run."""
    ground, book = ran.ground, ran.ground.book
    rows = ran.rows
    return told.Study(
        title=f"{book.symbol}, {book.timeframe}",
        subtitle=f"{ran.result.bars[0]:%Y-%m-%d} to {ran.result.bars[-1]:%Y-%m-%d}: {ran.forecasts.told}",
        currency=book.symbol.partition("/")[2].partition(":")[0],
        verdict=told.Verdict(
            answer="yes" if sure.edge else "no",
            sentence=sure.verdict,
            because=[f"{'✓' if check.passed else '✗'} it {check.says}" for check in sure.checks],
        ),
        figures=_figures(sure),
        warnings=[told.Warned(text=text) for text in sure.warnings],
        course=_course(ran, rows),
        regimes=told.spans(ground.bars.time[rows].tolist(), regimes(ground, rows)["vix"], seconds(book.timeframe)),
        trades=[_trade(trade) for trade in ran.result.trades],
        calibration=_calibration(ran.forecasts.walked),
        importance=_importance(ran.forecasts.walked, SETS[book.features].names),
        costs=told.Costs(
            gross=sure.figures.profit + sure.figures.costs,
            items=[(name, getattr(sure.figures, name)) for name in ("fees", "slippage", "interest")],
        ),
        by_year=_parts("year", sure.years),
        by_regime=_parts("regime", [p for parts in sure.regimes.values() for p in parts]),
        benchmarks=_benchmarks(sure),
        sensitivity=_sensitivity(sure),
        capacity=_capacity(sure),
        reasons=Counter(decision.reason for decision in ran.result.decisions).most_common(),
        proofs=_proofs(proof),
        provenance=list(provenance.items()),
        settings=_settings(book),
    )


def _figures(sure: Evidence) -> list[told.Figure]:
    run, drawn, certain = sure.figures, sure.intervals, sure.certainty
    return [
        _figure("total_return", "Total return", run.total_return, None, unit="share", signed=True),
        _figure("annual_return", "Return a year", run.annual_return, drawn.annual_return, unit="share", null=0.0),
        _figure("sharpe_ratio", "Sharpe ratio", run.sharpe_ratio, drawn.sharpe_ratio, null=0.0),
        _figure("max_drawdown", "Largest drawdown", run.max_drawdown, drawn.max_drawdown, unit="share", better="low"),
        _figure("deflated", "Deflated Sharpe: probability", certain.deflated, None, unit="share"),
        _figure("sortino_ratio", "Sortino ratio", run.sortino_ratio, None),
        _figure("trades", "Trades", float(run.trades), None, unit="count", decimals=0, better=""),
        _figure("win_rate", "Trades won", run.win_rate, None, unit="share"),
        _figure("profit_factor", "Profit factor", run.profit_factor, None),
        _figure("exposure", "Time in the market", run.exposure, None, unit="share", better=""),
        _figure("turnover", "Turnover a year", run.turnover, None, decimals=1, better=""),
        _figure("cost_share", "Costs, of gross profit", run.cost_share, None, unit="share", better="low"),
    ]


def _figure(key: str, label: str, value: float | None, around: Interval | None, **how: object) -> told.Figure:
    low, high = (around.low, around.high) if around else (None, None)
    return msgspec.convert({"key": key, "label": label, "value": value, "low": low, "high": high, **how}, told.Figure)


def _course(ran: Ran, rows: Rows) -> told.Course:
    ground, result = ran.ground, ran.result
    price = ground.bars.close[rows]
    context = dict(zip(CONTEXT.names, ground.context[rows].T, strict=True))
    beyond = _thresholds(ran, rows)
    capital = float(ground.book.policy.capital)
    return told.Course(
        time=ground.bars.time[rows].tolist(),
        equity=result.worth.tolist(),
        price=price.tolist(),
        hold=(capital * price / price[0]).tolist(),
        probability=ran.forecasts.p_up[rows].tolist(),
        threshold_long=(0.5 + beyond).tolist(),
        threshold_short=(0.5 - beyond).tolist(),
        vix=context["vix_level"].tolist(),
    )


def _thresholds(ran: Ran, rows: Rows) -> Floats:
    """How far from 0.5 a forecast had to be at each bar, whatever the newest trades had been."""
    context = dict(zip(CONTEXT.names, ran.ground.context[rows].T.tolist(), strict=True))
    seen = zip(
        *(context[name] for name in ("volatility_ratio", "atr_ratio_14", "vix_level", "vix_change")), strict=True
    )
    policy = ran.ground.book.policy
    return np.array([threshold(policy, ratio, atr, None, vix, change)["th"] for ratio, atr, vix, change in seen])


def _trade(trade: object) -> Trade:
    wanted = ("opened", "closed", "side", "amount", "entry", "exit", "pnl", "cause")
    return Trade(**{name: getattr(trade, name) for name in wanted})


def _calibration(walked: Walked | None) -> told.Calibration | None:
    """Of every forecast whose outcome is known, in bins of equally many."""
    if walked is None:
        return None
    known = np.isfinite(walked.p_up) & np.isfinite(walked.labels)
    y, p = walked.labels[known], walked.p_up[known]
    if not len(y):
        return None
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), BINS) if len(part)]
    return told.Calibration(
        bins=[
            told.Bin(predicted=float(p[part].mean()), happened=float(y[part].mean()), count=len(part)) for part in parts
        ],
        base=float(y.mean()),
        scores=[
            ("AUC", f"{metrics.auc(y, p):.4f}"),
            ("log-loss", f"{metrics.log_loss(y, p):.5f}"),
            ("log-loss of the base rate", f"{metrics.log_loss(y, walked.base[known]):.5f}"),
            ("Brier", f"{metrics.brier(y, p):.5f}"),
            ("calibration error", f"{metrics.calibration_error(y, p):.4f}"),
        ],
    )


def _importance(walked: Walked | None, names: Sequence[str]) -> told.Importance | None:
    if walked is None or not walked.steps:
        return None
    shares = np.array([step.importance for step in walked.steps])
    first = np.argsort(-shares.mean(axis=0), kind="stable")[:SHOWN]
    return told.Importance(
        features=[names[i] for i in first],
        windows=[step.window.begins for step in walked.steps],
        values=[shares[:, i].tolist() for i in first],
    )


def _parts(first: str, parts: Sequence[Part]) -> told.Table:
    columns = [
        told.Column(label="return", unit="share", signed=True, bar=True),
        told.Column(label="market", unit="share", signed=True),
        told.Column(label="Sharpe"),
        told.Column(label="drawdown", unit="share"),
        told.Column(label="in the market", unit="share", decimals=0),
        told.Column(label="trades", unit="count", decimals=0),
    ]
    rows = [
        told.Row(
            label=p.name,
            values=[p.total_return, p.market_return, p.sharpe_ratio, p.max_drawdown, p.exposure, float(p.trades)],
        )
        for p in parts
    ]
    return told.Table(first=first, columns=columns, rows=rows)


def _benchmarks(sure: Evidence) -> told.Table:
    columns = [
        told.Column(label="return", unit="share", signed=True),
        told.Column(label="Sharpe"),
        told.Column(label="drawdown", unit="share"),
    ]
    run = sure.figures
    rows = [told.Row(label="this run", values=[run.total_return, run.sharpe_ratio, run.max_drawdown], strong=True)]
    for label, holder in (("buy and hold", sure.buy_and_hold), ("the same exposure, held", sure.same_exposure)):
        rows.append(told.Row(label=label, values=[holder.total_return, holder.sharpe_ratio, holder.max_drawdown]))
    luck = sure.random_entries
    note = ""
    if luck is not None:
        note = f"Of {luck.runs} runs with random entries, a share of {luck.p_value:.3f} did at least as well."
    return told.Table(first="", columns=columns, rows=rows, note=note)


def _sensitivity(sure: Evidence) -> told.Table:
    columns = [
        told.Column(label="return", unit="share", signed=True, bar=True),
        told.Column(label="Sharpe"),
        told.Column(label="drawdown", unit="share"),
        told.Column(label="trades", unit="count", decimals=0),
    ]
    run = sure.figures
    as_it_is = [run.total_return, run.sharpe_ratio, run.max_drawdown, float(run.trades)]
    rows = [told.Row(label="as it is", values=[*as_it_is], strong=True), *(_rerun(again) for again in sure.reruns)]
    return told.Table(first="", columns=columns, rows=rows)


def _rerun(again: Rerun) -> told.Row:
    values = [again.total_return, again.sharpe_ratio, again.max_drawdown, float(again.trades)]
    return told.Row(label=NAMES.get(again.name, again.name), values=[*values])


def _capacity(sure: Evidence) -> told.Table | None:
    found = sure.capacity
    if found is None:
        return None
    rows = [
        ("the first order takes more than its share of a bar", found.first),
        ("a tenth of the orders do", found.tenth),
        ("half of the orders do", found.half),
        ("impact takes half of the profit", found.edge_halved),
        ("impact takes all of the profit", found.edge_eaten),
    ]
    return told.Table(
        first="from this capital on",
        columns=[told.Column(label="capital", unit="money", decimals=0)],
        rows=[told.Row(label=label, values=[value]) for label, value in rows],
        note=f"A share of {found.share:.0%} of the bar's volume; impact grows with the square root of the order.",
    )


def _proofs(proof: Proof | None) -> list[told.Proof]:
    if proof is None:
        return []
    leaks = [told.Proof(name=found.name, passed=False, detail=found.said) for found in proof.findings]
    return [told.Proof(name="leaks", passed=proof.clean, detail=proof.summary), *leaks]


def _settings(book: object) -> dict[str, str]:
    """Every setting of the book by its dotted name."""
    plain = msgspec.to_builtins(book, str_keys=True)
    found: dict[str, str] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": str(inner) for name, inner in value.items()}
        else:
            found[key] = str(value)
    return found
