"""Every network by the same command for the same minutes, and every loss with the default network: a table.

    python Testing/benchmarks/systems.py --dataset ACDC/training

Runs that ``systems.json`` holds already are not made again, so that the table can be filled over several days;
``--again`` makes them anew. From it ``systems.md`` is written. One run a core, each with one thread, goes on at a
time.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from CardiacSegLib.bundles import Bundle, training_facts
from CardiacSegLib.files import replacing
from CardiacSegLib.networks import NETWORKS
from CardiacSegLib.resources import resource_folder
from CardiacSegLib.training.choices import LOSSES

RESULTS, TABLE = (Path(__file__).with_suffix(suffix) for suffix in (".json", ".md"))
NETWORK_MINUTES, LOSS_MINUTES = 10, 5

_TEXT = """# Networks and losses, side by side

Each row is one real run on ACDC, fold 0: the same command, data, augmentation, optimizer and minutes of wall clock.
Compare rows that ran on as many threads: where it was one, another run went on beside it. Where a row is called not
undisturbed, measurements and tests took some of its core as well.
Dice is that of the held-out patients on their own grids after clean-up, mean over ED and ES. A wide network is slower
and sees fewer slices in the same time: the table says which network is best for a short run on such a machine, not
which is best in the end.

Made by `python Testing/benchmarks/systems.py --dataset ACDC/training`.

## Networks, {network_minutes} minutes each

    {network_command}

{network_rows}

## Losses with the default network, {loss_minutes} minutes each

    {loss_command}

{loss_rows}
"""


@dataclass(frozen=True)
class System:
    """One row: what is varied, and for how long it trains."""

    option: str
    name: str
    minutes: int

    @property
    def key(self) -> str:
        return f"{self.option} {self.name}"

    def command(self, dataset: str, split: str, run: str) -> list[str]:
        """The arguments of ``cardiacseg``."""
        choice = ["--neighbors", "0", f"--{self.option}", self.name, "--minutes", str(self.minutes)]
        choice += ["--validations", "1"]  # a look takes a wide network a minute, which its training would lack
        choice += ["--compile", "never"]  # as on machines without a C++ compiler, and no network gains more than others
        return ["train", "--dataset", dataset, "--split", split, *choice, "--output", run]


SYSTEMS = [
    *(System("network", name, NETWORK_MINUTES) for name in NETWORKS),
    *(System("loss", name, LOSS_MINUTES) for name in LOSSES),
]


def result_of(system: System, dataset: str, run: Path) -> dict[str, Any]:
    """Train, or go on with what was begun, and return what is known of the run; its error where it failed."""
    split = str(resource_folder() / "Splits" / "acdc.json")
    begun = (run / "config.json").is_file()
    arguments = ["train", "--resume", str(run)] if begun else system.command(dataset, split, str(run))
    command = [sys.executable, "-m", "CardiacSegLib.cli", *arguments]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=alone)
    if finished.returncode:
        return {"error": finished.stderr.strip().splitlines()[-1]}
    facts = training_facts(Bundle.read(run / "bundle"))
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        seconds = float(list(csv.DictReader(stream))[-1]["seconds"])
    return {
        "dice": facts["validation_dice"]["all"],
        "steps": facts["steps"],
        "parameters": facts["parameters"],
        "slices_per_second": round(facts["steps"] * facts["batch_size"] / seconds, 1),
        "machine": facts["machine"],
    }


def table(systems: Sequence[System], results: Mapping[str, Any]) -> str:
    head = ["| name | LV | MYO | RV | mean | weights | slices/s | steps | ran on |", "| --- |" + " --- |" * 8]
    return "\n".join([*head, *(_row(system.name, results.get(system.key)) for system in systems)])


def _row(name: str, result: Mapping[str, Any] | None) -> str:
    if result is None or "error" in result:
        return f"| {name} | {'not yet run' if result is None else result['error']} |" + " |" * 7
    dice = " | ".join(f"{result['dice'][structure]:.3f}" for structure in ("LV", "MYO", "RV", "mean"))
    weights = f"{result['parameters'] / 1e6:.2f} M"
    facts = (weights, result["slices_per_second"], result["steps"], result["machine"])
    return f"| {name} | {dice} | {' | '.join(map(str, facts))} |"


def report(results: Mapping[str, Any]) -> str:
    """The page, from all results so far."""
    parts: dict[str, str] = {}
    for option, minutes in (("network", NETWORK_MINUTES), ("loss", LOSS_MINUTES)):
        command = System(option, "NAME", minutes).command("ACDC/training", "Resources/Splits/acdc.json", "RUN")
        rows = table([system for system in SYSTEMS if system.option == option], results)
        parts |= {
            f"{option}_minutes": str(minutes),
            f"{option}_command": f"cardiacseg {' '.join(command)}",
            f"{option}_rows": rows,
        }
    return _TEXT.format(**parts)


def write(results: Mapping[str, Any]) -> None:
    for path, text in ((RESULTS, json.dumps(results, indent=1) + "\n"), (TABLE, report(results))):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", required=True, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=Path("runs/systems"), help="default: %(default)s")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="networks and losses to run")
    parser.add_argument("--again", action="store_true", help="make runs anew that were made before")
    parser.add_argument(
        "--jobs", type=int, default=psutil.cpu_count(logical=False) or 1, help="runs at a time (default: one a core)"
    )
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    options.runs.mkdir(parents=True, exist_ok=True)
    chosen = [system for system in SYSTEMS if not options.only or system.name in options.only]
    wanted = [system for system in chosen if options.again or system.key not in results]
    jobs = ThreadPoolExecutor(options.jobs)
    runs = {system: options.runs / system.key.replace(" ", "-") for system in wanted}
    begun = {jobs.submit(result_of, system, options.dataset, run): system for system, run in runs.items()}
    try:
        for done in as_completed(begun):
            system = begun[done]
            results[system.key] = done.result()
            write(results)
            print(_row(system.name, results[system.key]), flush=True)
    finally:
        jobs.shutdown(cancel_futures=True)  # whoever breaks it off does not want the next run begun


if __name__ == "__main__":
    main()
