"""What the functions runtime loads: `--source main.py --target NAME` gives functions/NAME.py's entry point.

Each is imported only when it is asked for, so that one function never pays for what another one needs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

FUNCTIONS = ("tick", "guard", "train", "cleanup", "alert", "status")


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in FUNCTIONS:
        raise AttributeError(f"there is no function {name!r}: give one of {', '.join(FUNCTIONS)}")
    function: Callable[..., Any] = getattr(import_module(f"functions.{name}"), name)
    return function
