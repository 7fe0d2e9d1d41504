"""Qt's own event loop in a test: letting it run until something is so, and seeing how long it is blocked."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager

import qt

PATIENCE = 120
#: The longest that the event loop may be blocked, in seconds.
BLOCKED = 0.1
#: Another program may take the processor at any moment: the best of so many attempts counts.
ATTEMPTS = 3


class Heartbeat:
    """Notes how far apart the ticks of a timer are while the application runs."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.setInterval(2)
        self._timer.connect("timeout()", self._tick)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now

    @contextmanager
    def listening(self):
        self._last = time.perf_counter()
        self._timer.start()
        yield self
        self._tick()
        self._timer.stop()


def run_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Let Qt's own event loop run, as the application does, until a condition holds."""
    loop, timer = qt.QEventLoop(), qt.QTimer()
    end = time.monotonic() + seconds
    timer.setInterval(10)
    timer.connect("timeout()", lambda: loop.quit() if condition() or time.monotonic() > end else None)
    timer.start()
    loop.exec()
    timer.stop()
    assert condition(), f"not so after {seconds} s"


def best_of(attempt: Callable[[], float], enough: float) -> float:
    """The best of several attempts; no more are made once one is good enough."""
    best = attempt()
    for _ in range(ATTEMPTS - 1):
        if best > enough:
            best = min(best, attempt())
    return best
