"""The folder of a training run as processes share it: which process works in it, and that it is asked to stop.

``process.json`` names the process that works in the folder, for as long as it does; the file ``stop`` asks it to stop.
``process.lock`` is there for the moment in which a process says that it is the one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.processes import ProcessMark

EVENTS = "events.jsonl"
LOG = "log.txt"
PROCESS = "process.json"
STOP = "stop"
_LOCK = "process.lock"

#: A run on another computer counts as alive until its folder has been still for so many seconds: longer than reading
#: or scoring many cases takes between two events, shorter than a person waits.
QUIET_SECONDS = 600.0
#: The lock is held for milliseconds; who waits longer has a disk that keeps no locks.
_MOST_WAITING = 20.0


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Be the one process that works in the folder of a run.

    Raises:
        CardiacSegError: where another one does.
    """
    file, mark = run / PROCESS, ProcessMark.of_this_process()
    with _one_at_a_time(run):
        other = ProcessMark.read(file)
        if other and other != mark and is_at_work(run, other):
            raise CardiacSegError(
                f"{run}: process {other.pid} on {other.host} is at work in it; stop that one first, or, if it is "
                f"gone, remove {PROCESS}"
            )
        mark.write(file)
    _forget_stop(run, before=mark.started)
    try:
        yield
    finally:
        if ProcessMark.read(file) == mark:
            file.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(run: Path) -> Iterator[None]:
    """Of two processes that look into a folder at once, let one look and write before the other looks."""
    from filelock import FileLock  # not at the top: the panel looks at runs before it is installed

    lock = FileLock(run / _LOCK)
    try:
        lock.acquire(timeout=_MOST_WAITING)
    except OSError as error:
        raise CardiacSegError(
            f"{run}: cannot be claimed ({error.strerror or error}); choose a folder on another disk, or remove {_LOCK}"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            (run / _LOCK).unlink()  # while it is held: who waits for it then sees that it is gone, and makes another
        lock.release()


def _forget_stop(run: Path, before: float) -> None:
    """Take back a stop that was asked of an earlier process, and not one asked while this one was starting."""
    with suppress(FileNotFoundError):
        if (run / STOP).stat().st_mtime < before:
            (run / STOP).unlink()


def is_at_work(run: Path, mark: ProcessMark) -> bool:
    """Whether the process that ``process.json`` names still works in the folder.

    Where the process itself cannot be asked after, on another computer or without psutil, its traces decide: it is
    taken for alive while its files have changed within :data:`QUIET_SECONDS`.
    """
    alive = mark.is_alive()
    return time.time() - last_change(run) < QUIET_SECONDS if alive is None else alive


def last_change(run: Path) -> float:
    """When a run's folder last heard from its process, in seconds since the epoch; 0 where it never did."""
    times = [0.0]
    for name in (EVENTS, LOG, PROCESS):
        with suppress(OSError):
            times.append((run / name).stat().st_mtime)
    return max(times)


def ask_to_stop(run: Path) -> None:
    """Ask the process that works in a folder to save what it has and to end."""
    (run / STOP).touch()


def is_asked_to_stop(run: Path) -> bool:
    """Whether :func:`ask_to_stop` was called."""
    return (run / STOP).exists()


def take_back_stop(run: Path) -> None:
    """Make :func:`ask_to_stop` undone, or done with."""
    (run / STOP).unlink(missing_ok=True)
