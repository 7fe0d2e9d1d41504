"""A command of the engine in a process of its own, such as ``dataset FOLDER``, for whoever may not wait for it.

There are no threads: whoever follows a command polls it, in Slicer from a ``qt.QTimer``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from CardiacSegLib.files import make_folder
from CardiacSegLib.jobs.events import Event, EventFile, error_text, lines_beside_events
from CardiacSegLib.jobs.owned_folders import make_owned_folder
from CardiacSegLib.jobs.processes import death_text, end_process, engine_command, start_process, text_of

_CLOSING_SECONDS = 2.0


class EngineCommand:
    """One command that runs, or ran: ``EngineCommand.start(["dataset", str(folder)])``.

    Attributes:
        folder: holds ``events.jsonl`` and ``log.txt`` of the command.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, is_ours: bool) -> None:
        self.folder = folder
        self._process = process
        self._is_ours = is_ours
        self._file = EventFile(folder / "events.jsonl")
        self._result: Event | None = None
        self._error: Event | None = None
        self._was_killed = False

    @classmethod
    def start(cls, arguments: Sequence[str], folder: Path | None = None) -> EngineCommand:
        """Start ``cardiacseg ARGUMENTS`` and return at once.

        Args:
            arguments: the command with its options, without ``--events``.
            folder: gets its events and its log; one that :meth:`close` removes where None.

        Raises:
            CardiacSegError: where the process cannot be started or the folder cannot be written to.
        """
        chosen = Path(folder) if folder else make_owned_folder()
        make_folder(chosen)
        command = engine_command("cli", *map(str, arguments), "--events")
        process = start_process(command, chosen / "log.txt", chosen / "events.jsonl")
        return cls(process, chosen, is_ours=folder is None)

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the process, None while it runs: 0 all was done, 1 something was not, 2 the command line was wrong."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """All that was printed and is no event."""
        return lines_beside_events(self.folder / "events.jsonl") + text_of(self.folder / "log.txt")

    @property
    def result(self) -> Event | None:
        """The last result, None where there is none yet."""
        self._look()
        return self._result

    @property
    def error(self) -> str | None:
        """What went wrong, in one line: what the command said last, or how its process died; None where all is well."""
        exit_code = self.exit_code
        self._look()
        if self._error is not None:
            return error_text(self._error)
        if self._was_killed:
            return "the command was canceled"
        if exit_code and self._result is None:
            return death_text("the command", exit_code, self.log)
        return None

    def poll(self) -> list[Event]:
        """What the command has said since the last call."""
        self._look()
        return self._file.take()

    def kill(self) -> None:
        """End the process at once, and every process that it started."""
        self._was_killed |= self.is_running
        end_process(self._process)

    def close(self) -> None:
        """End the process, and remove the folder unless the caller named it."""
        self._was_killed |= self.is_running
        end_process(self._process, _CLOSING_SECONDS)
        if self._is_ours:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> EngineCommand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> None:
        for event in self._file.look():
            if event["event"] == "result":
                self._result = event
            elif event["event"] == "error":
                self._error = event
