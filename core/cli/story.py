"""What a walk of ticks did, told from its records: a report page, and a few lines for the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from core.domain.bars import Bars
from core.domain.explain import worded
from core.domain.orders import Fill
from core.domain.state import Book, BookState
from core.domain.state import Trade as Closed
from core.flows.claim import book_key, state_of
from core.ports import Document
from core.report import Report, Trade, render
from core.wiring import App

Numbers = list[float | None]


def written(app: App, book: Book, bars: Bars, trained: Document, path: Path) -> tuple[Path, Document]:
    """Writes the page of every recorded tick in `bars`, and returns its path and the figures."""
    records = [record for _, record in app.state.scan("ticks", f"{book.id}@", f"{book.id}@~")]
    if len(records) != len(bars):
        raise ValueError(f"{len(bars)} bars were walked, but {len(records)} ticks are recorded")
    document = app.state.read([book_key(book.id)])[book_key(book.id)].data
    state = state_of(document, book)
    trades = [msgspec.convert(trade, Closed) for record in records for trade in record["trades"]]
    fills = [msgspec.convert(fill, Fill) for record in records for fill in record["fills"]]
    equity = [float(record["answer"]["equity"]) for record in records]
    hold = _hold(book, bars)
    figures: Document = {
        "outcome": "done",
        "book": book.id,
        "ticks": len(records),
        "traded": sum(bool(record["decision"]["intents"]) for record in records),
        "refused": sum(record["answer"]["outcome"] == "refused" for record in records),
        "trades": len(trades),
        "equity": state.equity,
        "return": equity[-1] / float(book.policy.capital) - 1,
        "buy_and_hold": hold[-1] / float(book.policy.capital) - 1,
        "max_drawdown": _drawdown(equity),
        "costs": sum((fill.fee + fill.interest for fill in fills), Decimal(0)),
        "model": trained,
        "reasons": dict(Counter(record["answer"]["reason"] for record in records).most_common()),
        "last": records[-1]["answer"]["explanation"],
        "report": str(path),
    }
    page = Report(
        title=f"{book.symbol}, {len(records)} hourly ticks",
        subtitle=_subtitle(app, book, records),
        facts=_facts(figures, trades),
        time=bars.time.tolist(),
        price=bars.close.tolist(),
        equity=equity,
        hold=hold,
        probability=_column(records, "p_up"),
        threshold_long=_threshold(records, +1),
        threshold_short=_threshold(records, -1),
        vix=[_finite(record["view"]["vix"]) for record in records],
        trades=_trades(state, trades),
        last_decision=figures["last"],
        numbers=[(name.replace("_", " "), _short(value)) for name, value in records[-1]["decision"]["numbers"].items()],
        model=_model(trained),
        notes=_notes(app, book, trained),
        reasons=[(worded(reason), count) for reason, count in figures["reasons"].items()],
        currency=book.symbol.partition("/")[2],
    )
    path.write_text(render(page), encoding="utf-8")
    return path, figures


def _subtitle(app: App, book: Book, records: Sequence[Document]) -> str:
    first, last = (f"{record['bar'].day} {record['bar']:%B %Y}" for record in (records[0], records[-1]))
    prices = "simulated prices" if app.settings.market.source == "simulated" else "prices from a file"
    return f"{prices}, paper money, {book.features}: {first} to {last}"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _hold(book: Book, bars: Bars) -> list[float]:
    """All of the capital in coin from the first bar's open, the taker fee paid once."""
    coins = float(book.policy.capital) * (1 - float(book.rules.taker)) / bars.open[0]
    return [float(coins * close) for close in bars.close]


def _drawdown(equity: Sequence[float]) -> float:
    peak, worst = -math.inf, 0.0
    for value in equity:
        peak = max(peak, value)
        worst = min(worst, value / peak - 1)
    return worst


def _facts(figures: Document, trades: Sequence[Closed]) -> list[tuple[str, str]]:
    won = sum(trade.pnl > 0 for trade in trades)
    return [
        ("Return", f"{figures['return']:+.2%}"),
        ("Buy and hold", f"{figures['buy_and_hold']:+.2%}"),
        ("Max drawdown", f"{figures['max_drawdown']:.2%}"),
        ("Trades", str(len(trades))),
        ("Won", f"{won / len(trades):.0%}" if trades else "none"),
        ("Fees and interest", f"{figures['costs']:,.0f}"),
        ("Ticks refused", str(figures["refused"])),
    ]


def _column(records: Sequence[Document], name: str) -> Numbers:
    return [_finite(record["view"][name]) for record in records]


def _threshold(records: Sequence[Document], sign: int) -> Numbers:
    steps = [record["decision"]["numbers"].get("th") for record in records]
    return [None if th is None else 0.5 + sign * th for th in steps]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _trades(state: BookState, trades: Sequence[Closed]) -> list[Trade]:
    closed = [
        Trade(
            opened=trade.opened,
            closed=trade.closed,
            side="long" if trade.side == "long" else "short",
            amount=trade.amount,
            entry=trade.entry,
            exit=trade.exit,
            pnl=trade.pnl,
            cause=trade.cause,
        )
        for trade in trades
    ]
    held = state.holding
    if not held.position or held.opened is None:
        return closed
    still = Trade(
        opened=held.opened,
        closed=None,
        side="long" if held.position > 0 else "short",
        amount=abs(held.position),
        entry=held.average_price,
        exit=None,
        pnl=state.equity - held.cash - held.fees,
        cause="open",
    )
    return [*closed, still]


def _model(trained: Document) -> list[tuple[str, str]]:
    metrics = trained["metrics"]
    return [
        ("Version", trained["version"]),
        ("Judged on", f"the newest {metrics['rows']:.0f} labelled rows, not seen in training"),
        ("AUC", f"{metrics['auc']:.4f}"),
        ("Log-loss", f"{metrics['log_loss']:.5f}"),
        ("Log-loss of the base rate", f"{metrics['base_log_loss']:.5f}"),
        ("Calibration error", f"{metrics['calibration_error']:.4f}"),
        ("The gate said", "; ".join(trained["warnings"]) or "publish"),
    ]


def _notes(app: App, book: Book, trained: Document) -> list[str]:
    rules = book.rules
    notes = [
        "Orders were filled on paper: at the next bar's open, "
        f"{book.costs.slippage_bps} basis points against us ({book.costs.stop_slippage_bps} for stops), "
        f"at a taker fee of {rules.taker:%}, with stops taken pessimistically inside the bar.",
    ]
    if trained["warnings"]:
        notes.insert(
            0,
            f"The publishing gate refused this model: {'; '.join(trained['warnings'])}. "
            "It traded all the same, on paper, so that the road can be seen.",
        )
    if app.settings.market.source == "simulated":
        notes.insert(0, f"The prices are simulated, and so is the VIX. {app.simulated_structure()}")
    return notes


def summary(figures: Document, page: Path) -> str:
    model = figures["model"]
    gate = "; ".join(model["warnings"]) or "it passed"
    reasons = "\n".join(f"    {count:>5}  {worded(reason)}" for reason, count in figures["reasons"].items())
    return f"""
{figures["ticks"]} ticks through the function, {figures["traded"]} of them with orders, {figures["refused"]} refused

  return         {figures["return"]:+8.2%}    (buy and hold {figures["buy_and_hold"]:+.2%})
  max drawdown   {figures["max_drawdown"]:8.2%}
  trades closed  {figures["trades"]:8}    costs paid {figures["costs"]:,.0f}
  model          {model["version"]}, AUC {model["metrics"]["auc"]:.4f}; the publishing gate: {gate}

  what was decided
{reasons}

  the last decision
    {figures["last"]}

The report: {page}"""
