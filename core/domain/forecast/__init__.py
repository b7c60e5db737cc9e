"""Forecast: one row of features in, one probability of going up out, from an artefact that is data and never code.

An artefact is a few files by name: `manifest.json`, three files of flat trees, and golden rows with their scores.
`load` checks each digest before it parses a byte, and that the golden rows come out as they did where it was trained.
"""

from core.domain.forecast.manifest import FILES, MANIFEST, BadModel, Manifest, Meta, Stacking, digest
from core.domain.forecast.model import MEMBERS, Model, load

__all__ = ["FILES", "MANIFEST", "MEMBERS", "BadModel", "Manifest", "Meta", "Model", "Stacking", "digest", "load"]
