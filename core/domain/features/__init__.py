"""Features: the one registry from which training, backtest and tick compute the same numbers, bit for bit.

A feature declares how many bars it looks at (its lookback, the current bar included); what came before cannot matter.
A row of a set is there only when as many unbroken bars as the set's lookback lead up to it; else it is all NaN. Within
a row nothing is NaN but what is made from the outside (`nullable`), while that is unknown. Formulas and their sources
stand in core/domain/indicators.py; docs/features.md tells of every feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from core.domain import indicators as ind
from core.domain import value_at_risk as var
from core.domain.bars import Bars, Floats, unbroken
from core.domain.daily import Daily
from core.domain.features.feature import Feature, FeatureSet
from core.domain.features.inputs import MAX_AGE, Inputs
from core.domain.features.wide import WIDE
from core.domain.outside import NOTHING, Outside

__all__ = ("CONTEXT", "MAX_AGE", "REGISTRY", "SETS", "Feature", "FeatureSet", "compute", "feature_set", "last_row")


_EMA_20, _EMA_50 = ind.ema_terms(20), ind.ema_terms(50)
_WILDER = ind.wilder_terms(14)
_LINE = ind.ema_terms(26)
_SIGNAL = _LINE + ind.ema_terms(9) - 1

_BASIC: Final = (
    Feature("return_1", "basic", 2, lambda i: i.rate(1)),
    Feature("return_6", "basic", 7, lambda i: i.rate(6)),
    Feature("volume_ratio_20", "basic", 20, lambda i: ind.ratio(i.bars.volume, i.volume_moments()[0], 1.0)),
    Feature("ema_gap_20", "basic", _EMA_20, lambda i: i.ema_gap(20)),
    Feature("return_1_lag_1", "basic", 3, lambda i: ind.lagged(i.rate(1), 1)),
    Feature("return_1_lag_2", "basic", 4, lambda i: ind.lagged(i.rate(1), 2)),
    Feature("return_1_lag_3", "basic", 5, lambda i: ind.lagged(i.rate(1), 3)),
    Feature("volume_zscore_20", "basic", 20, lambda i: ind.zscore(i.bars.volume, i.volume_moments())),
    Feature("candle_body", "basic", 1, lambda i: i.candle(i.bars.close - i.bars.open)),
    Feature("candle_upper_wick", "basic", 1, lambda i: i.candle(i.bars.high - np.maximum(i.bars.open, i.bars.close))),
    Feature("candle_lower_wick", "basic", 1, lambda i: i.candle(np.minimum(i.bars.open, i.bars.close) - i.bars.low)),
    Feature("candle_range", "basic", 1, lambda i: i.span() / i.bars.close),
)
_TECHNICAL: Final = (
    Feature("rsi_14", "technical", _WILDER + 1, Inputs.rsi),
    Feature("macd_histogram", "technical", _SIGNAL, lambda i: i.macd()[2] / i.bars.close),
    Feature("atr_ratio_14", "technical", _WILDER + 1, lambda i: i.atr() / i.bars.close),
    Feature("adx_14", "technical", 2 * _WILDER, lambda i: ind.adx(*i.directional(), 14)),
    Feature("stochastic_k_14", "technical", 14, lambda i: i.stochastic(14)),
    Feature("stochastic_d_14", "technical", 16, lambda i: ind.rolling_mean(i.stochastic(14), 3)),
    Feature("rsi_14_change_3", "technical", _WILDER + 4, lambda i: ind.change(i.rsi(), 3)),
    Feature("macd_line", "technical", _LINE, lambda i: i.macd()[0] / i.bars.close),
    Feature("macd_signal", "technical", _SIGNAL, lambda i: i.macd()[1] / i.bars.close),
    Feature("rci_9", "technical", 9, lambda i: i.rci(9)),
    Feature("rci_26", "technical", 26, lambda i: i.rci(26)),
    Feature("plus_di_14", "technical", _WILDER + 1, lambda i: i.directional()[0]),
    Feature("minus_di_14", "technical", _WILDER + 1, lambda i: i.directional()[1]),
    Feature("true_range_ratio", "technical", _WILDER + 1, lambda i: ind.ratio(i.true_range(), i.atr(), 1.0)),
    Feature("mfi_14", "technical", 15, lambda i: ind.mfi(i.typical(), i.bars.volume, 14)),
    Feature("cci_20", "technical", 20, lambda i: ind.cci(i.typical(), 20)),
    Feature("williams_r_28", "technical", 28, lambda i: i.stochastic(28) - 100.0),
    Feature("roc_12", "technical", 13, lambda i: i.rate(12)),
    Feature("roc_24", "technical", 25, lambda i: i.rate(24)),
    Feature("roc_72", "technical", 73, lambda i: i.rate(72)),
    Feature("obv_change_20", "technical", 21, lambda i: ind.obv_change(i.bars.close, i.bars.volume, 20)),
    Feature("bollinger_width_20", "technical", 20, lambda i: i.moments()[1] * 4.0 / i.moments()[0]),
)
_CALCULATED: Final = (
    Feature("bollinger_position_20", "calculated", 20, Inputs.bollinger_position),
    Feature("ema_cross_20_50", "calculated", _EMA_50, lambda i: i.ema(20) / i.ema(50) - 1.0),
    Feature("zscore_20", "calculated", 21, Inputs.zscore),
    Feature("ema_gap_12", "calculated", ind.ema_terms(12), lambda i: i.ema_gap(12)),
    Feature("ema_gap_50", "calculated", _EMA_50, lambda i: i.ema_gap(50)),
    Feature("sma_gap_20", "calculated", 20, lambda i: i.bars.close / i.moments()[0] - 1.0),
    Feature("sma_gap_168", "calculated", 168, lambda i: i.bars.close / ind.rolling_mean(i.bars.close, 168) - 1.0),
    Feature("volatility_24", "calculated", 25, lambda i: i.volatility(24)),
    Feature("volatility_168", "calculated", 169, lambda i: i.volatility(168)),
    Feature("volatility_ratio", "calculated", 169, lambda i: ind.ratio(i.volatility(24), i.volatility(168), 1.0)),
    Feature("range_position_168", "calculated", 168, lambda i: i.stochastic(168)),
)
_TIME: Final = (Feature("hour", "time", 1, Inputs.hour), Feature("weekday", "time", 1, Inputs.weekday))
_VIX: Final = (
    Feature("vix_level", "vix", 1, lambda i: i.known(i.vix.value), nullable=True, needs=("vix",)),
    Feature("vix_change", "vix", 1, lambda i: i.known(ind.rate(i.vix.value)), nullable=True, needs=("vix",)),
    Feature("vix_zscore", "vix", 1, Inputs.vix_zscore, nullable=True, needs=("vix",)),
    Feature("vix_fear", "vix", 1, Inputs.vix_fear, nullable=True, needs=("vix",)),
    Feature("vix_spike", "vix", 1, Inputs.vix_spike, nullable=True, needs=("vix",)),
    Feature("vix_regime", "vix", 1, Inputs.vix_regime, nullable=True, needs=("vix",)),
)
_RULE: Final = (
    Feature("atr_14", "technical", _WILDER + 1, Inputs.atr),
    Feature("mochipoyo", "rule", max(_EMA_50, _SIGNAL + 1), Inputs.mochipoyo),
)
_RISK: Final = (
    Feature("var_99_historical", "risk", var.LOOKBACK_HISTORICAL, lambda i: i.historical().loss),
    Feature("var_99_parametric", "risk", var.LOOKBACK, lambda i: var.parametric(i.ewma_volatility()).loss),
    Feature("var_99_monte_carlo", "risk", var.LOOKBACK, lambda i: var.monte_carlo(i.ewma_volatility()).loss),
    Feature(
        "shortfall_99", "risk", var.LOOKBACK_HISTORICAL, lambda i: var.shortfall(i.historical(), i.ewma_volatility())
    ),
)

_VIX53: Final = _BASIC + _TECHNICAL + _CALCULATED + _TIME + _VIX
REGISTRY: Final[Mapping[str, Feature]] = MappingProxyType({f.name: f for f in _VIX53 + _RULE + _RISK + WIDE})


def feature_set(name: str, *names: str) -> FeatureSet:
    """The named features of the registry, in this order. Raises KeyError for a name that it does not hold."""
    return FeatureSet(name, tuple(REGISTRY[each] for each in names))


SETS: Final[Mapping[str, FeatureSet]] = MappingProxyType(
    {
        # the gap to EMA 50 is not a column: (1 + ema_gap_20) * (1 + ema_cross_20_50) - 1
        "core12": FeatureSet("core12", _BASIC[:4] + _TECHNICAL[:5] + _CALCULATED[:3]),
        "vix53": FeatureSet("vix53", _VIX53),
        "full101": FeatureSet("full101", _VIX53 + WIDE),
    }
)
CONTEXT: Final = feature_set(
    "context",
    *("atr_14", "atr_ratio_14", "volatility_ratio", "mochipoyo", "vix_level", "vix_change"),
    *("volatility_168", "roc_24", "adx_14"),
    *("var_99_historical", "var_99_parametric", "var_99_monte_carlo", "shortfall_99"),
)


def compute(
    features: FeatureSet,
    bars: Bars,
    timeframe: str,
    vix: Daily,
    vix_max_age: int = MAX_AGE,
    outside: Outside = NOTHING,
) -> Floats:
    """Every row of `features` over `bars`, shape (len(bars), len(features.names)), in Fortran order.

    The VIX of a row is what had been published when its bar closed, at most `vix_max_age` seconds old; so is each
    series of `outside`, by its own limit, and of the other market a row sees what had closed with it. Rows with fewer
    than `features.lookback` unbroken bars are all NaN. Bars are taken as sane (core.domain.bars.insane).
    """
    inputs = Inputs(bars, timeframe, vix, vix_max_age, outside)
    columns = np.empty((len(features.features), len(bars)))
    for column, feature in zip(columns, features.features, strict=True):
        np.add(feature.function(inputs), 0.0, out=column)  # -0.0 becomes 0.0: equal values have equal bits
    short = unbroken(bars, timeframe) < features.lookback
    edges = np.flatnonzero(np.diff(short, prepend=False, append=False))
    for first, end in edges.reshape(-1, 2):
        columns[:, first:end] = np.nan
    return columns.T


def last_row(
    features: FeatureSet,
    bars: Bars,
    timeframe: str,
    vix: Daily,
    vix_max_age: int = MAX_AGE,
    outside: Outside = NOTHING,
) -> Floats:
    """The newest row, shape (len(features.names),), from the last `features.lookback` bars alone: `compute(...)[-1]`,
    bit for bit. All NaN when there are fewer bars or a gap among them."""
    tail = bars[-features.lookback :]
    if len(tail) < features.lookback:
        return np.full(len(features.features), np.nan)
    return compute(features, tail, timeframe, vix, vix_max_age, outside)[-1, :].copy()
