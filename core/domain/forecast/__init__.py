"""Forecast: one row of features in, one probability of going up out, from an artefact that is data and never code.

An artefact is a few files by name: `manifest.json`, three files of flat trees, and golden rows with their scores.
Every kind of model has the same files; of a member that a kind does not ask, the file is empty.
`load` checks each digest before it parses a byte, and that the golden rows come out as they did where it was trained.
"""

from core.domain.forecast.blend import blend, log_odds, probabilities
from core.domain.forecast.kinds import KINDS, MEMBERS, Forecaster, Kind, asked
from core.domain.forecast.manifest import FILES, MANIFEST, BadModel, Manifest, Meta, Stacking, digest
from core.domain.forecast.model import Model, load

__all__ = [
    "FILES",
    "KINDS",
    "MANIFEST",
    "MEMBERS",
    "BadModel",
    "Forecaster",
    "Kind",
    "Manifest",
    "Meta",
    "Model",
    "Stacking",
    "asked",
    "blend",
    "digest",
    "load",
    "log_odds",
    "probabilities",
]
