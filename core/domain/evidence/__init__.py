"""Evidence: how sure one may be of what a run made."""

from core.domain.evidence.track import Track

__all__ = ["Track"]
