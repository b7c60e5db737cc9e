"""One guard in one fresh process, as the function does it; and, as a script of its own, beside one tick.

python -m benchmarks.cold_guard TIME     one run; its peak memory in KiB
python -m benchmarks.bench_guard         guard and tick in turn, and their ratio
"""

from __future__ import annotations

import sys
from datetime import datetime

from benchmarks.peak import peak_kib
from core.flows.guard import guard
from core.wiring import app_of_function

if __name__ == "__main__":
    app = app_of_function()
    book = app.books[0]
    answer = guard(app.world(book.id), book, datetime.fromisoformat(sys.argv[1]), app.settings.guard.overdue_s)
    print(peak_kib())
    sys.exit(0 if answer["outcome"] == "done" else f"not a guard: {answer}")
