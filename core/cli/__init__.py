"""The `hourhand` command: the same flows as the functions', by hand.

Exit codes: 0 done, 1 failed, 2 wrong use. `--json` prints one JSON object on stdout and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import msgspec

from core.adapters import json_log
from core.ports import Conflict, Document, Missing, Unavailable
from core.settings import SettingsError
from core.settings.sections import SYMBOL, Symbol

FAILURES = (Unavailable, Conflict, Missing, ValueError, OSError)
UNDONE = ("failed", "busy")  # outcomes after which the command is worth another try


class Failed(ValueError):
    """A command that could not do what it was asked; the message says why and what to do."""


class WrongUse(Failed):
    """Options that do not go together, or that name what is not there."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    json_log.setup("WARNING", plain=True)
    module, name = arguments.run
    try:
        document, text = getattr(import_module(f"core.cli.{module}"), name)(arguments)
    except (SettingsError, WrongUse) as failure:
        return _fail(arguments, 2, str(failure))
    except FAILURES as failure:
        return _fail(arguments, 1, json_log.clean(str(failure)))
    except ImportError as failure:
        return _fail(arguments, 1, f"{failure.name} is not installed: pip install -r requirements-train.txt")
    except KeyboardInterrupt:
        return _fail(arguments, 1, "stopped; what was written down stands")
    _print(document if arguments.json else text)
    return 1 if document.get("outcome") in UNDONE or document.get("verdict") == "no_go" else 0


def _fail(arguments: argparse.Namespace, code: int, message: str) -> int:
    print(f"hourhand: {message}", file=sys.stderr)
    if arguments.json:
        _print({"outcome": "failed", "reason": message})
    return code


def _print(told: Document | str) -> None:
    if isinstance(told, dict):
        told = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode(told).decode()
    if told:
        print(told, flush=True)


def _parser() -> argparse.ArgumentParser:
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: HOURHAND_CONFIG, else paper.toml)"
    )
    every.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("--book", metavar="ID", help="which book (default: all of them)")
    time = argparse.ArgumentParser(add_help=False)
    time.add_argument(
        "--at", type=moment_of, metavar="TIME", help="as if it were this time, such as 2024-05-01T13:00:05Z"
    )

    parser = argparse.ArgumentParser(prog="hourhand", description="Trades crypto by the hour, and nothing in between.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, module: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[every, *parents])
        added.set_defaults(run=(module, name))
        return added

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

    download = command("download", "research", "fetch the past of each book's market, to be trained on", one)
    download.add_argument("--days", type=_days, help="how far back (default: what training takes)")
    command("train", "research", "train, judge, and publish or refuse a model", one, time)
    test = command("backtest", "backtest", "trade the past, and say how sure one may be of what comes of it", one)
    test.add_argument("--bars", type=Path, metavar="FILE", help="bars (parquet or CSV; default: the market's past)")
    test.add_argument("--vix", type=Path, metavar="FILE", help="daily VIX closes (default: as in [vix])")
    test.add_argument("--from", dest="since", type=moment_of, metavar="TIME", help="first bar to trade")
    test.add_argument("--to", dest="until", type=moment_of, metavar="TIME", help="end of the bars")
    test.add_argument("--model", metavar="VERSION", help="forecasts of this model, or of the live one: live")
    test.add_argument("--walk", action="store_true", help="train on the way, even where a model is live (walk-forward)")
    test.add_argument("--cluster", default="", metavar="ADDRESS", help="train on this Dask cluster (tcp://host:port)")
    test.add_argument("--quick", action="store_true", help="trades and figures alone: no intervals, no report")
    test.add_argument("--out", type=Path, metavar="FOLDER", help="where the report goes (default: in [research] path)")
    test.add_argument("--signal", metavar="FEATURE", help="trade the sign of a feature, as a yardstick")
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
    return parser


SWITCHES = {
    "halt": "no orders at all; protective stops stay",
    "reduce": "no new risk; exits go on",
    "flatten": "close every position at the next guard or tick, then halt",
    "resume": "trade again",
}


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


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: give a port, from 0 (any free one) to 65535")
    return int(text)


def _symbol(text: str) -> str:
    try:
        return msgspec.convert(text, Symbol)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r}: give {SYMBOL}") from None
