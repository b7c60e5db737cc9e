"""The `hourhand` command: the same flows as the functions', by hand.

Exit codes: 0 done, 1 failed, 2 wrong use. `--json` prints one JSON object on stdout and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

import msgspec

from core.adapters import json_log
from core.cli.parser import parser
from core.ports import Conflict, Document, Missing, Unavailable
from core.settings import SettingsError

FAILURES = (Unavailable, Conflict, Missing, ValueError, OSError)
RESEARCH = ("optuna", "sqlalchemy", "dask", "distributed", "matplotlib")  # what requirements-research.txt adds
UNDONE = ("failed", "busy")  # outcomes after which the command is worth another try


class Failed(ValueError):
    """A command that could not do what it was asked; the message says why and what to do."""


class WrongUse(Failed):
    """Options that do not go together, or that name what is not there."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    json_log.setup("WARNING", plain=True)
    module, name = arguments.run
    try:
        document, text = getattr(import_module(f"core.cli.{module}"), name)(arguments)
    except (SettingsError, WrongUse) as failure:
        return _fail(arguments, 2, str(failure))
    except FAILURES as failure:
        return _fail(arguments, 1, json_log.clean(str(failure)))
    except ImportError as failure:
        which = "research" if failure.name in RESEARCH else "train"
        return _fail(arguments, 1, f"{failure.name} is not installed: pip install -r requirements-{which}.txt")
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
