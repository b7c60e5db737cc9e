"""One tick in one fresh process, as the function does it."""

from __future__ import annotations

import sys
from datetime import datetime

from benchmarks.peak import peak_kib
from core.flows.tick import tick
from core.wiring import app_of_function

if __name__ == "__main__":
    app = app_of_function()
    book = app.books[0]
    answer = tick(app.world(book.id), book, datetime.fromisoformat(sys.argv[1]))
    print(peak_kib())
    sys.exit(0 if answer["outcome"] in ("traded", "held", "stayed_out") else f"not a tick: {answer}")
