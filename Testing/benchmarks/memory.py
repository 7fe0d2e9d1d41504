"""The memory of one worker over two hundred segmentations.

    python Testing/benchmarks/memory.py [--segmentations 200] [--model short-axis-cine] [--device cpu]

The images are small and of three sizes, in turns. Memory is what the system counts as resident (psutil's rss). The
exit code is 1 where it grew by more than the bound after the warm-up.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))

from CardiacSegLib.bundles import DEFAULT_MODEL
from worker_memory import MOST_GROWTH, WARM_UP, growth, memory_of_worker

ROWS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the memory of a worker over many segmentations.")
    parser.add_argument("--segmentations", type=int, default=200)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.segmentations < 2 * WARM_UP:
        parser.error(f"--segmentations has to be {2 * WARM_UP} or more, of which {WARM_UP} are the warm-up")
    started, megabytes = time.perf_counter(), []
    print("| segmentations | MB | since the warm-up |\n| --: | --: | --: |")
    for value in memory_of_worker(options.segmentations, options.model, options.device):
        megabytes.append(value)
        done = len(megabytes)
        if done in (1, WARM_UP) or done % max(1, options.segmentations // ROWS) == 0:
            since = f"{value - megabytes[WARM_UP - 1]:+.1f}" if done >= WARM_UP else ""
            print(f"| {done} | {value:.1f} | {since} |", flush=True)
    grown, seconds = growth(megabytes), time.perf_counter() - started
    print(f"\ngrowth after the warm-up {grown:+.1f} MB, at most {MOST_GROWTH:g} are allowed; {seconds:.0f} s")
    return int(grown >= MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
