"""Processes of the engine: how one is started, how it is ended with all that it started, how it is recognized later.

Nothing here waits for long, and nothing runs beside who starts a process. psutil is imported where it is used: in
Slicer it may be missing until the first installation, and then the system's own means have to do.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing

_LAST_LINES = 5
#: How long the end of a killed process is waited for; one that takes longer is collected later.
_PATIENCE = 0.05
#: The system says when a process began relative to its own start, which moves a little as its clock is set.
_SAME_START = 2.0

#: Tells a process who started it.
_STARTED_BY = "CARDIACSEG_STARTED_BY"

_ending: list[subprocess.Popen[bytes]] = []


def python_program() -> str:
    """The Python that can run the engine."""
    # In a packaged Slicer sys.executable is the application itself.
    return shutil.which("PythonSlicer") or sys.executable


def engine_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of CardiacSegLib in a process of its own."""
    return [python_program(), "-m", f"CardiacSegLib.{module}", *arguments]


def engine_environment() -> dict[str, str]:
    """The environment of such a process: this one, in which CardiacSegLib is found and output is complete UTF-8."""
    environment = dict(os.environ)
    paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["PYTHONUNBUFFERED"] = "1"
    environment[_STARTED_BY] = str(os.getpid())
    return environment


def end_with_starter(look_every: float = 1.0) -> None:
    """End this process soon after the one that started it is gone, however: killed, crashed, or just over.

    For what nobody waits for then. The end of the standard input tells the same, but only to who reads it, and not in
    the middle of a long piece of work. Where nothing says who started this process, or psutil is missing, it goes on.

    Args:
        look_every: seconds between two looks.
    """
    psutil, pid = psutil_or_none(), os.environ.get(_STARTED_BY, "")
    if psutil is None or not pid.isdigit():
        return
    try:
        # Not the parent: Slicer's Python has its launcher for one, which does not end with Slicer.
        starter = ProcessMark(int(pid), psutil.Process(int(pid)).create_time(), socket.gethostname())
    except psutil.NoSuchProcess:
        os._exit(0)
    threading.Thread(target=_end_after, args=(starter, look_every), daemon=True).start()


def _end_after(starter: ProcessMark, look_every: float) -> None:
    while starter.is_alive() is not False:
        time.sleep(look_every)
    os._exit(0)


def start_process(
    command: Sequence[str], log: Path, output: Path | None = None, *, append: bool = False, asked: bool = False
) -> subprocess.Popen[bytes]:
    """Start a process without a window, at the head of its own group, so that it outlives this one.

    Args:
        command: the program and its arguments.
        log: gets what it prints.
        output: gets its standard output instead, where given.
        append: keep what these files hold.
        asked: whether its standard input is a pipe for requests; else it has none.

    Raises:
        CardiacSegError: where it cannot be started or a file cannot be written.
    """
    collect_ended()
    try:
        with ExitStack() as files:
            error_stream = files.enter_context(_opened(log, append))
            stream = files.enter_context(_opened(output, append)) if output else error_stream
            return subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=stream,
                stderr=error_stream,
                env=engine_environment(),
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
    except OSError as error:
        raise CardiacSegError(f"{command[0]} cannot be started: {error}; check the installation") from error


def _opened(path: Path, append: bool) -> BinaryIO:
    if not append:
        path.write_bytes(b"")
    return path.open("ab")  # of two processes with the same log none writes over what the other said


def end_process(process: subprocess.Popen[bytes], patience: float = _PATIENCE) -> None:
    """End a process of :func:`start_process` with all that it started; returns even where one is slow to go.

    Args:
        patience: how many seconds to wait for it at most.
    """
    if process.poll() is None:
        kill_tree(process.pid)
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        collect_later(process)


def collect_later(process: subprocess.Popen[bytes]) -> None:
    """Ask after a process again when the next one is started; until then the system keeps what is left of it."""
    _ending.append(process)


def collect_ended() -> None:
    """Ask after processes that were slow to go, so that the system can forget them."""
    _ending[:] = [process for process in _ending if process.poll() is None]


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, without waiting for their ends."""
    psutil = psutil_or_none()
    if psutil is None and sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(pid)]
        subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
        return
    family = _family(psutil, pid) if psutil else []
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            # The group has those, too, whose parents are gone; the family those that left the group.
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)
    for member in family:
        with suppress(psutil.Error):
            member.kill()


def _family(psutil: Any, pid: int) -> list[Any]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def psutil_or_none() -> Any:
    """The library; None where it is not installed, as in a Slicer before the first installation."""
    try:
        return importlib.import_module("psutil")
    except ImportError:
        return None


def death_text(name: str, exit_code: int, printed: str) -> str:
    """One line about a process that ended without a word: its exit code, a remedy, and its last lines.

    Args:
        name: what to call the process.
        printed: all that it printed.
    """
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    said = " | ".join(lines[-_LAST_LINES:]) or "it printed nothing"
    # A negative one is a signal: mostly the system's, for want of memory.
    remedy = "close other programs and try again" if exit_code < 0 else "try again"
    return f"{name} ended with exit code {exit_code}; {remedy}. It last said: {said}"


def text_of(path: Path) -> str:
    """What a file holds that a process may still be writing; nothing where it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@dataclass(frozen=True)
class ProcessMark:
    """What tells one process from all others.

    Attributes:
        pid: its number, which another process gets when it is gone.
        started: when it began, in seconds since the epoch.
        host: the computer that it runs on.
    """

    pid: int
    started: float
    host: str

    @classmethod
    def of_this_process(cls) -> ProcessMark:
        """The process that asks."""
        psutil = psutil_or_none()
        started = psutil.Process().create_time() if psutil else time.time()
        return cls(os.getpid(), started, socket.gethostname())

    @property
    def is_here(self) -> bool:
        """Whether it belongs to this computer."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool | None:
        """Whether the process runs; None where this cannot be known: on another computer, or without psutil."""
        psutil = psutil_or_none()
        if not self.is_here or psutil is None:
            return None
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < _SAME_START
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return None

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> ProcessMark | None:
        """What :meth:`write` wrote; None where there is no such file or it holds something else."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(values["pid"]), float(values["started"]), str(values["host"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
