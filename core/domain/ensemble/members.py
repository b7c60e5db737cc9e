"""The members: how each is trained, and its own library's scores for rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from core.domain.bars import Floats
from core.domain.forecast import MEMBERS, Kind, asked

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0.0, le=1.0)]


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is learnt, and how hard. Each key is explained, with unit and safe range, in config/default.toml.

    The defaults suit hourly bars, where there is little to learn: shallow trees, few bins, large leaves, and every tree
    sees a part of the rows only. `rows_share` of the forest is small since labels over `horizon` bars overlap: about
    one row in `horizon` is news (López de Prado 2018, section 6.3).
    """

    model: Kind = "stacking"
    horizon: Annotated[int, Meta(ge=1, le=1000)] = 12
    cost: Annotated[float, Meta(ge=0.0, le=0.1)] = 0.001
    folds: Annotated[int, Meta(ge=1, le=20)] = 4
    embargo: Annotated[int, Meta(ge=0)] = 24
    holdout: Annotated[float, Meta(gt=0.0, lt=0.9)] = 0.15
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 1
    threads: Count = 1

    trees: Annotated[int, Meta(ge=1, le=5000)] = 80
    learning_rate: Share = 0.02
    depth: Annotated[int, Meta(ge=1, le=16)] = 4
    leaves: Annotated[int, Meta(ge=2, le=4096)] = 12
    leaf_rows: Count = 100
    bins: Annotated[int, Meta(ge=2, le=255)] = 63
    rows_share: Share = 0.5
    columns_share: Share = 0.5
    l2: Annotated[float, Meta(ge=0.0)] = 10.0

    forest_trees: Annotated[int, Meta(ge=1, le=5000)] = 300
    forest_depth: Annotated[int, Meta(ge=1, le=16)] = 8
    forest_leaf_rows: Count = 40
    forest_rows_share: Share = 0.15
    forest_columns_share: Share = 0.12

    prior: Annotated[float, Meta(ge=0.0)] = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The trained models, as their own libraries hold them; None: the kind of model does not ask that member."""

    lightgbm: Any = None
    xgboost: Any = None
    forest: Any = None

    def raw(self, rows: Floats) -> Floats:
        """(n, 3): log-odds of the two boosters, probability of the forest; NaN of a member that is not asked."""
        return self._scores(rows, odds=True)

    def probabilities(self, rows: Floats) -> Floats:
        """(n, 3): each member's probability of going up; NaN of a member that is not asked."""
        return self._scores(rows, odds=False)

    def _scores(self, rows: Floats, odds: bool) -> Floats:
        scores = np.full((len(rows), len(MEMBERS)), np.nan)
        if self.lightgbm is not None:
            scores[:, 0] = self.lightgbm.predict(rows, raw_score=odds, num_threads=1)
        if self.xgboost is not None:
            import xgboost

            scores[:, 1] = self.xgboost.predict(xgboost.DMatrix(rows, nthread=1), output_margin=odds)
        if self.forest is not None:
            scores[:, 2] = self.forest.predict_proba(rows)[:, 1]
        return scores


def train(rows: Floats, y: Floats, training: Training) -> Members:
    """What `training.model` asks, all on the same rows (n, features) with labels 0.0 and 1.0."""
    learn = (_lightgbm, _xgboost, _forest)
    return Members(**{MEMBERS[place]: learn[place](rows, y, training) for place in asked(training.model)})


def _lightgbm(rows: Floats, y: Floats, training: Training) -> Any:
    import lightgbm

    parameters = {
        "objective": "binary",
        "learning_rate": training.learning_rate,
        "max_depth": training.depth,
        "num_leaves": training.leaves,
        "min_data_in_leaf": training.leaf_rows,
        "max_bin": training.bins,
        "bagging_fraction": training.rows_share,
        "bagging_freq": 1,
        "feature_fraction": training.columns_share,
        "lambda_l2": training.l2,
        "seed": training.seed,
        "num_threads": training.threads,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }
    return lightgbm.train(parameters, lightgbm.Dataset(rows, y, params=parameters), training.trees)


def _xgboost(rows: Floats, y: Floats, training: Training) -> Any:
    import xgboost

    parameters = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "learning_rate": training.learning_rate,
        "max_depth": training.depth,
        "max_leaves": training.leaves,
        "min_child_weight": training.leaf_rows / 4,  # each row weighs p (1 - p), about a quarter
        "max_bin": training.bins,
        "subsample": training.rows_share,
        "colsample_bynode": training.columns_share,
        "reg_lambda": training.l2,
        "seed": training.seed,
        "nthread": training.threads,
        "verbosity": 0,
    }
    data = xgboost.QuantileDMatrix(rows, y, max_bin=training.bins, nthread=training.threads)
    return xgboost.train(parameters, data, training.trees)


def _forest(rows: Floats, y: Floats, training: Training) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=training.forest_trees,
        max_depth=training.forest_depth,
        min_samples_leaf=training.forest_leaf_rows,
        max_samples=max(1, round(len(rows) * training.forest_rows_share)),
        max_features=training.forest_columns_share,
        random_state=training.seed,
        n_jobs=1,  # more would add the trees up in another order, and change the last bit
    )
    return forest.fit(rows, y.astype(np.int64))
