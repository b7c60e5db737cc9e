"""What a serving function installs: requirements.txt in an environment of its own, bytecode counted as well."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = {"pip", "setuptools", "_distutils_hack", "pkg_resources"}


def mebibytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(ROOT / "requirements.txt")], check=True, stderr=subprocess.DEVNULL)
        subprocess.run([str(python), "-m", "compileall", "-qq", folder], check=False)
        (site,) = Path(folder).glob("lib/python*/site-packages")
        sizes = {part.name: mebibytes(part) for part in site.iterdir() if part.is_dir()}
    kept = {name: size for name, size in sizes.items() if name.partition("-")[0] not in TOOLS}
    for name, size in sorted(kept.items(), key=lambda item: -item[1])[:8]:
        print(f"{name:24} {size:6.1f} MiB")
    print(json.dumps({"serving_mb": round(sum(kept.values()) * 2**20 / 1e6, 1)}))


if __name__ == "__main__":
    main()
