"""Fixtures that every test may ask for, and how hypothesis runs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.emulators import firestore_emulator, pubsub_emulator, storage_emulator

__all__ = ["firestore_emulator", "pubsub_emulator", "storage_emulator"]

# The machine's speed is nobody's promise, and a fixture that outlives an example is meant to.
settings.register_profile(
    "house",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")
