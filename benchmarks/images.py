"""What the functions' container images hold: their packages, installed into a folder as the build does, and packed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.metered import ROOT


def images() -> dict[str, Any]:
    """Megabytes of the packages of a serving function and of training, packed as a layer is; and seconds to install."""
    with tempfile.TemporaryDirectory() as folder:
        return _packages("serve", Path(folder)) | _packages("train", Path(folder))


def _packages(archive: str, folder: Path) -> dict[str, Any]:
    name = {"serve": "requirements.txt", "train": "requirements-train.txt"}[archive]
    target, start = folder / archive, time.perf_counter()
    command = ["pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(target), "-r", name]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    took, size = time.perf_counter() - start, sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    layer = folder / f"{archive}.tar.gz"
    with tarfile.open(layer, "w:gz", compresslevel=6) as packed:
        packed.add(target, arcname=archive)
    return {
        f"{archive}_mb": round(size / 1e6),
        f"{archive}_packed_mb": round(layer.stat().st_size / 1e6),
        f"{archive}_install_s": round(took),
    }
