"""Processes killed by SIGKILL at random moments: what stays whole, and what stays behind.

    python Testing/benchmarks/kills.py [--kills 100] [--seed 1] [--only worker training host] [--model short-axis-cine]

The kills are divided between the worker of a client, one training that goes on after each, and a host that holds a
scene. What a killed process left on the disk counts as left over where the next start of the same thing did not clear
it. What it half wrote beside a person's own files, under a name that begins with ``.partial-``, goes with the next
writing in that folder once it is a day old, since another process may be writing there. The exit code is 1 where
anything broke.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))

from CardiacSegLib.bundles import DEFAULT_MODEL
from killing import PATIENCE, Tally, kill_hosts, kill_trainings, kill_workers, start_training
from phantoms import write_acdc_patient

#: Of a training so small that a step takes a hundredth of a second; more validations than kills before its end.
EPOCHS = 100
OPTIONS = (
    *("--epochs", str(EPOCHS), "--validations", str(EPOCHS), "--filters", "8", "16", "32", "--spacing", "3"),
    *("--crop", "64", "--window", "96", "--learning-rate", "0.01", "--ema-decay", "0.9", "--device", "cpu"),
    *("--name", "small", "--compile", "never"),
)


def kill_a_training(count: int, chance: random.Random, folder: Path) -> Tally:
    for number in range(1, 11):
        write_acdc_patient(folder / "data" / f"patient{number:03d}", number, "NOR" if number % 2 else "DCM")
    options = ["--dataset", str(folder / "data"), *OPTIONS]
    process, _ = start_training(options, folder / "unbroken", until=0)
    if process.wait(PATIENCE) != 0:
        sys.exit((folder / "unbroken.log").read_text())
    return kill_trainings(count, chance, options, folder / "unbroken", folder / "run")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill processes at random moments and look what stays.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=("worker", "training", "host"), help="these kinds alone")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="of the worker and the host")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # by way of what ends all that was started
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same weights need the same number of threads
    os.environ["CARDIACSEG_ONNX"] = "0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds: Mapping[str, Callable[[int, random.Random], Tally]] = {
            "worker": lambda count, chance: kill_workers(count, chance, options.model),
            "training": lambda count, chance: kill_a_training(count, chance, folder),
            "host": lambda count, chance: kill_hosts(count, chance, options.model, folder),
        }
        chosen = options.only or list(kinds)
        print("| killed | kills | survived | orphans | left over | seconds | checked |")
        print("| --- | --: | --: | --: | --: | --: | --- |")
        tallies = [
            tally_of(kinds[kind], share, random.Random(options.seed))
            for kind, share in zip(chosen, shares(options.kills, len(chosen)))
        ]
    broken = [line for tally in tallies for line in tally.broken]
    print("\n" + "\n".join(broken or ["nothing broke"]))
    return int(not all(tally.is_clean for tally in tallies))


def shares(count: int, parts: int) -> list[int]:
    """A number in about equal parts."""
    return [count // parts + (number < count % parts) for number in range(parts)]


def tally_of(kind: Callable[[int, random.Random], Tally], count: int, chance: random.Random) -> Tally:
    """Kill, and print the line of the table."""
    started = time.perf_counter()
    tally = kind(count, chance)
    figures = (tally.kills, tally.survived, tally.orphans, tally.leftovers, f"{time.perf_counter() - started:.0f}")
    print(f"| {tally.kind} | {' | '.join(map(str, figures))} | {tally.checked} |", flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main())
