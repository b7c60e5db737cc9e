"""How long a backtest of an EMA 20/50 cross takes as a whole process, against other engines in the same run.

CPU time and peak memory of fresh processes, over real bars (44,000), or over bars made of real ones' moves drawn with
replacement (any other count). Engines are looked for under --peers, an environment for each; --install makes those that
are absent there with pip. What cannot be installed, or fails, is said. vectorbt is no event-driven engine.

    python -m benchmarks.bench_backtest --peers var/peers --install
    python -m benchmarks.bench_backtest --peers var/peers --bars 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.bench_features import ROWS, SERIES, read
from core.adapters.files_market import to_parquet
from core.domain.bars import Bars

HERE: Final = Path(__file__).parent / "peers"
PEERS: Final = {
    "backtesting": "backtesting_py.py",
    "nautilus_trader": "nautilus.py",
    "backtrader": "backtrader_.py",
    "vectorbt": "vectorbt_.py",
    "zipline-reloaded": None,  # takes bars from a bundle and a calendar of days and minutes: no script of ours yet
    "freqtrade": None,  # asks an exchange for its markets before it starts: no script of ours yet
}
OURS: Final = "hourhand, as it is set"  # every default: what is compared
START: Final = 1_262_304_000  # 2010-01-01


@dataclass(frozen=True)
class Spent:
    cpu_s: float
    peak_mib: float
    said: dict[str, Any]


def bars(count: int) -> Bars:
    """The newest real ones on an unbroken grid; or as many as wanted, of their moves, each 15 minutes long."""
    real = Bars(*read(SERIES, "open", "high", "low", "close", "volume"))[-ROWS:]
    if count == len(real):
        return Bars(real.time[-1] - 3600 * np.arange(count, dtype=np.int64)[::-1], *real.columns()[1:])
    drawn = np.random.default_rng(1).integers(1, len(real), count)
    moves = np.log(real.close[1:] / real.close[:-1])
    close = 10_000.0 * np.exp(np.cumsum((moves - moves.mean())[drawn - 1]))
    opened = np.concatenate([[10_000.0], close[:-1]])
    high = np.maximum(np.maximum(opened, close), close * (real.high / real.close)[drawn])
    low = np.minimum(np.minimum(opened, close), close * (real.low / real.close)[drawn])
    time = START + 900 * np.arange(count, dtype=np.int64)
    opened, high, low, close = (np.round(column, 2) for column in (opened, high, low, close))
    return Bars(time, opened, high, low, close, real.volume[drawn])


def spent(command: list[str], timeout: float) -> Spent | str:
    """CPU seconds and peak of one process; why there are none."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        limit = subprocess.Popen(
            [sys.executable, "-c", f"import time, os; time.sleep({timeout}); os.kill({process.pid}, 9)"]
        )
        _, status, usage = os.wait4(process.pid, 0)
        limit.kill()
        limit.wait()
        out.seek(0), err.seek(0)
        lines, failed = out.read().decode().splitlines(), err.read().decode().strip().splitlines()
    if status or len(lines) < 2:
        return failed[-1] if failed else f"ended with {status}"
    return Spent(usage.ru_utime + usage.ru_stime, int(lines[-1]) / 1024, json.loads(lines[-2]))


def environment(folder: Path, name: str, install: bool) -> Path | str:
    """The interpreter of a peer's own environment, or why there is none."""
    python = folder / name / "bin" / "python"
    if not python.exists() and not install:
        return "not installed: --install"
    if not python.exists():
        wanted = next(line for line in (HERE / "requirements.txt").read_text().splitlines() if line.startswith(name))
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        made = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", wanted, "pandas", "pyarrow"],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            python.unlink()
            return f"cannot be installed here: {made.stderr.strip().splitlines()[-1]}"
    subprocess.run([str(python), "-m", "compileall", "-qq", str(folder / name / "lib")], check=False)
    return python


def sides(folder: Path, install: bool, file: str) -> dict[str, list[str] | str]:
    ours = [sys.executable, str(HERE / "run.py"), str(HERE / "ours.py"), file]
    found: dict[str, list[str] | str] = {"hourhand, as peers trade": [*ours, "as peers"]}
    found[OURS] = [*ours, "as set"]
    for name, script in PEERS.items():
        python = environment(folder, name, install) if script else "no script of ours"
        found[name] = (
            python
            if isinstance(python, str)
            else [str(python), "-W", "ignore", str(HERE / "run.py"), str(HERE / str(script)), file]
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, default=Path("var/peers"))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--bars", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of the clock for one process")
    given = parser.parse_args()
    if not SERIES.exists():
        print(f"bench_backtest: skipped, there are no real bars at {SERIES}")
        return 0
    subprocess.run([sys.executable, "-m", "compileall", "-qq", str(HERE.parents[1] / "core")], check=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bars.parquet"
        file.write_bytes(to_parquet(bars(given.bars)))
        best = measured(sides(given.peers.absolute(), given.install, str(file)), given.rounds, given.timeout)
    others = {name: found for name, found in best.items() if not name.startswith("hourhand")}
    if OURS not in best or not others:
        print("bench_backtest: nothing was compared; see above")
        return 1
    ours = best[OURS]
    ratios = {f"backtest_{name}_ratio": round(ours.cpu_s / found.cpu_s, 3) for name, found in others.items()}
    print(json.dumps(ratios | {"backtest_ratio": max(ratios.values())}))
    return 0


def measured(commands: dict[str, list[str] | str], rounds: int, timeout: float) -> dict[str, Spent]:
    """The best round of each; the sides take turns."""
    best: dict[str, Spent] = {}
    failed = {name: command for name, command in commands.items() if isinstance(command, str)}
    for _ in range(rounds):
        for name, command in commands.items():
            if isinstance(command, str) or name in failed:
                continue
            found = spent(command, timeout)
            if isinstance(found, str):
                failed[name] = found
            elif name not in best or found.cpu_s < best[name].cpu_s:
                best[name] = found
    for name, found in best.items():
        print(f"{name:26} {found.cpu_s:7.2f} s CPU  {found.peak_mib:6.0f} MiB  {found.said}", flush=True)
    for name, why in failed.items():
        print(f"{name:26} none: {why}", flush=True)
    return best


if __name__ == "__main__":
    sys.exit(main())
