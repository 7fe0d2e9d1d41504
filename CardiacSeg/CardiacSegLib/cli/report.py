"""What a command says, to people or to other programs.

Whatever goes to the standard error ends up in logs, so that the home folder is called ``~`` there; the result has paths
as they are.
"""

from __future__ import annotations

import sys
from typing import Any

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.events import EventWriter
from CardiacSegLib.jobs.privacy import without_home


class Report:
    """What a command says: events, one JSON object a line, or a progress bar and lines for people."""

    def __init__(self, as_events: bool) -> None:
        self._events = EventWriter(sys.stdout) if as_events else None
        self._bar: Any = None
        self._shown: dict[str, Any] = {}

    def stage(self, name: str, text: str) -> None:
        self._finish_bar()
        if self._events:
            self._events.stage(name, text)
        elif sys.stderr.isatty():
            print(without_home(text), file=sys.stderr)

    def progress(self, fraction: float, seconds_left: float | None = None, **fields: Any) -> None:
        if self._events:
            self._events.progress(fraction, seconds_left, **fields)
            return
        if self._bar is None:
            from tqdm import tqdm

            # tqdm knows whether it writes to a terminal, and shows nothing where it does not.
            self._bar = tqdm(total=100, disable=None, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}")
        self._shown.update({name: _brief(value) for name, value in fields.items() if name != "text"})
        self._bar.set_postfix_str(", ".join(f"{name} {value}" for name, value in self._shown.items()), refresh=False)
        self._bar.update(100 * fraction - self._bar.n)
        if fraction >= 1:
            self._finish_bar()

    def result(self, text: str, /, **fields: Any) -> None:
        self._finish_bar()
        if self._events:
            self._events.result(**fields)
        else:
            print(text)

    def stopped(self, text: str) -> None:
        self._finish_bar()
        if self._events:
            self._events.stopped()
        else:
            print(text)

    def warn(self, text: str) -> None:
        self._finish_bar()
        if self._events:
            self._events.log(text)
        else:
            print(f"cardiacseg: {without_home(text)}", file=sys.stderr)

    def error(self, error: CardiacSegError) -> None:
        self._finish_bar()
        if self._events:
            self._events.error(error)
        print(f"cardiacseg: {without_home(str(error))}", file=sys.stderr)

    def _finish_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _brief(value: Any) -> str:
    """A value as a progress bar shows it."""
    return " ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else str(value)
