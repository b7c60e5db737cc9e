"""A failing history made as short as it can be, and told in plain sentences, with the command that plays it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.history import History, Wish, played
from tests.simulation.turns import moment

TRIES = 400
LINES = 80


def shrunk(history: History, play: Callable[[Wish], History] = played) -> History:
    """The history with the fewest bars, then the fewest things going wrong, of those that were tried and still fail."""
    tries = 0

    def fails(wish: Wish) -> History | None:
        nonlocal tries
        tries += 1
        again = play(wish) if tries <= TRIES else None
        return again if again is not None and again.audit.violations else None

    for bars in range(1, history.setting.bars):
        shorter = fails(replace(history.wish, bars=bars))
        if shorter:
            history = shorter
            break
    kept = list(dict.fromkeys(history.told.names))
    size = max(len(kept) // 2, 1)
    while kept and tries < TRIES:  # leaves out half of them, then quarters, then each by itself
        start, smaller = 0, False
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            again = fails(replace(history.wish, only=frozenset(rest)))
            if again:
                history, kept, smaller = again, [name for name in rest if name in set(again.told.names)], True
            else:
                start += size
        if size == 1 and not smaller:
            break
        size = max(size // 2, 1)
    return replayed(history, kept, play)


def replayed(history: History, kept: list[str], play: Callable[[Wish], History]) -> History:
    again = play(replace(history.wish, only=frozenset(kept)))
    return again if again.audit.violations else history


def command(wish: Wish) -> str:
    parts = [f"python -m tests.simulation --seed {wish.seed}"]
    parts += [f"--venue {wish.venue}"] if wish.venue else []
    parts += [f"--bars {wish.bars}"] if wish.bars else []
    parts += [f"--only {','.join(sorted(wish.only)) or 'nothing'}"] if wish.only is not None else []
    return " ".join(parts)


def told(history: History) -> str:
    """What happened, and what was wrong with it."""
    setting = history.setting
    traits = setting.quirks.traits
    lines = [
        f"seed {setting.seed}: venue {setting.quirks.name}; an order counts for {traits.window_s:.0f} s; lags in ms: "
        f"orders {setting.quirks.lag_orders}, executions {setting.quirks.lag_executions}, "
        f"position {setting.quirks.lag_position}",
        f"{setting.bars} bars from {moment(history.told.lines[0][0]):%Y-%m-%d %H:%M}" if history.told.lines else "",
    ]
    shown = history.told.lines[-LINES:]
    if len(shown) < len(history.told.lines):
        lines.append(f"  ({len(history.told.lines) - len(shown)} lines before these are left out)")
    lines += [f"{moment(at):%d %H:%M:%S}.{at % 1000:03d} {line}" for at, line in shown]
    lines += [f"WRONG: {violation}" for violation in history.audit.violations]
    return "\n".join((*lines, f"play it again: {command(history.wish)}"))
