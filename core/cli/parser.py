"""What may be typed after `hourhand`. The commands' own modules are imported when they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from core.settings.sections import SYMBOL, Symbol

Command = Callable[..., argparse.ArgumentParser]
KINDS = ("stacking", "average", "lightgbm", "xgboost", "forest")
SWITCHES = {
    "halt": "no orders at all; protective stops stay",
    "reduce": "no new risk; exits go on",
    "flatten": "close every position at the next guard or tick, then halt",
    "resume": "trade again",
}


def parser() -> argparse.ArgumentParser:
    every = _parent()
    every.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: HOURHAND_CONFIG, else paper.toml)"
    )
    every.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    made = argparse.ArgumentParser(prog="hourhand", description="Trades crypto by the hour, and nothing in between.")
    commands = made.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, module: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[every, *parents])
        added.set_defaults(run=(module, name))
        return added

    one, time = _parent(), _parent()
    one.add_argument("--book", metavar="ID", help="which book (default: all of them)")
    time.add_argument(
        "--at", type=moment_of, metavar="TIME", help="as if it were this time, such as 2024-05-01T13:00:05Z"
    )
    _demo(command)
    _learning(command, one, time)
    _research(command, one)
    _operating(command, one, time)
    return made


def _parent() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(add_help=False)


def _demo(command: Command) -> None:
    demo = command("demo", "demo", "train, walk through days of ticks over HTTP, and report")
    demo.add_argument(
        "--bars", type=Path, metavar="FILE", help="your own bars (parquet or CSV) instead of a simulated market"
    )
    demo.add_argument("--vix", type=Path, metavar="FILE", help="daily VIX closes (parquet or CSV) for --bars")
    demo.add_argument("--symbol", type=_symbol, help="what --bars holds (default: BTC/USDT)")
    demo.add_argument(
        "--features", choices=("core12", "vix53"), help="feature set (default: vix53, or core12 without VIX)"
    )
    demo.add_argument("--from", dest="since", type=moment_of, metavar="TIME", help="first bar to trade")
    demo.add_argument("--to", dest="until", type=moment_of, metavar="TIME", help="end of the walk")
    demo.add_argument(
        "--days", type=_days, default=30, help="days to walk when --from or --to is not given (default: 30)"
    )
    demo.add_argument("--out", type=Path, default=Path("var/demo"), metavar="FOLDER", help="where all of it is written")


def _learning(command: Command, one: argparse.ArgumentParser, time: argparse.ArgumentParser) -> None:
    download = command("download", "research", "fetch the past of each book's market, to be trained on", one)
    download.add_argument("--days", type=_days, help="how far back (default: what training takes)")
    learn = command("train", "research", "train, judge, and publish or refuse a model", one, time)
    learn.add_argument("--model", choices=KINDS, help="what the forecast is made of (default: [training] model)")
    learn.add_argument("--challenger", action="store_true", help="on trial, on paper beside the live model")
    learn.add_argument("--promote", action="store_true", help="train nothing; promote the challenger, or say why not")


def _research(command: Command, one: argparse.ArgumentParser) -> None:
    past, out = _parent(), _parent()
    past.add_argument(
        "--bars", action="append", metavar="FILE", help="bars (parquet or CSV); of several books: ID=FILE, for each"
    )
    past.add_argument("--vix", type=Path, metavar="FILE", help="daily VIX closes (default: as in [vix])")
    past.add_argument("--to", dest="until", type=moment_of, metavar="TIME", help="end of the bars")
    past.add_argument("--cluster", default="", metavar="ADDRESS", help="work on this Dask cluster (tcp://host:port)")
    out.add_argument("--out", type=Path, metavar="FOLDER", help="where the report goes (default: in [research] path)")
    test = command(
        "backtest", "backtest", "trade the past, and say how sure one may be of what comes of it", one, past, out
    )
    test.add_argument("--from", dest="since", type=moment_of, metavar="TIME", help="first bar to trade")
    source = test.add_mutually_exclusive_group()
    source.add_argument("--model", metavar="VERSION", help="forecasts of this model, or of the live one: live")
    source.add_argument("--walk", action="store_true", help="train on the way, even where a model is live")
    source.add_argument("--signal", metavar="FEATURE", help="trade the sign of a feature, as a yardstick")
    test.add_argument("--quick", action="store_true", help="trades and figures alone: no intervals, no report")
    test.add_argument("--prove", action="store_true", help="look for leaks: in features, labels, training, decisions")
    search = command(
        "optimise", "optimise", "look for a policy on all but the newest days, by walk-forward", one, past, out
    )
    search.add_argument("--trials", type=_count, default=100, help="how many in all (default: 100)")
    search.add_argument("--jobs", type=_count, default=2, help="trials at a time (default: 2)")
    search.add_argument("--vary", type=_names, metavar="KEYS", help="keys of [policy], such as threshold,edge")
    search.add_argument(
        "--training", type=_choices, action="append", default=[], metavar="KEY=A,B",
        help="what a key of [training] may be, such as horizon=6,24; may be given again",
    )  # fmt: skip
    search.add_argument("--open", action="store_true", help="then open the untouched days, with the best; once")
    beside = command("compare", "backtest", "two or more reports side by side")
    beside.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a report, or its study.json")
    beside.add_argument("--out", type=Path, default=Path("compare.html"), metavar="FILE", help="(compare.html)")


def _operating(command: Command, one: argparse.ArgumentParser, time: argparse.ArgumentParser) -> None:
    command("tick", "operate", "run one tick now, for the bar that has just closed", one, time)
    command("guard", "operate", "look after every book once, as every minute in between", one, time)
    command("check", "check", "whether all is as it must be before real money is traded: GO or NO-GO", one)
    serve = command("serve", "serve", "all functions on one port, with a scheduler")
    serve.add_argument("--port", type=_port, help="0: any free one (default: [serve] port)")
    command("status", "operate", "where every book stands")
    for name, text in SWITCHES.items():
        switch = command(name, "operate", text, one)
        switch.add_argument("--reason", default="", help="why, for the record")
    command("explain", "operate", "why a recorded decision was what it was", one, time)
    command("replay", "operate", "make the recorded decisions again from their records, and compare", one)
    _keeping(command)


def _keeping(command: Command) -> None:
    tidy = command("cleanup", "cleanup", "archive old records, take a backup, remove what nobody needs")
    tidy.add_argument("--dry-run", action="store_true", help="say what would go, and how many bytes; change nothing")
    tidy.add_argument("--level", choices=("safe", "moderate"), help="(default: [cleanup] level)")
    command("backup", "backup", "write every document to a file beside the models' history")
    restore = command("restore", "backup", "put a backup back; the switch then says halt until you resume")
    which = restore.add_mutually_exclusive_group()
    which.add_argument("--from", dest="name", metavar="NAME", help="which backup (default: the newest; see --list)")
    which.add_argument("--at", type=moment_of, metavar="TIME", help="the newest that was made by then")
    which.add_argument("--list", action="store_true", help="only tell which backups there are")
    restore.add_argument("--dry-run", action="store_true", help="check the backup and tell what would change")
    restore.add_argument("--replace", action="store_true", help="even over books that are not in it, or have gone on")


def moment_of(text: str) -> datetime:
    """An aware time from ISO 8601; a date means midnight, no zone means UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give one such as 2024-05-01T13:00:05Z") from None
    if not 2009 <= time.year <= 2100:
        raise argparse.ArgumentTypeError(f"{text!r}: there are no bars of that year")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 5000:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of days, from 1 to 5000")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 to 100000")
    return int(text)


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r}: give names with a comma between them")
    return names


def _choices(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: give a key and its values, such as horizon=6,24")
    return key.strip(), _names(values)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: give a port, from 0 (any free one) to 65535")
    return int(text)


def _symbol(text: str) -> str:
    try:
        return msgspec.convert(text, Symbol)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r}: give {SYMBOL}") from None
