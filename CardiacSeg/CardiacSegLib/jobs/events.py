"""Events: what a process says about its work, one JSON object a line.

Every event has ``"event"`` (its kind) and ``"time"`` (seconds since the epoch). The kinds and their other fields:

======== ==================================================================
stage    ``name`` (for programs), ``text`` (for people)
progress ``fraction`` (0 to 1), and where known ``seconds_left`` and ``text``
log      ``text``
result   whatever the request promised
stopped  nothing: the work ended as a person asked, before it was done; it can go on from there
error    ``type`` (of the exception), ``message``, ``hint``
======== ==================================================================

Event files stay on the disk and are passed on. So what is said in them for people calls the home folder ``~``
(:mod:`CardiacSegLib.jobs.privacy`); a ``result`` alone has paths as they are: whoever asked has to find the files.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.privacy import without_home

Event = dict[str, Any]

#: What to try when an exception is not one that was written for the person.
_HINTS: Mapping[str, str] = {
    "MemoryError": "close other programs or choose a smaller volume",
    "OutOfMemoryError": "choose the CPU as device, or close what else uses the GPU",
    "ModuleNotFoundError": "install what CardiacSeg needs: press Segment in the panel, or run pip install",
}
_DEFAULT_HINT = "look at the log of the job; if it says nothing, report the problem with it"


class EventWriter:
    """Writes events to a text stream, each flushed at once so that whoever polls the file sees it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def stage(self, name: str, text: str) -> None:
        """Say which part of the work begins."""
        self._write("stage", name=name, text=text)

    def progress(
        self, fraction: float, seconds_left: float | None = None, text: str | None = None, **fields: Any
    ) -> None:
        """Say how far the work is: ``fraction`` from 0 to 1, ``seconds_left`` in seconds, ``fields`` such as a loss."""
        optional = {"seconds_left": seconds_left, "text": text, **fields}
        known = {name: value for name, value in optional.items() if value is not None}
        self._write("progress", fraction=min(max(float(fraction), 0.0), 1.0), **known)

    def log(self, text: str) -> None:
        """Pass a line on for the log."""
        self._write("log", text=text)

    def result(self, **fields: Any) -> None:
        """Say that the work is done, with what it gave."""
        self._write("result", has_paths=True, **fields)

    def stopped(self, **fields: Any) -> None:
        """Say that the work ended because it was asked to, and can go on later."""
        self._write("stopped", **fields)

    def error(self, exception: BaseException) -> None:
        """Say that the work failed, and why."""
        kind = type(exception).__name__
        # A CardiacSegError names its remedy in its message.
        hint = "" if isinstance(exception, CardiacSegError) else _HINTS.get(kind, _DEFAULT_HINT)
        self._write("error", type=kind, message=str(exception) or kind, hint=hint)

    def _write(self, event: str, /, has_paths: bool = False, **fields: Any) -> None:
        told = _plain({"event": event, "time": time.time(), **fields}, str if has_paths else without_home)
        line = json.dumps(told, ensure_ascii=False, allow_nan=False)
        self._stream.write(line + "\n")
        self._stream.flush()


class Listener(Protocol):
    """Who is told how a long work goes: an event file, a progress bar, or several of them."""

    def stage(self, name: str, text: str) -> None: ...

    def progress(self, fraction: float, seconds_left: float | None = None, **fields: Any) -> None: ...


class Listeners:
    """Passes on to each of several listeners what it is told."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def stage(self, name: str, text: str) -> None:
        for listener in self._listeners:
            listener.stage(name, text)

    def progress(self, fraction: float, seconds_left: float | None = None, **fields: Any) -> None:
        for listener in self._listeners:
            listener.progress(fraction, seconds_left, **fields)


def _plain(value: Any, said: Callable[[str], str]) -> Any:
    """``value`` as JSON can hold it: NumPy numbers and arrays and paths are turned, NaN and infinity become null.

    Texts become what ``said`` makes of them.
    """
    if isinstance(value, Mapping):
        return {str(name): _plain(item, said) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, said) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), said)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return said(str(value))


def read_events(path: str | Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the events that were added to a file since the last look.

    A last line that is only half written stays for the next look. A line that is no event is skipped: a process that
    was killed and started again may leave a torn line behind.

    Args:
        path: the ``events.jsonl`` of a job; one that does not exist yet holds no events.
        offset: bytes already read, as an earlier call returned it.

    Returns:
        The new events, and the offset to give at the next call.
    """
    try:
        with Path(path).open("rb") as stream:
            stream.seek(offset)
            content = stream.read()
    except FileNotFoundError:
        return [], offset
    complete = content[: content.rfind(b"\n") + 1]
    parsed = (_parse(line) for line in complete.splitlines())
    return [event for event in parsed if event is not None], offset + len(complete)


class EventFile:
    """An event file that is followed while a process writes it.

    Args:
        path: the file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._waiting: list[Event] = []

    def look(self) -> list[Event]:
        """The events since the last look; they wait for :meth:`take` as well."""
        events, self._offset = read_events(self._path, self._offset)
        self._waiting += events
        return events

    def take(self) -> list[Event]:
        """The events that were seen since the last time they were taken."""
        events, self._waiting = self._waiting, []
        return events


def lines_beside_events(path: Path) -> str:
    """What stands in an event file and is no event: what libraries print to the same output."""
    try:
        lines = Path(path).read_bytes().splitlines(keepends=True)
    except OSError:
        return ""
    return b"".join(line for line in lines if line.strip() and _parse(line) is None).decode("utf-8", "replace")


def error_text(event: Event) -> str:
    """An error event as one line for a person."""
    return "; ".join(text for text in (event["message"], event.get("hint", "")) if text)


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
