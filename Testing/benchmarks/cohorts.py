"""How fast cohorts go, how much memory they take, and what a second Dask worker brings.

    python Testing/benchmarks/cohorts.py
    python Testing/benchmarks/cohorts.py --counts 1 10 100 1000 --cluster 20 --frames 2 --turns 1

Every study is a phantom in a file of its own, a cine of as many frames as asked for. Each figure is from a process of
its own: ``cardiacseg batch`` as a person runs it, from its start to its end, with the most memory that it held or, on a
cluster, the largest of its workers. The bare pass is the network on the same arrays in memory, without reading,
measuring or writing, in one process and after one pass to warm up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.inference.turning import TURNS

#: Different phantoms; more of them would take longer to make than to segment.
_PHANTOMS = 10


def write_cohort(folder: Path, count: int, frames: int) -> None:
    """Phantoms of 192 x 192 x 10 voxels in as many files."""
    from CardiacSegLib.images import Image, write_image
    from CardiacSegLib.phantom import PhantomOptions, make_phantom

    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"study{number:04d}.nii.gz"
        if number < _PHANTOMS:
            phantom = make_phantom(PhantomOptions(frames=frames, slices=10, seed=number))
            write_image(path, Image(phantom.image, phantom.affine))
        else:
            shutil.copy(folder / f"study{number % _PHANTOMS:04d}.nii.gz", path)


def run_batch(options: argparse.Namespace, cohort: Path, output: Path, *arguments: str) -> tuple[float, float]:
    """Seconds and peak MiB of a batch in a process of its own."""
    command = [sys.executable, "-m", "CardiacSegLib.cli", "batch", str(cohort), "-o", str(output)]
    command += [*_model_arguments(options), *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return seconds, used.ru_maxrss / 1024


def _model_arguments(options: argparse.Namespace) -> list[str]:
    turns = ["--turns", str(options.turns)] if options.turns else []
    return ["--model", options.model, "--device", options.device, *turns]


def bare_pass(cohort: Path, model: str, device: str, turns: int) -> dict[str, object]:
    """Seconds a study that the network alone takes, and by what."""
    from CardiacSegLib.images import read_image
    from CardiacSegLib.inference.segmenter import Segmenter

    segmenter = Segmenter.load(model, device, turns or None)
    images = [read_image(path) for path in sorted(cohort.glob("*.nii.gz"))[:_PHANTOMS]]
    segmenter.segment(images[0].array, images[0].affine)
    started = time.perf_counter()
    for image in images:
        segmenter.segment(image.array, image.affine)
    return {"seconds": (time.perf_counter() - started) / len(images), "how": segmenter.how}


def run_on_cluster(options: argparse.Namespace, cohort: Path, output: Path, workers: int) -> tuple[float, float]:
    """Seconds of a batch on a cluster that stands already, and the peak MiB of its largest worker."""
    from distributed import Client, LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Dask would give each worker one
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=options.threads,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        warm = output.with_name(f"{output.name}-warm")
        run_batch(options, cohort.parent / "all" / "study0000.nii.gz", warm, "--scheduler", cluster.scheduler_address)
        seconds, _ = run_batch(options, cohort, output, "--scheduler", cluster.scheduler_address)
        peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return seconds, max(peaks.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 100, 1000], metavar="N", help="of studies")
    parser.add_argument("--cluster", type=int, default=50, metavar="N", help="studies for the cluster; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=2, help="studies in hand of each Dask worker")
    parser.add_argument("--frames", type=int, default=2, help="of each study")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turns", type=int, choices=TURNS, default=0)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(bare_pass(options.bare, options.model, options.device, options.turns)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    largest = max([*options.counts, options.cluster])
    write_cohort(folder / "all", largest, options.frames)
    command = [sys.executable, __file__, "--bare", str(folder / "all"), *_model_arguments(options)]
    bare = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"phantoms of 192 x 192 x 10 voxels, {options.frames} frames; {bare['how']}; {os.cpu_count()} processors")
    print(f"network alone: {bare['seconds']:.3f} s a study, {60 / bare['seconds']:.1f} studies a minute\n")
    print("| studies | on | seconds | studies a minute | over the network alone | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in options.counts:
        cohort = _first(folder, count)
        tell(count, "one machine", bare["seconds"], *run_batch(options, cohort, folder / f"out{count}"))
    for workers in (1, 2) if options.cluster else ():
        output, cohort = folder / f"cluster{workers}", _first(folder, options.cluster)
        name = f"{workers} Dask worker{'s'[: workers > 1]}"
        tell(options.cluster, name, bare["seconds"], *run_on_cluster(options, cohort, output, workers))


def _first(folder: Path, count: int) -> Path:
    """A list of the first studies."""
    path = folder / f"first{count}.txt"
    path.write_text("".join(f"all/study{number:04d}.nii.gz\n" for number in range(count)), encoding="utf-8")
    return path


def tell(count: int, where: str, bare: float, seconds: float, peak: float) -> None:
    over = 100 * (seconds / (count * bare) - 1)
    print(
        f"| {count} | {where} | {seconds:.1f} | {60 * count / seconds:.1f} | {over:+.0f} % | {peak:.0f} |", flush=True
    )


if __name__ == "__main__":
    main()
