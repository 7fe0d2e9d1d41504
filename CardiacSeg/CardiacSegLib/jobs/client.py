"""The other side of the worker: starts it, asks it, reads what it says, ends it.

Whoever waits polls: in Slicer a ``qt.QTimer``, in a script :meth:`WorkerClient.wait`. There are no threads, because in
Slicer's embedded Python a thread gets almost no time while the event loop idles.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.events import Event, error_text, read_events
from CardiacSegLib.jobs.owned_folders import make_owned_folder
from CardiacSegLib.jobs.processes import death_text, end_process, engine_command, start_process, text_of

_POLL_SECONDS = 0.02
#: Bytes of an image that are written before whoever submits it may do other things.
_WRITTEN_AT_ONCE = 4_000_000
#: How long closing waits for the worker to be gone, so that its files can be removed.
_CLOSING_SECONDS = 2.0
#: How often a job is sent, at most: again because the worker had ended before it began the job.
_MOST_SENDINGS = 3


class WorkerClient:
    """Asks a worker process to segment; one job at a time.

    The process starts with the first job, or with :meth:`warm_up`, and stays for those that follow. One that died, or
    that ended by itself because nobody asked it anything for long, is replaced at the next job.
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
        self._folder = make_owned_folder()
        self._job: Path | None = None
        self._folder_count = 0
        self._offset = 0
        self._outcome: Event | None = None
        self._request: Mapping[str, Any] = {}
        self._sendings = 0
        self._was_there = False
        self._warm_up: Path | None = None
        # Where nobody closes the client, the worker ends by itself: its standard input does.
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None and self._outcome is None

    @property
    def process_id(self) -> int | None:
        """Of the worker, None where none runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What made the labels of the finished job, as :class:`CardiacSegLib.inference.provenance.Provenance` tells it.

        {} where no job is finished.
        """
        return (self._outcome or {}).get("provenance", {})

    @property
    def log(self) -> str:
        """All that the worker printed during the last job, or before the first."""
        folders = [self._folder, *(folder for folder in (self._warm_up, self._job) if folder)]
        return "".join(text_of(folder / "log.txt") for folder in folders)

    def warm_up(self, model: str | None = None, device: str | None = None) -> None:
        """Start the worker and let it load a model, so that the first job finds it ready; return at once.

        What fails here is no error for the person: the next job tries again, and tells.

        Args:
            model, device: see :meth:`submit`.
        """
        if self.is_busy:
            return
        self._warm_up = self._new_folder("warm")
        with suppress(CardiacSegError):
            self._send({"request": "load", "folder": str(self._warm_up), **self._chosen(model, device)})

    def submit(
        self,
        array: np.ndarray,
        affine: np.ndarray,
        model: str | None = None,
        device: str | None = None,
        turns: int | None = None,
        cleanup: bool = True,
        doubt: bool = False,
    ) -> Path:
        """Ask for a segmentation and return at once.

        Args:
            array: image (I, J, K), or a cine (I, J, K, T).
            affine: (4, 4), voxel indices to RAS millimeters.
            model: name or folder of the bundle; that of the client where None.
            device: that of the client where None.
            turns: over how many turned copies of the image to average: 1, 2, 4 or 8; what the model says where None.
            cleanup: whether to keep one piece of each structure and to fill its holes.
            doubt: whether to ask, too, how sure the model is; see :meth:`doubt`.

        Returns:
            The folder of the job.

        Raises:
            CardiacSegError: where a job is under way or the worker cannot be started.
        """
        for _ in self.submit_in_pieces(array, affine, model, device, turns, cleanup, doubt):
            pass
        return self._job

    def submit_in_pieces(
        self,
        array: np.ndarray,
        affine: np.ndarray,
        model: str | None = None,
        device: str | None = None,
        turns: int | None = None,
        cleanup: bool = True,
        doubt: bool = False,
    ) -> Iterator[float]:
        """As :meth:`submit`, with the share of the image that is written: a panel lives on in between."""
        if self.is_busy:
            raise CardiacSegError("a segmentation is running; wait for it or cancel it first")
        if self._job is not None:
            shutil.rmtree(self._job, ignore_errors=True)
            self._job = None
        job = self._new_folder("job")
        yield from _write_array(job / "image.npy", np.asarray(array))
        np.save(job / "affine.npy", np.asarray(affine, float))
        chosen = {**self._chosen(model, device), "turns": turns, "cleanup": cleanup, "doubt": doubt}
        self._request, self._sendings = {"request": "segment", "folder": str(job), **chosen}, 1
        self._send(self._request)
        self._job, self._offset, self._outcome = job, 0, None

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
            if self._may_send_again(exit_code):
                self._send(self._request)
                return events
            error = self._death(exit_code)
            self._outcome = {"event": "error", "time": time.time(), "message": str(error)}
            raise error
        return events

    def labels(self) -> np.ndarray:
        """The labels of the finished job, uint8 of the shape of the image, numbered by :attr:`convention`.

        Raises:
            CardiacSegError: where the job failed, with its reason, or is not finished.
        """
        outcome = self._finished()
        self.convention = outcome["convention"]
        return np.load(self._job / outcome["file"], allow_pickle=False)

    def doubt(self) -> tuple[np.ndarray, list[dict[str, Any]]] | None:
        """How sure the model is of the labels of the finished job; None where the job did not ask for it.

        Returns:
            float32 of the shape of the image, 0 where the model is sure and 1 where it knows nothing; and for each
            frame, the one of a volume included, what :meth:`CardiacSegLib.inference.doubt.Doubt.fields` says.

        Raises:
            CardiacSegError: as :meth:`labels`.
        """
        told = self._finished().get("doubt")
        return None if told is None else (np.load(self._job / told["file"], allow_pickle=False), told["frames"])

    def _finished(self) -> Event:
        """What the worker said at the end of the job."""
        if self._job is None or self._outcome is None:
            raise CardiacSegError("there is no finished segmentation; submit one and wait for it")
        if self._outcome["event"] == "error":
            raise CardiacSegError(error_text(self._outcome))
        return self._outcome

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
        self._end_worker()
        if self.is_busy:
            self._outcome = {"event": "error", "time": time.time(), "message": "the segmentation was canceled"}

    def close(self) -> None:
        """End the worker and remove the folders of its jobs."""
        self._end_worker(_CLOSING_SECONDS)
        self._job = self._warm_up = None
        self._finalizer()

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chosen(self, model: str | None, device: str | None) -> dict[str, str]:
        return {"model": str(model or self.model), "device": device or self.device}

    def _new_folder(self, name: str) -> Path:
        self._folder_count += 1
        folder = self._folder / f"{name}{self._folder_count:04d}"
        folder.mkdir()
        return folder

    def _send(self, request: Mapping[str, Any]) -> None:
        self._was_there = self.process_id is not None
        if not self._was_there:
            self._start()
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            # It has just ended; the next poll tells why, or sends the job again.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSING_SECONDS)

    def _start(self) -> None:
        self._end_worker()
        self._process = start_process(self._command, self._folder / "log.txt", asked=True)

    def _end_worker(self, *patience: float) -> None:
        if self._process is not None:
            end_process(self._process, *patience)
        self._process = None

    def _may_send_again(self, exit_code: int) -> bool:
        """Whether the worker had ended just as the job came, so that it never began it.

        By itself for want of work, or because it was killed: memory may have been short, or somebody meant it. One that
        was started for this very job and died is not given it again.
        """
        self._sendings += 1
        had_ended = exit_code == 0 or self._was_there
        return had_ended and self._offset == 0 and self._sendings <= _MOST_SENDINGS

    def _death(self, exit_code: int) -> CardiacSegError:
        return CardiacSegError(death_text("the worker", exit_code, self.log))


def _write_array(path: Path, array: np.ndarray) -> Iterator[float]:
    """Write a ``.npy`` file bit by bit; yields the share that is written."""
    parts = np.array_split(array.ravel("A"), max(1, array.nbytes // _WRITTEN_AT_ONCE))
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        for number, part in enumerate(parts, 1):
            part.tofile(stream)
            yield number / len(parts)


def worker_command(*options: str) -> list[str]:
    """The command that starts the worker."""
    return engine_command("jobs.worker", *options)
