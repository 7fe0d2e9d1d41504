"""Time and memory of one segmentation by torch, beside MONAI's zoo network for the same task in the same run.

    python Testing/benchmarks/speed.py

The image is a phantom of 10 slices of 256 x 256 pixels. The zoo's ``ventricular_short_axis_3label`` is a UNet of 16 to
256 channels with two residual units, which its bundle runs in float32 on slices of 256 x 256; here it has fresh
weights, which take the same time. Cold is a process from its start to the labels on disk; warm is a call in a process
that has made one before. OpenVINO, which takes a CPU's place where the model holds ONNX, stands in ``inference.py``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIZE, SLICES = 256, 10
REPEATS = 7


@dataclass(frozen=True)
class Cold:
    """Seconds of a process and the most memory that it held, in MB."""

    seconds: float
    megabytes: float


def write_image(path: Path) -> None:
    from CardiacSegLib.images import Image, write_image
    from CardiacSegLib.phantom import PhantomOptions, make_phantom

    options = PhantomOptions(frames=1, slices=SLICES, size=(SIZE, SIZE), spacing=(1.4, 1.4, 10.0))
    phantom = make_phantom(options)
    write_image(path, Image(phantom.image[..., 0], phantom.affine))


def zoo_network():
    """The network of MONAI's zoo bundle, without trained weights."""
    import torch
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    return UNet(2, 1, 4, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2).eval()


def run_zoo(image: Path, output: Path) -> None:
    """What the zoo's bundle does with a volume: load, scale intensities, label each slice, save."""
    import torch
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, SaveImage, ScaleIntensity

    slices = Compose([LoadImage(), EnsureChannelFirst(), ScaleIntensity()])(str(image))
    network = zoo_network()
    with torch.inference_mode():
        logits = network(slices.permute(3, 0, 1, 2).as_tensor())
    labels = slices.clone()
    labels.set_array(logits.argmax(1).permute(1, 2, 0)[None].float())
    SaveImage(output_dir=output.parent, output_postfix="zoo", separate_folder=False, print_log=False)(labels)


def cold(arguments: list[str]) -> Cold:
    """Run a Python process and watch it (Linux counts its memory in kilobytes)."""
    started = time.perf_counter()
    # A child of its own, because the most memory of children is kept over all of them.
    script = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, sys.executable, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cold(time.perf_counter() - started, int(done.stdout) / 1024)


def fastest(arguments: list[str]) -> Cold:
    """The fastest of three runs: the others waited for something else."""
    return min((cold(arguments) for _ in range(3)), key=lambda run: run.seconds)


def warm(function: Callable[[], object]) -> float:
    """The median of several calls, in seconds, after one that does not count."""
    function()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[REPEATS // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="short-axis-cine")
    parser.add_argument("--zoo", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.zoo:
        run_zoo(*options.zoo)
        return
    with tempfile.TemporaryDirectory() as folder:
        image, output = Path(folder, "image.nii.gz"), Path(folder, "labels.nii.gz")
        write_image(image)
        ours = ["-m", "CardiacSegLib.cli", "segment", str(image), "--output", str(output), "--model", options.model]
        ours += ["--device", "cpu:torch"]
        zoo = [__file__, "--zoo", str(image), str(output)]
        cold_runs = {name: fastest(run) for name, run in (("CardiacSeg", ours), ("MONAI zoo", zoo))}
        warm_runs = measure_warm(image, options.model)
    report(cold_runs, warm_runs)


def measure_warm(image: Path, model: str) -> dict[str, float]:
    import torch

    from CardiacSegLib.images import read_image
    from CardiacSegLib.inference.devices import Device
    from CardiacSegLib.inference.model_grid import Stack
    from CardiacSegLib.inference.segmenter import Segmenter

    volume = read_image(image)
    segmenter, single = Segmenter.load(model, "cpu:torch"), Segmenter.load(model, "cpu:torch", turns=1)
    on_grid = Stack.from_volume(volume.array, volume.affine).on_grid(single.grid)
    network = zoo_network()
    slices = torch.rand(SLICES, 1, SIZE, SIZE)

    def zoo_float32() -> None:
        with torch.inference_mode():
            network(slices)

    def zoo_native() -> None:
        with torch.inference_mode(), Device.choose("cpu").autocast():
            network(slices)

    return {
        f"CardiacSeg, array to labels, {segmenter.turns} turn(s)": warm(
            lambda: segmenter.segment(volume.array, volume.affine)
        ),
        "CardiacSeg, array to labels, single pass": warm(lambda: single.segment(volume.array, volume.affine)),
        "CardiacSeg, network alone, single pass": warm(lambda: single.probabilities(on_grid)),
        "MONAI zoo network alone, float32": warm(zoo_float32),
        "MONAI zoo network alone, the CPU's best precision": warm(zoo_native),
    }


def report(cold_runs: dict[str, Cold], warm_runs: dict[str, float]) -> None:
    print(f"{SLICES} slices of {SIZE} x {SIZE}\n")
    zoo = cold_runs["MONAI zoo"]
    for name, run in cold_runs.items():
        ratios = f"time x {run.seconds / zoo.seconds:.2f}, memory x {run.megabytes / zoo.megabytes:.2f} of the zoo's"
        print(f"cold  {name:50} {run.seconds:7.2f} s  {run.megabytes:6.0f} MB  {ratios}")
    baseline = warm_runs["MONAI zoo network alone, float32"]
    for name, seconds in warm_runs.items():
        print(f"warm  {name:50} {seconds:7.3f} s             time x {seconds / baseline:.2f} of the zoo's float32 pass")


if __name__ == "__main__":
    main()
