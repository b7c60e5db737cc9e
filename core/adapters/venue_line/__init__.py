"""The line to a venue: every request that an exchange adapter makes through ccxt goes through one of these.

Reads are tried again; writes are sent once, and end in an answer, Refused (surely not done) or Unknown. The line keeps
to the venue's requests per second, stops knocking at a venue that is down, tells the kinds of trouble apart, and lets
no key, secret or signature into a message. ccxt's own retries and rate limiter are switched off.

Trading goes before watching: writes have a bucket of their own, so that no read ever uses up a write's turn, and a read
waits for its turn, or for its next try, without holding the line.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from core.adapters.venue_line.answers import item, name_of, number, stated
from core.adapters.venue_line.pace import Breaker, Bucket
from core.adapters.venue_line.trouble import AGAIN, DOWN, MEANING, UNSENT, Codes, Kind, Trouble, judge, listen
from core.ports import Calls, Clock, Unavailable

__all__ = ["NOT_SENT", "Codes", "Fault", "Kind", "Line", "Refused", "Unknown", "item", "name_of", "number", "stated"]

T = TypeVar("T")

NOT_SENT: Final = "not_sent"
PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
NEWEST: Final = 64  # requests whose duration is remembered
IDLE_S: Final = 3.0  # a connection that was idle for longer may be dead, and a write on it would end unknown


class Refused(Exception):
    """The venue did not do it: it said so by a `code` of its closed list of refusals, or the request surely never left
    (`code` is NOT_SENT). `said`: the sentence."""

    def __init__(self, code: str, said: str, kind: Kind = "refused") -> None:
        super().__init__(said)
        self.code, self.said, self.kind = code, said, kind


class Unknown(Exception):
    """No answer, or none that can be understood: it may or may not have been done. Never send it again blind."""

    def __init__(self, said: str, kind: Kind = "unparsable", code: str = "") -> None:
        super().__init__(said)
        self.said, self.kind, self.code = said, kind, code


class Fault(Unavailable):
    """A read that failed: `kind` of trouble, and the venue's `code` where it gave one."""

    def __init__(self, said: str, kind: Kind, code: str = "") -> None:
        super().__init__(said)
        self.said, self.kind, self.code = said, kind, code


class Line:
    """The one line to a venue over `exchange`, an object of ccxt's that nobody else calls. Thread-safe.

    `codes`: how this venue says no. `reads_per_s`, `writes_per_s`, and `..._per_min` where that is less: what it
    allows. A `call` asks the venue anew each time that it is made.
    """

    def __init__(
        self,
        exchange: Any,
        clock: Clock,
        codes: Codes,
        *,
        reads_per_s: int,
        writes_per_s: int,
        reads_per_min: int = 0,
        writes_per_min: int = 0,
        tries: int = 3,
    ) -> None:
        self.exchange, self._clock, self._codes, self._tries = exchange, clock, codes, tries
        self._reads = Bucket(clock, reads_per_s, reads_per_min)
        self._writes = Bucket(clock, writes_per_s, writes_per_min)
        self._breaker, self._lock = Breaker(clock), threading.RLock()
        self._used: datetime | None = None
        self._heard = listen(exchange)
        self._calls = Calls()
        exchange.fetch = self._timed(exchange.fetch)

    def calls(self) -> Calls:
        """Every request of this line, however it ended. It failed when there was trouble: anything but an answer or a
        plain refusal by a code of the venue's closed list. Seconds are by the clock of this line. Asks nobody, and
        waits for nobody."""
        return self._calls

    def read(self, call: Callable[[], T], what: str) -> T:
        """What `call` answers; tried again where that can help. Raises Fault, which is ports.Unavailable."""
        for attempt in range(self._tries):
            self._reads.take()
            with self._lock:
                if self._breaker.cooling():
                    raise self._fault(self._open(), what)
                answer, trouble = self._once(call, blank=False)
            if trouble is None:
                return answer
            if trouble.kind not in AGAIN or attempt + 1 == self._tries or self._breaker.cooling():
                raise self._fault(trouble, what)
            self._clock.sleep(random.uniform(0, min(PAUSE_S * 2**attempt, LONGEST_PAUSE_S)))
        raise AssertionError("the loop above returns or raises")

    def dated(self, call: Callable[[], T], what: str) -> tuple[T, datetime, str]:
        """As `read`; and when that was: by our clock, in the middle of the request; and by the answer's Date header,
        "" for none."""

        def asked() -> tuple[T, datetime, str]:
            start = self._clock.now()
            answer = call()
            return answer, start + (self._clock.now() - start) / 2, self._heard.date

        return self.read(asked, what)

    def write(self, call: Callable[[], T], what: str, *, blank: bool = False) -> T:
        """What `call` answers; made once at most. `blank`: an answer without content is this venue's yes.

        Raises Refused (not done, for certain) or Unknown. While the venue is down nothing is sent: only a read may find
        out that it is back.
        """
        self._writes.take()
        with self._lock:
            if not self._breaker.closed():
                raise Refused(NOT_SENT, self._sentence(self._open(), what), "open")
            answer, trouble = self._once(call, blank=blank)
        if trouble is None:
            return answer
        sentence = self._sentence(trouble, what)
        if trouble.kind in UNSENT:
            raise Refused(NOT_SENT, sentence, trouble.kind)
        if trouble.code and self._codes.refuses(trouble.code):
            raise Refused(trouble.code, sentence, trouble.kind)
        raise Unknown(sentence, trouble.kind, trouble.code)

    def _once(self, call: Callable[[], T], *, blank: bool) -> tuple[T, Trouble | None]:
        """The answer, or what went wrong. The exception itself, which may carry a signed address, ends here."""
        self._wake()
        self._heard.start(blank)
        answer: Any = None
        trouble: Trouble | None = None
        try:
            answer = call()
        except Exception as error:  # whatever ccxt raises: each kind is told apart
            trouble = judge(error, self._heard, self.exchange, self._codes)
        self._used = self._clock.now()
        self._note_failure(trouble)
        if self._heard.begun:
            self._breaker.note(failed=trouble is not None and trouble.kind in DOWN)
        return answer, trouble

    def _timed(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self._clock.now()
            try:
                return fetch(*args, **kwargs)
            finally:
                seconds = max((self._clock.now() - start).total_seconds(), 0.0)  # a clock may be set back
                made, failed, took = self._calls
                self._calls = Calls(made + 1, failed, (*took, seconds)[-NEWEST:])

        return timed

    def _note_failure(self, trouble: Trouble | None) -> None:
        plain = trouble is None or (trouble.kind == "refused" and self._codes.refuses(trouble.code))
        if self._heard.begun and not plain:
            self._calls = self._calls._replace(failed=self._calls.failed + 1)

    def _wake(self) -> None:
        """Drops connections that were idle for long, as after a function was frozen: one may be dead."""
        if self._used is not None and self._clock.now() - self._used > timedelta(seconds=IDLE_S):
            self.exchange.session.close()

    def _open(self) -> Trouble:
        return Trouble("open", said=self._breaker.said())

    def _fault(self, trouble: Trouble, what: str) -> Fault:
        return Fault(self._sentence(trouble, what), trouble.kind, trouble.code)

    def _sentence(self, trouble: Trouble, what: str) -> str:
        code = f" {trouble.code}" if trouble.code else ""
        return f"{self._codes.name}, {what}: {MEANING[trouble.kind]} [{trouble.kind}{code}: {trouble.said}]"
