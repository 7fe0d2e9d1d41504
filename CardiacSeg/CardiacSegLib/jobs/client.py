"""The other side of the worker: starts it, asks it, reads what it says, ends it.

Whoever waits polls: in Slicer a ``qt.QTimer``, in a script :meth:`WorkerClient.wait`. There are no threads, because in
Slicer's embedded Python a thread gets almost no time while the event loop idles.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES, Structure
from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.events import Event, read_events

_POLL_SECONDS = 0.02
_LAST_LINES = 5


class WorkerClient:
    """Asks a worker process to segment; one job at a time.

    The process starts with the first job and stays for those that follow. One that died is replaced at the next job.
    A client can be handed on as the segmenter of :class:`CardiacSegLib.mrml.segmentations.SegmentationLogic`.

    Args:
        model: name or folder of the bundle to use where a job does not name another.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``, likewise.
        command: starts the worker; in Slicer PythonSlicer, elsewhere this Python where None.
    """

    def __init__(self, model: str = DEFAULT_MODEL, device: str = "auto", command: Sequence[str] | None = None) -> None:
        self.model = model
        self.device = device
        self.convention: Mapping[str, int] = CANONICAL
        self._command = list(command) if command else worker_command()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="CardiacSeg-"))
        self._job: Path | None = None
        self._job_count = 0
        self._offset = 0
        self._outcome: Event | None = None
        # Where nobody closes the client, the worker ends by itself: its standard input does.
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def structures(self) -> Sequence[Structure]:
        """The structures that the labels hold."""
        return [STRUCTURES[name] for name in self.convention]

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None and self._outcome is None

    @property
    def process_id(self) -> int | None:
        """Of the worker, None where none runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> str:
        """All that the worker printed during the last job, or before the first."""
        files = [self._folder / "log.txt"] + ([self._job / "log.txt"] if self._job else [])
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.exists())

    def submit(
        self, array: np.ndarray, affine: np.ndarray, model: str | None = None, device: str | None = None
    ) -> Path:
        """Ask for a segmentation and return at once.

        Args:
            array: image (I, J, K), or a cine (I, J, K, T).
            affine: (4, 4), voxel indices to RAS millimeters.
            model: name or folder of the bundle; that of the client where None.
            device: that of the client where None.

        Returns:
            The folder of the job.

        Raises:
            CardiacSegError: where a job is under way or the worker cannot be started.
        """
        if self.is_busy:
            raise CardiacSegError("a segmentation is running; wait for it or cancel it first")
        job = self._new_job_folder()
        np.save(job / "image.npy", np.asarray(array))
        np.save(job / "affine.npy", np.asarray(affine, float))
        request = {"folder": str(job), "model": str(model or self.model), "device": device or self.device}
        self._send({"request": "segment", **request})
        self._job, self._offset, self._outcome = job, 0, None
        return job

    def poll(self) -> list[Event]:
        """What the worker has said since the last look.

        The last event of a job is a ``result`` or an ``error``.

        Raises:
            CardiacSegError: where the worker died, with its exit code and the last lines that it printed.
        """
        if self._job is None or not self.is_busy:
            return []
        # Asked before the file is read: what a process wrote before it ended is then not missed.
        exit_code = self._process.poll() if self._process else None
        events, self._offset = read_events(self._job / "events.jsonl", self._offset)
        for event in events:
            if event["event"] in ("result", "error"):
                self._outcome = event
        if self.is_busy and exit_code is not None:
            error = self._death(exit_code)
            self._outcome = {"event": "error", "time": time.time(), "message": str(error)}
            raise error
        return events

    def labels(self) -> np.ndarray:
        """The labels of the finished job, uint8 of the shape of the image, numbered by :attr:`convention`.

        Raises:
            CardiacSegError: where the job failed, with its reason, or is not finished.
        """
        if self._job is None or self._outcome is None:
            raise CardiacSegError("there is no finished segmentation; submit one and wait for it")
        if self._outcome["event"] == "error":
            raise CardiacSegError(error_text(self._outcome))
        self.convention = self._outcome["convention"]
        return np.load(self._job / self._outcome["file"], allow_pickle=False)

    def wait(self, timeout: float | None = None) -> np.ndarray:
        """Wait for the job and return its labels as :meth:`labels` does.

        Args:
            timeout: seconds after which to give up; never where None.

        Raises:
            CardiacSegError: where the job failed, the worker died or the time is over; in the last case the worker
                is ended.
        """
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        self.poll()
        while self.is_busy:
            if time.monotonic() > deadline:
                self.cancel()
                raise CardiacSegError(f"the segmentation took more than {timeout:g} s; allow more time")
            time.sleep(_POLL_SECONDS)
            self.poll()
        return self.labels()

    def segment(self, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Segment and wait: what the protocol of a segmenter asks for."""
        self.submit(array, affine)
        return self.wait()

    def cancel(self) -> None:
        """End the job at once, and with it the worker and every process that it started."""
        if self._process is not None:
            kill_tree(self._process)
            self._process = None
        if self.is_busy:
            self._outcome = {"event": "error", "time": time.time(), "message": "the segmentation was canceled"}

    def close(self) -> None:
        """End the worker and remove the folders of its jobs."""
        self.cancel()
        self._job = None
        self._finalizer()

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_job_folder(self) -> Path:
        if self._job is not None:
            shutil.rmtree(self._job, ignore_errors=True)
            self._job = None
        self._job_count += 1
        job = self._folder / f"job{self._job_count:04d}"
        job.mkdir()
        return job

    def _send(self, request: Mapping[str, str]) -> None:
        if self.process_id is None:
            self._process = self._start()
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            # It died at once; the next poll tells why.
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log.txt").open("wb") as log:
            try:
                return subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=worker_environment(),
                    # A group of its own, so that the whole tree can be ended.
                    start_new_session=True,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
            except OSError as error:
                raise CardiacSegError(
                    f"{self._command[0]} cannot be started: {error}; check the installation"
                ) from error

    def _death(self, exit_code: int) -> CardiacSegError:
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        said = " | ".join(lines[-_LAST_LINES:]) or "it printed nothing"
        # A negative one is a signal: mostly the system's, for want of memory.
        remedy = "close other programs and try again" if exit_code < 0 else "try again"
        return CardiacSegError(f"the worker ended with exit code {exit_code}; {remedy}. It last said: {said}")


def worker_command() -> list[str]:
    """The command that starts the worker."""
    # In a packaged Slicer sys.executable is the application itself.
    return [shutil.which("PythonSlicer") or sys.executable, "-m", "CardiacSegLib.jobs.worker"]


def worker_environment() -> dict[str, str]:
    """The environment of the worker: this one, in which it can import CardiacSegLib and its log is complete UTF-8."""
    environment = dict(os.environ)
    paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def error_text(event: Event) -> str:
    """An error event as one line for a person."""
    return "; ".join(text for text in (event["message"], event.get("hint", "")) if text)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started as the head of its own group, and all that it started."""
    if sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()
