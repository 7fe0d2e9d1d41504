"""Training runs as the panel sees them: a run is its folder, whoever started it and whether or not it still lives.

There are no threads: whoever follows a run polls it, in Slicer from a ``qt.QTimer``.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder
from CardiacSegLib.jobs.events import Event, EventFile, error_text
from CardiacSegLib.jobs.processes import (
    ProcessMark,
    collect_later,
    death_text,
    end_process,
    engine_command,
    kill_tree,
    start_process,
)
from CardiacSegLib.jobs.run_folder import (
    EVENTS,
    LOG,
    PROCESS,
    ask_to_stop,
    is_asked_to_stop,
    is_at_work,
    last_change,
    take_back_stop,
)

#: The last word of a process, and the state of the run after it.
_WORDS = {"result": "finished", "error": "failed", "stopped": "stopped"}
#: The states of a run at which a process works.
GOES_ON = ("starting", "running", "stopping")
#: So long a folder that holds nothing but an empty log may be that of a run that another process is just starting.
_STARTING_SECONDS = 60.0
#: How much of the end of a log is read for its last lines.
_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class _Started:
    """A process that this one started for a run."""

    process: subprocess.Popen[bytes]
    at: float


#: By the folder of the run: several objects may look at one folder.
_started: dict[Path, _Started] = {}


class TrainingRun:
    """A run, known by its folder.

    Each property says how the run stood when it was last looked at: when the object was made, at the last
    :meth:`poll`, or when :attr:`state` was last asked for.

    Args:
        folder: of the run.

    Attributes:
        folder: absolute.
        fraction: share of the present stage that is done, 0 to 1; None where unknown.
        seconds_left: of the training, estimated; None where unknown, as while cases are read or scored.
        stage: what is being done, for people; "" before the first word.
        loss: of the last step that was told of, or None.
        dice: of each structure in the last validation, by name; empty before the first.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.fraction: float | None = None
        self.seconds_left: float | None = None
        self.stage = ""
        self.loss: float | None = None
        self.dice: Mapping[str, float] = {}
        self._file = EventFile(self.folder / EVENTS)
        self._last: Event | None = None
        self._look()

    @classmethod
    def start(cls, arguments: Sequence[str], folder: str | Path) -> TrainingRun:
        """Start ``cardiacseg train ARGUMENTS --output FOLDER`` in a process that outlives this one.

        Args:
            arguments: the configuration as the command line takes it.
            folder: of the run; made where it does not exist.

        Raises:
            CardiacSegError: where the folder holds a run already, or the process cannot be started. What is wrong with
                the arguments is told by :attr:`error`.
        """
        run = cls(folder)
        if (run.folder / EVENTS).exists() or run._is_alive():
            raise CardiacSegError(f"{run.folder}: holds a run already; go on with it, or name another folder")
        make_folder(run.folder)
        run._begin([*map(str, arguments), "--output", str(run.folder)], append=False)
        return run

    def resume(self) -> None:
        """Go on from the last checkpoint, in a process that outlives this one.

        Raises:
            CardiacSegError: where the run is at work, or the process cannot be started.
        """
        # One that has said its last word may take a moment longer to end; it does nothing more in the folder.
        if self.is_alive:
            raise CardiacSegError(f"{self.folder}: the run is at work; stop it before it can go on")
        self._begin(["--resume", str(self.folder)], append=True)

    def poll(self) -> list[Event]:
        """What the run has said since the last call; the first one gives all that it ever said."""
        self._look()
        return self._file.take()

    @property
    def state(self) -> str:
        """How the run stands now.

        ``starting`` (its process has not said anything yet), ``running``, ``stopping`` (asked to, not done yet),
        ``stopped`` (as it was asked), ``finished`` (there is a bundle), ``failed`` (:attr:`error` says why) or
        ``interrupted`` (its process is gone without a last word: killed, or the computer went down). A run on another
        computer cannot be asked after: it counts as alive until its files were still for ten minutes.
        """
        alive = self._is_alive()  # before the events are read: what a process wrote before it ended is not missed
        self._look()
        word = self._word()
        if word is not None:
            is_interrupt = word.get("type") == "KeyboardInterrupt"
            return "interrupted" if is_interrupt else _WORDS[word["event"]]
        if alive:
            return self._state_of_living()
        if self._exit_without_claim() or self._began_badly():
            return "failed"
        return "interrupted"

    @property
    def error(self) -> str | None:
        """Why the run failed or was interrupted, in one line; None in any other state."""
        state = self.state
        if state not in ("failed", "interrupted"):
            return None
        word = self._word()
        if word is not None and state == "failed":
            return error_text(word)
        tail = self.log_tail(20)
        exit_code = self._exit_code()
        if exit_code is not None:
            return death_text("the training", exit_code, tail)
        said = " | ".join(line.strip() for line in tail.splitlines()[-5:] if line.strip())
        remedy = "it can go on from its last checkpoint" if state == "interrupted" else "start it again"
        return f"the training ended without a last word; {remedy}" + (f". It last said: {said}" if said else "")

    @property
    def is_alive(self) -> bool:
        """Whether a process works at the run."""
        return self.state in GOES_ON

    @property
    def name(self) -> str:
        """Of the model, as the configuration has it, or of the folder."""
        try:
            return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))["name"] or self.folder.name
        except (OSError, ValueError, KeyError, TypeError):
            return self.folder.name

    @property
    def latest_picture(self) -> Path | None:
        """Of held-out cases with what the network draws in them, None before the first."""
        return max(self.folder.glob("pictures/step_*.png"), default=None)

    @property
    def bundle(self) -> Path | None:
        """The folder of the finished model, None before the run is finished."""
        word = self._word()
        folder = self.folder / word["bundle"] if word and word["event"] == "result" else None
        return folder if folder and folder.is_dir() else None

    def history(self) -> list[dict[str, float]]:
        """The measures of each validation, by the columns of ``metrics.csv``; a value that is missing is NaN."""
        try:
            with (self.folder / "metrics.csv").open(encoding="utf-8", newline="") as stream:
                return [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(stream)]
        except OSError:
            return []

    def log_tail(self, lines: int = 200) -> str:
        """The last lines that the processes of the run printed."""
        try:
            with (self.folder / LOG).open("rb") as stream:
                stream.seek(max(0, stream.seek(0, 2) - _TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """Ask the run to save what it has and to end; :meth:`resume` goes on exactly from there.

        It ends after its present step, or once its cases are read. One that is already being scored finishes.
        """
        if self.is_alive:
            ask_to_stop(self.folder)

    def kill(self) -> None:
        """End the run at once, with all its processes; it can go on from its last checkpoint.

        Raises:
            CardiacSegError: where it is at work on another computer.
        """
        mark = ProcessMark.read(self.folder / PROCESS)
        if mark and not mark.is_here and is_at_work(self.folder, mark):
            raise CardiacSegError(f"{self.folder}: the run is at work on {mark.host}; stop it, or kill it there")
        if mark and mark.is_alive():
            kill_tree(mark.pid)
        started = _started.get(self.folder)
        if started:
            end_process(started.process)

    def _begin(self, arguments: Sequence[str], append: bool) -> None:
        take_back_stop(self.folder)
        at = time.time()
        command = engine_command("cli", "train", *arguments)
        process = start_process(command, self.folder / LOG, append=append)
        before = _started.get(self.folder)
        if before:
            collect_later(before.process)
        _started[self.folder] = _Started(process, at)
        self.fraction = self.seconds_left = None
        self.stage = ""

    def _look(self) -> None:
        for event in self._file.look():
            self._last = event
            if event["event"] == "stage":
                self.stage = event["text"]
                self.fraction = self.seconds_left = None
            elif event["event"] == "progress":
                self._progress(event)
            elif event["event"] == "result":
                self.fraction, self.seconds_left = 1.0, None

    def _progress(self, event: Event) -> None:
        self.fraction = event["fraction"]
        self.seconds_left = event.get("seconds_left")
        self.loss = event.get("loss", self.loss)
        self.dice = event.get("dice", self.dice)

    def _is_alive(self) -> bool:
        started = _started.get(self.folder)
        if started and started.process.poll() is None:
            return True
        mark = ProcessMark.read(self.folder / PROCESS)
        if mark is not None:
            return is_at_work(self.folder, mark)
        return started is None and self._may_be_starting()

    def _may_be_starting(self) -> bool:
        """Whether the folder is that of a run that another process has started and that has not yet come to speak."""
        log = self.folder / LOG
        if self._last is not None or not log.is_file():
            return False
        status = log.stat()
        return status.st_size == 0 and time.time() - status.st_mtime < _STARTING_SECONDS

    def _state_of_living(self) -> str:
        if is_asked_to_stop(self.folder):
            return "stopping"
        has_spoken = self._last is not None and self._last["time"] >= self._since()
        return "running" if has_spoken else "starting"

    def _since(self) -> float:
        """When the latest process of the run began; what was said before was another's."""
        started, mark = _started.get(self.folder), ProcessMark.read(self.folder / PROCESS)
        # The clock of another computer may stand anywhere.
        times = [started.at if started else 0.0, mark.started if mark and mark.is_here else 0.0]
        return max(times)

    def _word(self) -> Event | None:
        """The last word of the latest process; None while it has not said one."""
        last = self._last
        return last if last and last["event"] in _WORDS and last["time"] >= self._since() else None

    def _exit_code(self) -> int | None:
        started = _started.get(self.folder)
        return started.process.poll() if started else None

    def _exit_without_claim(self) -> bool:
        """Whether a process of ours ended with an error before it began to work in the folder."""
        started, mark = _started.get(self.folder), ProcessMark.read(self.folder / PROCESS)
        has_claimed = bool(started and mark and mark.started >= started.at)
        return (self._exit_code() or 0) > 0 and not has_claimed

    def _began_badly(self) -> bool:
        """Whether a process of which nothing else is left complained in its log."""
        has_mark = (self.folder / PROCESS).exists()
        return self._last is None and not has_mark and self._exit_code() is None and bool(self.log_tail(1))


def find_runs(parent: str | Path) -> list[TrainingRun]:
    """The runs whose folders lie directly in a folder, the one last heard from first; none where it does not exist."""
    try:
        folders = [path for path in Path(parent).iterdir() if path.is_dir() and _is_run(path)]
    except OSError:
        return []
    return [TrainingRun(folder) for folder in sorted(folders, key=last_change, reverse=True)]


def _is_run(folder: Path) -> bool:
    has_begun = (folder / EVENTS).exists() and (folder / "config.json").exists()
    return has_begun or (folder / PROCESS).exists() or folder.resolve() in _started


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
