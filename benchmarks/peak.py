"""The most memory that this process has ever held, by its own account."""

from __future__ import annotations

from pathlib import Path


def peak_kib() -> int:
    """VmHWM, in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
