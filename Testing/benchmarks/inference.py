"""Time, memory and agreement of segmentation on a few processor cores, beside nnU-Net in the same run.

    python Testing/benchmarks/inference.py --nnunet-python NNUNET/bin/python --dataset ACDC/training

The image is a phantom of 10 slices of 256 x 256 pixels, 1.4 mm, in a file; a result is a file of labels. All processes
may use the first two cores only (``--cores``). Printed is a table in Markdown.

nnU-Net (Isensee et al., doi 10.1038/s41592-020-01008-z) gets the 2D plan that its own planner makes for ACDC, random
weights, and its own predictor with its reading, preprocessing, sliding window, resampling and export: one fold without
mirroring, and five folds with. It has an environment of its own, since it brings a hundred packages; without the
option it is left out::

    python -m venv NNUNET && NNUNET/bin/pip install nnunetv2     (torch as in the README, for the build without CUDA)

With ``--dataset`` the labels of OpenVINO are compared with those of torch on the validation cases of fold 0.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from speed import SIZE, SLICES, fastest, warm, write_image

PHASES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="short-axis-cine", help="name, or folder of a bundle")
    parser.add_argument("--cores", type=int, default=2, help="that every process may use (default: %(default)s)")
    parser.add_argument("--turns", type=int, choices=(1, 2, 4, 8), help="what the model says where left out")
    parser.add_argument("--nnunet-python", type=Path, help="the interpreter of an environment with nnunetv2")
    parser.add_argument("--nnunet-folds", type=int, default=5, help="of the ensemble (default: %(default)s)")
    parser.add_argument("--dataset", type=Path, help="ACDC's training patients, for the agreement")
    parser.add_argument("--cases", type=int, help="only so many cases for the agreement")
    options = parser.parse_args()
    use_cores(options.cores)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image_0000.nii.gz")
        write_image(image)
        seconds, megabytes = measure_ours(image, options)
        if options.nnunet_python:
            seconds |= measure_nnunet(image, options.nnunet_python, options.nnunet_folds)
    print(f"{SLICES} slices of {SIZE} x {SIZE}, {options.cores} cores\n")
    print(table(seconds, megabytes))
    if options.dataset:
        print(agreement(options.model, options.dataset, options.turns, options.cases))


def use_cores(count: int) -> None:
    """Keep this process and all that it starts on a few cores (Linux), with a thread for each."""
    allowed = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, allowed)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(len(allowed))


def measure_ours(image: Path, options: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and megabytes by what was done; torch comes last, so that no memory of it counts before."""
    turns = [] if options.turns is None else ["--turns", str(options.turns)]
    output = image.with_name("labels.nii.gz")
    command = ["-m", "CardiacSegLib.cli", "segment", str(image), "--output", str(output), "--model", options.model]
    cold = fastest([*command, *turns])
    from CardiacSegLib.images import read_image

    volume = read_image(image)
    seconds = {"CardiacSeg, cold: the command from its start to its end": cold.seconds}
    seconds["CardiacSeg, worker, cold: from its start to the labels"] = cold_worker(volume, options)
    seconds |= warm_seconds(image, volume, options)
    megabytes = {
        "CardiacSeg, the command": cold.megabytes,
        "CardiacSeg, volumes and a cine in one process": peak_megabytes(),
    }
    assert "torch" not in sys.modules, "the memory is that of torch too"
    ours = loaded(options, "cpu:torch")
    seconds[f"CardiacSeg by torch, warm ({ours.how})"] = warm(lambda: to_file(ours, image, output))
    return seconds, megabytes


def loaded(options: argparse.Namespace, device: str = "cpu") -> Any:
    from CardiacSegLib.inference.segmenter import Segmenter

    return Segmenter.load(options.model, device, options.turns)


def to_file(segmenter: Any, image: Path, output: Path) -> None:
    """From a file to a file, as nnU-Net is measured too."""
    from CardiacSegLib.images import read_image, write_labels

    volume = read_image(image)
    write_labels(output, segmenter.segment(volume.array, volume.affine), volume, segmenter.convention)


def cold_worker(volume: Any, options: argparse.Namespace) -> float:
    """The fastest of three workers, from the start of the process."""
    from CardiacSegLib.jobs.client import WorkerClient

    def once() -> float:
        started = time.perf_counter()
        with WorkerClient(options.model, "cpu") as client:
            client.submit(volume.array, volume.affine, turns=options.turns)
            client.wait()
            return time.perf_counter() - started

    return min(once() for _ in range(3))


def warm_seconds(image: Path, volume: Any, options: argparse.Namespace) -> dict[str, float]:
    import numpy as np

    from CardiacSegLib.inference.model_grid import Stack
    from CardiacSegLib.jobs.client import WorkerClient

    ours = loaded(options)
    on_grid = Stack.from_volume(volume.array, volume.affine).on_grid(ours.grid)
    batch = np.ascontiguousarray(ours.grid.with_neighbors(on_grid))
    cine = np.repeat(volume.array[..., None], PHASES, axis=3)
    with WorkerClient(options.model, "cpu") as client:

        def through_worker() -> None:
            client.submit(volume.array, volume.affine, turns=options.turns)
            client.wait()

        seconds = {
            f"CardiacSeg, warm, file to file ({ours.how})": warm(
                lambda: to_file(ours, image, image.with_name("l.nii"))
            ),
            "CardiacSeg, warm, array to labels": warm(lambda: ours.segment(volume.array, volume.affine)),
            "CardiacSeg, warm, through the worker": warm(through_worker),
        }
    pass_seconds = warm(lambda: ours._runtime.probabilities(batch))
    seconds[f"OpenVINO alone, {ours.turns} pass(es) of the same network"] = pass_seconds * ours.turns
    started = time.perf_counter()
    ours.segment(cine, volume.affine)
    seconds[f"CardiacSeg, a phase of a cine of {PHASES}"] = (time.perf_counter() - started) / PHASES
    return seconds


def peak_megabytes() -> float:
    """The most memory that this process held; Linux counts in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_nnunet(image: Path, python: Path, folds: int) -> dict[str, float]:
    script = Path(__file__).with_name("nnunet_prediction.py")
    done = subprocess.run([python, script, image, str(folds)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(seconds: dict[str, float], megabytes: dict[str, float]) -> str:
    """Every time beside those of the others that the goals name."""
    nnunet = [name for name in seconds if name.startswith("nnU-Net")]
    bare = next(name for name in seconds if name.startswith("OpenVINO alone"))
    heads = ["", "seconds", "times the pass alone", *(f"{name} takes times as long" for name in nnunet)]
    rows = [
        [name, f"{value:.3f}", f"{value / seconds[bare]:.2f}", *(f"{seconds[one] / value:.1f}" for one in nnunet)]
        for name, value in seconds.items()
    ]
    memory = [[name, f"{value:.0f}"] for name, value in megabytes.items()]
    return "\n\n".join([markdown(heads, rows), markdown(["", "most memory, MB"], memory)])


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def agreement(model: str, dataset: Path, turns: int | None, limit: int | None) -> str:
    """Dice of the labels of OpenVINO against those of torch, by structure, over the validation cases of fold 0."""
    import numpy as np

    from CardiacSegLib.datasets import acdc
    from CardiacSegLib.datasets.splits import read_folds, split_cases
    from CardiacSegLib.evaluation.overlap import dice_scores
    from CardiacSegLib.images import read_image
    from CardiacSegLib.inference.segmenter import Segmenter
    from CardiacSegLib.resources import resource_folder

    folds = read_folds(resource_folder() / "Splits" / "acdc.json")
    _, cases = split_cases(acdc.find_cases(dataset), folds, 0)
    ours, theirs = (Segmenter.load(model, device, turns) for device in ("cpu:openvino", "cpu:torch"))
    segment: Callable[[Any, Any], Any] = lambda one, image: one.segment(image.array, image.affine)  # noqa: E731
    scores = []
    for case in cases[:limit]:
        image = read_image(case.image)
        scores.append(dice_scores(segment(ours, image), segment(theirs, image), ours.convention))
    rows = [
        [name, f"{np.nanmean(values):.5f}", f"{np.nanmin(values):.5f}"]
        for name, values in ((name, [score[name] for score in scores]) for name in ours.convention)
    ]
    return f"\nOpenVINO against torch, {len(scores)} cases\n\n" + markdown(["", "mean Dice", "least Dice"], rows)


if __name__ == "__main__":
    main()
