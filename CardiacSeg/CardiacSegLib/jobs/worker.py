"""The process that segments: ``python -m CardiacSegLib.jobs.worker``.

It reads requests from its standard input, one JSON object a line, and ends at the end of it, or in the middle of its
work a second after the process that started it is gone. A request names a job's folder; to be segmented, that holds
``image.npy`` (I, J, K) or (I, J, K, T) and ``affine.npy`` (4, 4)::

    {"request": "segment", "folder": "…", "model": "short-axis-cine", "device": "auto", "turns": null, "cleanup": true}
    {"request": "load", "folder": "…", "model": "short-axis-cine", "device": "auto"}

``turns`` (null for what the model says) and ``cleanup`` may be missing; ``load`` only loads. Into the folder go
``labels.npy``, ``events.jsonl`` and, as ``log.txt``, all that is printed meanwhile; the result event says by what the
image was labeled (``how``). With ``"doubt": true`` the result event says under ``doubt`` how sure the model is, as
:func:`CardiacSegLib.jobs.doubts.segment_with_doubt_into` tells it. A model stays loaded for the requests that follow.
A request that fails ends in an error event; the worker then waits for the next.

The memory of a model is given back by ending: a worker that is asked nothing for ten minutes exits with code 0.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.jobs.doubts import segment_with_doubt_into
from CardiacSegLib.jobs.events import EventWriter
from CardiacSegLib.jobs.privacy import keep_home_out_of_logs
from CardiacSegLib.jobs.processes import end_with_starter

if TYPE_CHECKING:
    from CardiacSegLib.inference.provenance import Provenance


class Segmenter(Protocol):
    """What a loaded model can do."""

    convention: Mapping[str, int]
    how: str
    provenance: Provenance

    def segment(self, array: np.ndarray, affine: np.ndarray, progress: Callable[[float], None]) -> np.ndarray:
        """Labels, uint8 of the shape of ``array``; ``progress`` is called with the share that is done."""
        ...

    def predict(self, volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels of a volume (I, J, K), and the probabilities (C, I, J, K) that they come from."""
        ...

    def with_options(self, turns: int | None, cleanup: bool) -> Segmenter:
        """The same model, averaged over other turns of the image (its own where None), with or without clean-up."""
        ...


#: A worker that is asked nothing for so long ends.
IDLE_SECONDS = 600.0
#: The share of a first request that loading the model takes, roughly.
_LOADED = 0.3

#: Loads a model, given its name or folder and the device.
Loader = Callable[[str, str], Segmenter]


def load_segmenter(model: str, device: str) -> Segmenter:
    """The loader that the worker uses: the engine, imported only when the first request comes."""
    from CardiacSegLib.inference.segmenter import Segmenter as Engine

    return Engine.load(model=model, device=device)


class _IdleEnd:
    """Ends this process when nothing was asked for a while; never while the ``with`` block of a request runs."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._busy = threading.Lock()
        self._wait()

    def __enter__(self) -> None:
        if self._timer:
            self._timer.cancel()
        # A timer that was already over has the lock, and the process is about to end: the request is sent again.
        self._busy.acquire()

    def __exit__(self, *_: object) -> None:
        self._busy.release()
        self._wait()

    def _wait(self) -> None:
        self._timer = threading.Timer(self._seconds, self._end) if self._seconds is not None else None
        if self._timer:
            self._timer.daemon = True  # it does not keep a process that was told to end
            self._timer.start()

    def _end(self) -> None:
        if self._busy.acquire(blocking=False):
            # The main thread waits for a line, which nothing can interrupt on every system.
            os._exit(0)


def serve(requests: Iterable[str], load: Loader = load_segmenter, idle_seconds: float | None = None) -> None:
    """Answer requests until there are no more.

    Args:
        requests: lines, a JSON object each.
        load: loads a model that no earlier request has used.
        idle_seconds: how long to wait for the next request before this process ends; for ever where None.
    """
    loaded: dict[tuple[str, str], Segmenter] = {}

    def segmenter(model: str, device: str) -> Segmenter:
        if (model, device) not in loaded:
            loaded[model, device] = load(model, device)
        return loaded[model, device]

    idle_end = _IdleEnd(idle_seconds)
    for line in requests:
        if line.strip():
            with idle_end:
                _answer(json.loads(line), segmenter)


def _answer(request: Mapping[str, Any], load: Loader) -> None:
    folder = Path(request["folder"])
    with (folder / "events.jsonl").open("a", encoding="utf-8") as stream, _output_to(folder / "log.txt"):
        events = EventWriter(stream)
        try:
            if request["request"] == "segment":
                _segment(folder, request, load, events)
            elif request["request"] == "load":
                _load(request, load, events)
            else:
                raise CardiacSegError(
                    f"the worker knows no request '{request['request']}'; ask it to 'segment' or to 'load'"
                )
        except Exception as exception:
            sys.excepthook(*sys.exc_info())
            events.error(exception)


def _load(request: Mapping[str, Any], load: Loader, events: EventWriter) -> None:
    started = time.perf_counter()
    segmenter = _loaded_segmenter(request, load, events)
    made = segmenter.provenance.timed(time.perf_counter() - started)
    events.result(how=segmenter.how, seconds=made.seconds, provenance=made.fields())


def _loaded_segmenter(request: Mapping[str, Any], load: Loader, events: EventWriter) -> Segmenter:
    events.stage("load", f"Loading model {Path(request['model']).name}")
    return load(request["model"], request["device"])


def _segment(folder: Path, request: Mapping[str, Any], load: Loader, events: EventWriter) -> None:
    started = time.perf_counter()
    segmenter = _loaded_segmenter(request, load, events)
    turns, cleanup = request.get("turns"), request.get("cleanup", True)
    if turns is not None or not cleanup:
        segmenter = segmenter.with_options(turns, cleanup)
    events.progress(_LOADED)
    events.stage("segment", "Segmenting")
    array = np.load(folder / "image.npy", allow_pickle=False)
    affine = np.load(folder / "affine.npy", allow_pickle=False)
    progress, more = _progress_from_now(events), {}
    if request.get("doubt"):
        labels, more["doubt"] = segment_with_doubt_into(folder, segmenter, request["model"], array, affine, progress)
    else:
        labels = segmenter.segment(array, affine, progress)
    with replacing(folder / "labels.npy") as partial:
        np.save(partial, labels)
    made = segmenter.provenance.timed(time.perf_counter() - started)
    more |= {"seconds": made.seconds, "provenance": made.fields()}
    events.result(file="labels.npy", convention=segmenter.convention, how=segmenter.how, **more)


def _progress_from_now(events: EventWriter) -> Callable[[float], None]:
    """Tells how far a segmentation is that begins now; the time that is left follows from the part that is done."""
    began = time.perf_counter()

    def tell(done: float) -> None:
        left = (time.perf_counter() - began) * (1 - done) / done if done > 0 else None
        events.progress(_LOADED + (1 - _LOADED) * done, left)

    return tell


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Append what this process prints meanwhile to a file, also what libraries written in C print."""
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(stream.fileno()) for stream in streams]
    with path.open("ab") as log:
        for stream in streams:
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    try:
        yield
    finally:
        for stream, descriptor in zip(streams, kept):
            stream.flush()
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)


def main() -> None:
    """Serve the requests of the standard input."""
    keep_home_out_of_logs()
    parser = argparse.ArgumentParser(description="Answer requests to segment, one JSON object a line.")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, help="end after so long without a request")
    options = parser.parse_args()
    end_with_starter()
    serve(sys.stdin, idle_seconds=options.idle_seconds)


if __name__ == "__main__":
    main()
