"""Runs a script as the main program, and then says the most memory (KiB) that the process has held by its own account:
what the operating system tells of a child counts what its parent held when it was made."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
