"""The tables of docs/cost.md, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks import bill
from benchmarks.bill import COUNTS, PRICES, SIZES

Figures = Mapping[str, Any]


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def usd(value: float) -> str:
    return "0" if value == 0 else f"{value:.2f}" if value >= 0.005 else f"{value:.3f}" if value >= 0.0005 else "0.000"


def amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figures_table(figures: Figures) -> str:
    """What was measured, and the seconds that are billed for it."""
    heads = ("function", "books", "start", "CPU s", "peak MiB", "reads", "writes", "Google", "outside", "log bytes",
             "billed s")  # fmt: skip
    rows = [
        (
            call["function"],
            str(call["books"]),
            call["start"],
            f"{call['cpu_s']:.3g}",
            f"{call['peak_mib']:.0f}",
            amount(call["reads"]),
            amount(call["writes"]),
            f"{call['google_trips']:.0f}",
            f"{call['outside_trips']:.0f}",
            amount(call["log_bytes"]),
            f"{bill.call_s(figures, call['function'], call['start'], call['books']):.1f}",
        )
        for call in figures["calls"]
    ]
    return table(heads, rows)


def sizes_table(_: Figures) -> str:
    rows = [(name, f"{gib * 1024:.0f} MiB", f"{share:g}") for name, (gib, share) in SIZES.items()]
    return table(("function", "memory", "vCPU"), rows)


def totals_table(figures: Figures) -> str:
    """The month: with what is free, without it, and what was wanted."""
    bills = {books: bill.bill(figures, books) for books in COUNTS}
    rows = [
        ("**with the free tiers**", *(f"**{usd(bill.due(bills[books]))}**" for books in COUNTS)),
        ("wanted, at most", *(usd(bill.TARGETS[books]) for books in COUNTS)),
        (
            "with the guard every five minutes",
            *(usd(bill.due(bill.bill({**figures, "guard_every": 5}, books))) for books in COUNTS),
        ),
        ("without any free tier", *(usd(sum(line.full for line in bills[books])) for books in COUNTS)),
        ("a second region adds", *(usd(bill.second_region(figures, books)) for books in COUNTS)),
    ]
    return table(("USD a month", *(f"{books} book{'s' * (books > 1)}" for books in COUNTS)), rows)


def lines_table(figures: Figures) -> str:
    """Every line of the bill for 1, 10 and 100 books: quantity, and what is due."""
    bills = [bill.bill(figures, books) for books in COUNTS]
    rows = [
        (
            lines[0].service,
            f"{lines[0].what}, {lines[0].unit}",
            amount(lines[0].free) if lines[0].free else "",
            *(f"{amount(line.quantity)}: {usd(line.due)}" for line in lines),
            usd(lines[0].full),
        )
        for lines in zip(*bills, strict=True)
    ]
    heads = (
        "service",
        "what",
        "free",
        *(f"{books} book{'s' * (books > 1)}" for books in COUNTS),
        "1 book, nothing free",
    )
    return table(heads, rows)


def instead_table(figures: Figures) -> str:
    always = PRICES["instead"]
    rows = [
        ("Hourhand, 1 book", usd(bill.due(bill.bill(figures, 1)))),
        ("e2-micro, always on", usd(always["e2_micro"])),
        ("e2-small, always on", usd(always["e2_small"])),
        ("Cloud Run with one instance at least", usd(always["cloud_run_minimum_one"])),
        ("option: a fixed address for orders (`static_egress`), a region", usd(always["static_egress"])),
    ]
    return table(("", "USD a month"), rows)


def policies_table(figures: Figures) -> str:
    """Alert policies by what has been announced."""
    price, one = PRICES["alerting"], bill.due(bill.bill(figures, 1))
    rows = []
    for how, count in bill.CONDITIONS.items():
        points = bill.SERIES[how] * bill.POINTS
        announced = bill.policies(how)
        earlier = count * price["earlier_condition"] + points * price["earlier_million_series"]
        rows.append((f"`{how}`", str(count), usd(one), usd(one + announced), usd(one + earlier)))
    heads = (
        "`alert_policies`",
        "conditions",
        "until then",
        f"from {price['from']}",
        "had it stayed as announced for 2026",
    )
    return table(heads, rows)


def images_table(figures: Figures) -> str:
    price, held = PRICES["registry"], figures["images"]
    rows = []
    for words, shared in (("of one function share their packages", True), ("share nothing", False)):
        gb = bill.image_gb(figures, shared=shared)
        rows.append(
            (f"the newest {bill.KEPT_IMAGES} {words}", f"{gb:.2f}", usd(max(0, gb - price["gb_free"]) * price["gb"]))
        )
    packed = f"packages, packed: {held['serve_packed_mb']} MB to serve, {held['train_packed_mb']} MB to train"
    return table((packed, "GB", "USD a month"), rows)


def machine_table(figures: Figures) -> str:
    about, held = figures["about"], figures["documents"]
    rows = [
        ("measured on", f"{about['date']}, {about['machine']}, load average {about['load']}"),
        ("credentials, at a cold start", f"{about['credentials_cpu_s']} CPU s"),
        ("a tick's record in Firestore", f"{held['record_bytes']:,} bytes"),
        ("a book's other documents", f"{held['other_bytes']:,} bytes"),
        ("a model; two years of bars", f"{held['model_bytes']:,}; {held['history_bytes']:,} bytes"),
    ]
    return table(("", ""), rows)


TABLES: Final[dict[str, Callable[[Figures], str]]] = {
    "totals": totals_table,
    "policies": policies_table,
    "instead": instead_table,
    "lines": lines_table,
    "measured": figures_table,
    "sizes": sizes_table,
    "images": images_table,
    "machine": machine_table,
}
