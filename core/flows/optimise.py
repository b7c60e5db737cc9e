"""optimise: looks for a policy on what walked-forward models said, fold by fold of time; never on the newest days.

Every trial counts: the deflated Sharpe ratio of what is found asks how many there were. The newest days, which no trial
has seen, are opened once, with the policy that was found; whoever opens them again has one trial more, and no
untouched days any longer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from core.domain.evidence import track
from core.domain.evidence.figures import ratios
from core.domain.risk import Policy
from core.flows.backtest import Forecasts, Ground, trade
from core.flows.trials import digest
from core.ports import Missing, ModelStore, Workers

log = logging.getLogger("hourhand.optimise")
Chosen = dict[str, float | int | bool | str]
FOLDS: Final = 5
# What may be varied: (lowest, highest), whole numbers or not, or the choices. Keys of [policy].
SPACE: Final[Mapping[str, tuple[Any, ...]]] = {
    "threshold": (0.0, 0.15),
    "exit_fraction": (0.0, 1.0),
    "minimum_confidence": (0.0, 0.6),
    "edge": (0.0, 3.0),
    "hold_bars": (0, 48),
    "certainty": (0.0, 0.2),
    "stop_atr": (1.5, 8.0),
    "risk_per_trade": (0.0025, 0.02),
    "volatility_target": (0.1, 0.8),
    "short": (False, True),
    "regime_volatile": (0.0, 1.0),
    "vix_risk_off_scale": (0.0, 1.0),
}
VARIED: Final = ("threshold", "exit_fraction", "edge", "hold_bars", "certainty", "stop_atr", "short")


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """`forecasts`: by name, one for each way to train; `until`: index of the first untouched bar."""

    ground: Ground
    forecasts: Mapping[str, Forecasts]
    until: int
    varied: Sequence[str] = VARIED
    resume_hours: float = 0.0
    seed: int = 1

    def name(self) -> str:
        """Of the study: the same for the same question, so that an interrupted search goes on."""
        ground, parts = self.ground, hashlib.sha256()
        for each in sorted(self.forecasts):
            parts.update(each.encode() + self.forecasts[each].p_up.tobytes())
        asked = digest(ground.book, self.until, self.varied, self.resume_hours, parts.hexdigest(), ground.bars.digest())
        return f"{ground.book.id}-{asked[:12]}"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The best trial. `worth`: mean of the folds' Sharpe ratios less its standard error; `finished` of `trials` ran to
    their end, the others were given up on the way; `variance`: of the Sharpe ratios of those that finished."""

    chosen: Chosen
    worth: float
    trials: int
    finished: int
    variance: float | None


def split(ground: Ground, untouched_days: int) -> int:
    """The index of the first bar that no trial may see. Raises ValueError: nothing is left before it."""
    bars = ground.bars
    until = int(np.searchsorted(bars.time, bars.time[-1] - untouched_days * 86400, "right")) if untouched_days else -1
    until = len(bars) if until < 0 else until
    if until < 2:
        raise ValueError(f"{untouched_days} untouched days leave none of {len(bars)} bars to search on: give more bars")
    return until


def optimise(
    search: Search,
    storage: str,
    trials: int,
    workers: Workers,
    parts: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> Found:
    """`trials` more trials, in `parts` at a time, remembered at `storage` (as Optuna names it: sqlite:///FILE). Raises
    ValueError for a key that cannot be varied."""
    import optuna

    unknown = [key for key in search.varied if key not in SPACE]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: cannot be varied; choose among {', '.join(SPACE)}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(search, storage, search.seed)
    before = len(study.trials)
    shares = [trials // parts + (i < trials % parts) for i in range(parts)]
    items = [(share, search.seed + before + i) for i, share in enumerate(shares) if share]
    for done, _ in enumerate(workers.run(partial(_some, search, storage), items)):
        progress((done + 1) / len(items))
    return _found(_study(search, storage, search.seed))


def _study(search: Search, storage: str, seed: int) -> Any:
    import optuna

    return optuna.create_study(
        study_name=search.name(),
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=10, n_warmup_steps=1),
    )


def _some(search: Search, storage: str, item: tuple[int, int]) -> int:
    """A worker's share of the trials."""
    count, seed = item
    _study(search, storage, seed).optimize(partial(_trial, search), n_trials=count)
    return count


def _trial(search: Search, trial: Any) -> float:
    import optuna

    chosen = _drawn(search, trial)
    book = search.ground.book
    ground = with_(search.ground, book=replace(book, policy=policy(book.policy, chosen)))
    forecasts = search.forecasts[str(chosen["forecasts"])]
    made: list[float] = []
    for step, (first, end) in enumerate(folds(forecasts.first, search.until)):
        made.append(_sharpe(ground, forecasts, first, end, search.resume_hours))
        trial.report(float(np.mean(made)), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr("sharpe", float(np.mean(made)))
    return worth(made)


def _drawn(search: Search, trial: Any) -> Chosen:
    """One point of the space."""
    chosen: Chosen = {"forecasts": trial.suggest_categorical("forecasts", sorted(search.forecasts))}
    for key in search.varied:
        low, high = SPACE[key]
        if isinstance(low, bool):
            chosen[key] = trial.suggest_categorical(key, [low, high])
        elif isinstance(low, int):
            chosen[key] = trial.suggest_int(key, low, high)
        else:
            chosen[key] = trial.suggest_float(key, low, high)
    return chosen


def policy(before: Policy, chosen: Chosen) -> Policy:
    """`before` with what was chosen; money exactly, to four places."""
    keys = {key: value for key, value in chosen.items() if key != "forecasts"}
    exact = {key: Decimal(str(round(float(value), 4))) for key, value in keys.items() if key == "risk_per_trade"}
    return replace(before, **keys | exact)


def folds(first: int, end: int) -> list[tuple[int, int]]:
    """[first, end) in FOLDS stretches of time that follow one another."""
    edges = np.linspace(first, end, FOLDS + 1).astype(int).tolist()
    return list(pairwise(edges))


def worth(sharpes: Sequence[float]) -> float:
    """The mean less its standard error: what did well in one fold only is worth little."""
    return float(np.mean(sharpes) - np.std(sharpes) / np.sqrt(len(sharpes)))


def _sharpe(ground: Ground, forecasts: Forecasts, first: int, end: int, resume_hours: float) -> float:
    part = ground.before(end)
    cut = with_(forecasts, p_up=forecasts.p_up[:end], first=first)
    made = track(trade(part, cut, resume_hours), part.bars, part.book.timeframe)
    return ratios(made.returns, 0.0, made.bars_per_year)[0] or 0.0


def _found(study: Any) -> Found:
    from optuna.trial import TrialState

    done = study.get_trials(states=[TrialState.COMPLETE])
    sharpes = [trial.user_attrs["sharpe"] for trial in done]
    tried = study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
    return Found(
        chosen=dict(study.best_params),
        worth=float(study.best_value),
        trials=len(tried),
        finished=len(done),
        variance=float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else None,
    )


def opened(store: ModelStore, whole: Ground, search: Search) -> int:
    """How often the days after `search.until` of `whole`, or some of them, have been opened, this time included; it is
    written down first."""
    book, bars = whole.book, whole.bars
    first, last = int(bars.time[min(search.until, len(bars) - 1)]), int(bars.time[-1])
    name = f"untouched/{book.symbol.replace('/', '-').replace(':', '-').lower()}-{book.timeframe}"
    try:
        known: list[tuple[int, int]] = msgspec.json.decode(store.get(name), type=list[tuple[int, int]])
    except Missing:
        known = []
    store.put(name, msgspec.json.encode([*known, (first, last)]))
    return 1 + sum(since <= last and first <= until for since, until in known)
