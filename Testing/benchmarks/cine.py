"""Seconds a phase of a cine, the network and the rest apart, beside one ``segment`` call for each phase.

    python Testing/benchmarks/cine.py

The cine is a phantom of 20 phases of 12 slices of 256 x 256 pixels in a NIfTI file. Cold is a process from its start to
the labels on disk; warm is a call in a process that has made one before. The rest is what is not in the network:
resampling to the model's grid and back, clean-up, and in a cold process reading, writing and measuring, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from speed import Cold, cold  # beside this file

from CardiacSegLib.images import Image, read_image, write_image, write_labels
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS
from CardiacSegLib.phantom import PhantomOptions, make_phantom

SIZE, SLICES, PHASES = 256, 12, 20


class TimedSegmenter(Segmenter):
    """A segmenter that knows how long its network took."""

    seconds = 0.0

    def _through_network(self, inputs: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        found = super()._through_network(inputs)
        self.seconds += time.perf_counter() - started
        return found


def write_cine(folder: Path) -> tuple[Path, list[Path]]:
    """The cine in one file, and in a file for each phase."""
    options = PhantomOptions(frames=PHASES, slices=SLICES, size=(SIZE, SIZE), spacing=(1.4, 1.4, 8.0))
    phantom = make_phantom(options)
    cine, phases = folder / "cine.nii.gz", [folder / f"phase{phase:02d}.nii.gz" for phase in range(PHASES)]
    write_image(cine, Image(phantom.image, phantom.affine))
    for phase, path in enumerate(phases):
        write_image(path, Image(phantom.image[..., phase], phantom.affine))
    return cine, phases


def cold_run(images: Sequence[Path], output: Path, model: str) -> Cold:
    command = ["-m", "CardiacSegLib.cli", "segment", *map(str, images), "--output", str(output), "--model", model]
    return cold(command)


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def measure_warm(path: Path, model: str, turns: int, repeats: int) -> dict[str, float]:
    """Seconds a phase: its phases in a call each, the cine in one call, and of the latter what the network took.

    The fastest of several runs, one way and the other in turn: the others waited for something else.
    """
    cine = read_image(path)
    segmenter = TimedSegmenter.load(model, "cpu", turns)
    labels = np.stack([segmenter.segment(cine.array[..., 0], cine.affine)] * PHASES, axis=-1)

    def each_phase() -> None:
        for phase in range(PHASES):
            segmenter.segment(cine.array[..., phase], cine.affine)

    apart, together = [], []
    for _ in range(repeats):
        apart.append(timed(each_phase))
        segmenter.seconds = 0.0
        together.append((timed(lambda: segmenter.segment(cine.array, cine.affine)), segmenter.seconds))
    total, network = min(together)
    seconds = {"a call for each phase": min(apart), "the cine in one call": total}
    seconds |= {"  of this in the network": network, "  of this the rest": total - network}
    output = path.with_name("labels.nii.gz")
    seconds["reading the file"] = timed(lambda: read_image(path))
    seconds["writing the labels"] = timed(lambda: write_labels(output, labels, cine, segmenter.convention))
    return {name: value / PHASES for name, value in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="short-axis-cine")
    parser.add_argument("--cold", type=int, default=PHASES, help="phases that get a process each (default: all)")
    parser.add_argument("--turns", type=int, nargs="+", choices=TURNS, help="default: the model's, then 1")
    parser.add_argument("--repeats", type=int, default=3, help="of the warm runs (default: %(default)s)")
    options = parser.parse_args()
    print(f"{PHASES} phases of {SLICES} slices of {SIZE} x {SIZE}, seconds a phase\n")
    with tempfile.TemporaryDirectory() as folder:
        cine, phases = write_cine(Path(folder))
        turns = Segmenter.load(options.model, "cpu").turns
        for used in options.turns or sorted({turns, 1}, reverse=True):
            for name, seconds in measure_warm(cine, options.model, used, options.repeats).items():
                print(f"warm  {used} turn(s)  {name:26} {seconds:8.3f} s", flush=True)
        output = Path(folder, "labels.nii.gz")
        if options.cold:
            report_cold(cine, phases[: options.cold], output, options.model)


def report_cold(cine: Path, phases: Sequence[Path], output: Path, model: str) -> None:
    together = cold_run([cine], output, model)
    apart = [cold_run([phase], output, model) for phase in phases]
    a_process_each = Cold(float(np.mean([run.seconds for run in apart])), max(run.megabytes for run in apart))
    one_process = Cold(together.seconds / PHASES, together.megabytes)
    for name, run in (("a process for each phase", a_process_each), ("the cine in one process", one_process)):
        print(f"cold  {name:36} {run.seconds:8.3f} s  {run.megabytes:6.0f} MB")


if __name__ == "__main__":
    main()
