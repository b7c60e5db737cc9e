"""The kinds of model behind one contract: which members each of them asks."""

from __future__ import annotations

from typing import Final, Literal, Protocol, get_args

from core.domain.bars import Floats

Kind = Literal["stacking", "average", "lightgbm", "xgboost", "forest"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MEMBERS: Final = ("lightgbm", "xgboost", "forest")


class Forecaster(Protocol):
    """A fitted model, or a loaded one: both pass the battery in tests/contracts/test_forecaster.py.

    Rows are (n, features) in the order of the features trained on. A member that the kind does not ask is NaN.
    """

    def raw(self, rows: Floats) -> Floats:
        """(n, 3): the log-odds that LightGBM and XGBoost sum up, and the forest's probability."""
        ...

    def members(self, rows: Floats) -> Floats:
        """(n, 3): each member's own probability of going up."""
        ...

    def predict(self, rows: Floats) -> Floats:
        """(n,): the probability of going up."""
        ...


def asked(kind: Kind) -> tuple[int, ...]:
    """The members that a model of this kind asks, as places in MEMBERS."""
    return tuple(i for i, name in enumerate(MEMBERS) if kind in ("stacking", "average", name))
