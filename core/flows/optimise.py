"""optimise: looks for a policy on what walked-forward models said, fold by fold of time; never on the newest days.

Every trial counts: the deflated Sharpe ratio of what is found asks how many there were. The newest days, which no trial
has seen, are opened once, with the policy that was found; whoever opens them again has one trial more, and no
untouched days any longer.

Points are drawn, and what came of them is written down, here alone; workers only try them, several at a time. So the
same seed finds the same whatever the workers are, a search that was stopped goes on as if it had not been, and workers
elsewhere need no access to the storage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from core.domain.state import Book
from core.flows.backtest import Forecasts, Ground, trade
from core.flows.trials import digest, market
from core.ports import Missing, ModelStore, Unavailable, Workers

Chosen = dict[str, float | int | bool | str]
FOLDS: Final = 5
FEWEST: Final = 24  # bars of a fold
STARTUP: Final = 10  # trials that run to their end before any is given up
# What may be varied: (lowest, highest), whole numbers or not, or the choices. Keys of [policy].
SPACE: Final[Mapping[str, tuple[Any, ...]]] = {
    "threshold": (0.0, 0.15),
    "exit_fraction": (0.0, 1.0),
    "minimum_confidence": (0.0, 0.6),
    "edge": (0.0, 5.0),
    "hold_bars": (0, 48),
    "hold_most_bars": (0, 96),
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
    """`ground`: up to the first untouched bar; `forecasts`: by name, one for each way to train; `varied`: as `keys`
    gives them. Raises ValueError: the bars with forecasts are too few for folds."""

    ground: Ground
    forecasts: Mapping[str, Forecasts]
    varied: Sequence[str] = VARIED
    resume_hours: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if len(self.ground.bars) - self.first < FOLDS * FEWEST:
            raise ValueError(
                f"{len(self.ground.bars) - self.first} bars with forecasts are too few for {FOLDS} folds: give more "
                f"bars, or fewer [research] train_days or untouched_days"
            )

    @property
    def first(self) -> int:
        """The first bar that each of the forecasts may be traded on."""
        return max(each.first for each in self.forecasts.values())

    def name(self) -> str:
        """Of the study: the same for the same question, so that an interrupted search goes on."""
        ground, parts = self.ground, hashlib.sha256()
        for each in sorted(self.forecasts):
            parts.update(each.encode() + self.forecasts[each].p_up.tobytes())
        space = {key: SPACE[key] for key in self.varied}
        asked = (ground.book, ground.bars.digest(), parts.hexdigest(), space, FOLDS, self.resume_hours, self.seed)
        return f"{ground.book.id}-{digest(*asked)[:12]}"

    def lean(self) -> Search:
        """The same without what no trial looks at, to be sent to workers."""
        forecasts = {name: with_(each, walked=None) for name, each in self.forecasts.items()}
        return with_(self, forecasts=forecasts)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The best trial. `worth`: mean of the folds' Sharpe ratios less its standard error; `finished` of `trials` ran to
    their end, the others were given up on the way. `sharpes`: of every trial, the mean of the folds that it ran."""

    study: str
    chosen: Chosen
    worth: float
    trials: int
    finished: int
    sharpes: list[float]


def keys(book: Book, named: Sequence[str] | None) -> tuple[str, ...]:
    """What is varied, in order. Raises ValueError for a key that cannot be."""
    unknown = [key for key in named or () if key not in SPACE]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: cannot be varied; choose among {', '.join(SPACE)}")
    fixed = set() if book.policy.short else {"short"}  # where a book may not go short, a trial may not either
    if fixed & set(named or ()):
        raise ValueError("short: [policy] short = false keeps this book from it: set it true to vary it")
    return tuple(sorted(set(named or VARIED) - fixed))


def split(ground: Ground, untouched_days: int) -> int:
    """The index of the first bar that no trial may see; the number of bars when there is none. Raises ValueError:
    nothing is left before it."""
    bars = ground.bars
    if not untouched_days:
        return len(bars)
    until = int(np.searchsorted(bars.time, bars.time[-1] - untouched_days * 86400, "right"))
    if not until:
        raise ValueError(f"{untouched_days} untouched days leave none of {len(bars)} bars to search on: give more bars")
    return until


def optimise(
    search: Search,
    storage: str,
    trials: int,
    workers: Workers,
    at_once: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> Found:
    """The best of `trials` in all, those counted that an earlier run of the same search has left at `storage` (as
    Optuna names it: sqlite:///FILE). Raises Unavailable: the storage, or the workers, cannot be used, or another run
    has taken this search over."""
    with _stored(storage) as create:
        study, lean = create(study_name=search.name(), direction="maximize", load_if_exists=True), search.lean()
        _forget(study)
        while (count := len(_ended(study))) < trials:
            progress(count / trials)
            study.sampler = _sampler(search.seed, count)
            asked = [study.ask() for _ in range(min(at_once, trials - count))]
            drawn = [_drawn(search, trial) for trial in asked]
            ended = sorted(workers.run(partial(tried, lean, _least(study)), drawn))  # all, before any is written down
            for number, made in ended:
                _told(study, asked[number], made)
        progress(1.0)
        return _found(study)


@contextmanager
def _stored(storage: str) -> Iterator[Callable[..., Any]]:
    """optuna.create_study at `storage`."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield partial(optuna.create_study, storage=storage)
    except optuna.exceptions.UpdateFinishedTrialError as failure:
        raise Unavailable(f"another run goes on with this search at {storage}: let it end first") from failure
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as failure:
        said = str(failure.__cause__ or failure).splitlines()[0]
        raise Unavailable(f"the studies at {storage} cannot be used ({said}): mend or remove the file") from failure


def _forget(study: Any) -> None:
    """Gives up what an interrupted run had under way, lest samplers wait for it."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _sampler(seed: int, count: int) -> Any:
    """Of its own for each batch of trials, so that a search that goes on draws what it would have drawn."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=int(np.random.SeedSequence([seed, count]).generate_state(1)[0]))


def _drawn(search: Search, trial: Any) -> Chosen:
    """One point of the space."""
    chosen: Chosen = {"forecasts": trial.suggest_categorical("forecasts", sorted(search.forecasts))}
    for key in search.varied:
        low, high = _bounds(key, search.ground.book.policy)
        if isinstance(low, bool):
            chosen[key] = trial.suggest_categorical(key, [low, high])
        elif isinstance(low, int):
            chosen[key] = trial.suggest_int(key, low, high)
        else:
            chosen[key] = trial.suggest_float(key, low, high)
    return _rounded(chosen)


def _bounds(key: str, policy: Policy) -> tuple[Any, Any]:
    """Of SPACE, as far as the rest of the policy allows."""
    low, high = SPACE[key]
    if key == "threshold":
        low = max(low, policy.threshold_min)
        high = max(low, min(high, policy.threshold_max))
    return low, high


def _rounded(chosen: Chosen) -> Chosen:
    """What is written in settings is what was tried."""
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in chosen.items()}


def policy(before: Policy, chosen: Chosen) -> Policy:
    """`before` with what was chosen."""
    keys = {key: value for key, value in chosen.items() if key != "forecasts"}
    exact = {key: Decimal(str(value)) for key, value in keys.items() if isinstance(getattr(before, key), Decimal)}
    return replace(before, **keys | exact)


def tried(search: Search, least: Sequence[float], chosen: Chosen) -> list[float]:
    """The Sharpe ratio of each fold; of fewer when their mean falls below `least`, which has a value for each."""
    book, forecasts = search.ground.book, search.forecasts[str(chosen["forecasts"])]
    ground = with_(search.ground, book=replace(book, policy=policy(book.policy, chosen)))
    made: list[float] = []
    for first, end in folds(search.first, len(ground.bars)):
        made.append(_sharpe(ground, forecasts, first, end, search.resume_hours))
        if least and float(np.mean(made)) < least[len(made) - 1]:
            break
    return made


def _sharpe(ground: Ground, forecasts: Forecasts, first: int, end: int, resume_hours: float) -> float:
    part = ground.before(end)
    cut = with_(forecasts, p_up=forecasts.p_up[:end], first=first)
    made = track(trade(part, cut, resume_hours), part.bars, part.book.timeframe)
    return ratios(made.returns, 0.0, made.bars_per_year)[0] or 0.0


def folds(first: int, end: int) -> list[tuple[int, int]]:
    """[first, end) in FOLDS stretches of time that follow one another."""
    edges = np.linspace(first, end, FOLDS + 1).astype(int).tolist()
    return list(pairwise(edges))


def worth(sharpes: Sequence[float]) -> float:
    """The mean less its standard error: what did well in one fold only is worth little."""
    return float(np.mean(sharpes) - np.std(sharpes, ddof=1) / np.sqrt(len(sharpes)))


def _told(study: Any, trial: Any, made: Sequence[float]) -> None:
    """Writes down what came of a trial."""
    from optuna.trial import TrialState

    for step in range(len(made)):
        trial.report(float(np.mean(made[: step + 1])), step)
    if len(made) < FOLDS:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, worth(made))


def _least(study: Any) -> list[float]:
    """After each fold, what a trial must have reached to go on: the median of those that ran to their end, as Optuna's
    MedianPruner has it where trials write to the storage themselves; anything after the first fold, which says little,
    and after the last. Empty while such trials are few."""
    made = [list(trial.intermediate_values.values()) for trial in _ended(study) if _finished(trial)]
    if len(made) < STARTUP:
        return []
    return [-np.inf, *np.median(made, axis=0)[1:-1].tolist(), -np.inf]


def _finished(trial: Any) -> bool:
    return len(trial.intermediate_values) == FOLDS


def _ended(study: Any) -> list[Any]:
    """The trials that ran to their end or were given up; what was interrupted is no trial: nothing came of it."""
    from optuna.trial import TrialState

    found: list[Any] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return found


def _found(study: Any) -> Found:
    ended, best = _ended(study), study.best_trial
    sharpes = [trial.intermediate_values[max(trial.intermediate_values)] for trial in ended]
    return Found(
        study=study.study_name,
        chosen=_rounded(best.params),
        worth=best.value,
        trials=len(ended),
        finished=sum(map(_finished, ended)),
        sharpes=sharpes,
    )


def opened(store: ModelStore, whole: Ground, until: int) -> int:
    """How often the bars of `whole` from index `until` on, or some of them, have been opened, this time included; it
    is written down first. Raises ValueError: there are none."""
    book, bars = whole.book, whole.bars
    if until >= len(bars):
        raise ValueError("there are no untouched days to open: set [research] untouched_days")
    first, last = int(bars.time[until]), int(bars.time[-1])
    name = f"untouched/{market(book)}"
    try:
        known = msgspec.json.decode(store.get(name), type=list[tuple[int, int]])
    except Missing:
        known = []
    store.put(name, msgspec.json.encode([*known, (first, last)]))
    return 1 + sum(since <= last and first <= end for since, end in known)
