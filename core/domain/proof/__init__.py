"""Proofs: that no feature, decision, label or window of training knows what could not be known. See docs/proofs.md."""

from __future__ import annotations

from core.domain.proof.findings import Finding, Part, Proof, Shuffled, proof
from core.domain.proof.learning import labels, purged, shuffled
from core.domain.proof.points import Sources, points, spread
from core.domain.proof.rows import Compute, Subject, features
from core.domain.proof.strategy import DecideOn, decisions
from core.domain.splits import Bar as Ends

__all__ = [
    "Compute",
    "DecideOn",
    "Ends",
    "Finding",
    "Part",
    "Proof",
    "Shuffled",
    "Sources",
    "Subject",
    "decisions",
    "features",
    "labels",
    "points",
    "proof",
    "purged",
    "shuffled",
    "spread",
]
