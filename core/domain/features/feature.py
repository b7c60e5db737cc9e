"""What a feature is, and what a set of them is."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from core.domain.bars import Floats
from core.domain.features.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Feature:
    """`lookback`: bars that the value depends on, the current one included. `version` rises with every change of the
    formula. `nullable`: may be NaN in a complete row. `needs`: the outside inputs that it is made from."""

    name: str
    category: str
    lookback: int
    function: Callable[[Inputs], Floats]
    version: int = 1
    nullable: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureSet:
    """An ordered list of features: the columns of what a model was trained on."""

    name: str
    features: tuple[Feature, ...]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @functools.cached_property
    def lookback(self) -> int:
        """Unbroken bars that a row needs, the current one included."""
        return max(feature.lookback for feature in self.features)

    @functools.cached_property
    def needs(self) -> frozenset[str]:
        """The outside inputs that its features are made from, beside the bars: "vix", "market", and series' names."""
        return frozenset(need for feature in self.features for need in feature.needs)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the ordered names, versions and lookbacks: what a model's manifest must match."""
        lines = (f"{feature.name} {feature.version} {feature.lookback}\n" for feature in self.features)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
