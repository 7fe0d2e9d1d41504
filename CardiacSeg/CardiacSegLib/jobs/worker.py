"""The process that segments: ``python -m CardiacSegLib.jobs.worker``.

It reads requests from its standard input, one JSON object a line, and ends at the end of it. A request names a job's
folder, which holds ``image.npy`` (I, J, K) or (I, J, K, T) and ``affine.npy`` (4, 4)::

    {"request": "segment", "folder": "…", "model": "short-axis-cine", "device": "auto"}

Into that folder go ``labels.npy``, ``events.jsonl`` and, as ``log.txt``, all that is printed meanwhile. A model stays
loaded for the requests that follow. A request that fails ends in an error event; the worker then waits for the next.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.jobs.events import EventWriter


class Segmenter(Protocol):
    """What a loaded model can do."""

    convention: Mapping[str, int]

    def segment(self, array: np.ndarray, affine: np.ndarray, progress: Callable[[float], None]) -> np.ndarray:
        """Labels, uint8 of the shape of ``array``; ``progress`` is called with the share that is done."""
        ...


#: The share of a first request that loading torch and the model takes, roughly.
_LOADED = 0.3

#: Loads a model, given its name or folder and the device.
Loader = Callable[[str, str], Segmenter]


def load_segmenter(model: str, device: str) -> Segmenter:
    """The loader that the worker uses: the engine, imported only when the first request comes."""
    from CardiacSegLib.inference.segmenter import Segmenter as Engine

    return Engine.load(model=model, device=device)


def serve(requests: Iterable[str], load: Loader = load_segmenter) -> None:
    """Answer requests until there are no more.

    Args:
        requests: lines, a JSON object each.
        load: loads a model that no earlier request has used.
    """
    loaded: dict[tuple[str, str], Segmenter] = {}

    def segmenter(model: str, device: str) -> Segmenter:
        if (model, device) not in loaded:
            loaded[model, device] = load(model, device)
        return loaded[model, device]

    for line in requests:
        if line.strip():
            _answer(json.loads(line), segmenter)


def _answer(request: Mapping[str, Any], load: Loader) -> None:
    folder = Path(request["folder"])
    with (folder / "events.jsonl").open("a", encoding="utf-8") as stream, _output_to(folder / "log.txt"):
        events = EventWriter(stream)
        try:
            if request["request"] != "segment":
                raise CardiacSegError(f"the worker knows no request '{request['request']}'; ask it to 'segment'")
            _segment(folder, request["model"], request["device"], load, events)
        except Exception as exception:
            traceback.print_exc()
            events.error(exception)


def _segment(folder: Path, model: str, device: str, load: Loader, events: EventWriter) -> None:
    started = time.perf_counter()
    events.stage("load", f"Loading model {Path(model).name}")
    segmenter = load(model, device)
    events.progress(_LOADED)
    events.stage("segment", "Segmenting")
    array = np.load(folder / "image.npy", allow_pickle=False)
    affine = np.load(folder / "affine.npy", allow_pickle=False)
    labels = segmenter.segment(array, affine, lambda done: events.progress(_LOADED + (1 - _LOADED) * done))
    with replacing(folder / "labels.npy") as partial:
        np.save(partial, labels)
    events.result(file="labels.npy", convention=segmenter.convention, seconds=time.perf_counter() - started)


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


if __name__ == "__main__":
    serve(sys.stdin)
