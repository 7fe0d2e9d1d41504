"""Damaged and made-up input for every reader, for as long as one likes: what crashes, and how many inputs a minute.

    python Testing/benchmarks/fuzz.py --seconds 60 --output fuzzing

With atheris (``pip install atheris``; no test depends on it) inputs are bred by the lines of the readers that they
reach, without it hypothesis draws them. A crash is any exception but a CardiacSegError of one line, room made for
gigabytes, or ten seconds without a result. Its input and its traceback are kept in OUTPUT/TARGET/crashes; nothing is
written elsewhere. Each target runs in a process of its own, which is begun anew where it dies.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psutil

ENGINE_TESTS = Path(__file__).resolve().parents[1] / "engine"
#: What is watched for lines that an input is the first to reach: what is written in Python and parses.
_WATCHED = ["CardiacSegLib", "nrrd", "pydicom"]
#: For one input: seconds, bytes of it, and what a reader may take, in megabytes.
_LONGEST, _LARGEST, _MEMORY = 10, 8192, 4096
#: libFuzzer says so at its end, however it comes about; so does :func:`draw_inputs`.
_COUNT = "stat::number_of_executed_units:"
#: Fuzzes a target: its name, its folder, and for how many seconds.
Way = Callable[[str, Path, int], None]


def imported(how: str) -> ModuleType:
    """The readers; watched, where atheris is to breed inputs. The processes that are forked from here have them."""
    sys.path.insert(0, str(ENGINE_TESTS))
    if how != "atheris":
        return importlib.import_module("fuzz_targets")
    import atheris

    with atheris.instrument_imports(include=_WATCHED):
        return importlib.import_module("fuzz_targets")


class Trial:
    """A reader that is given one input after the other, and what went wrong."""

    def __init__(self, name: str, folder: Path) -> None:
        self.target = sys.modules["fuzz_targets"].TARGETS[name]
        self._place, self._crashes = folder / "place", folder / "crashes"
        for path in (self._place, self._crashes):
            path.mkdir(parents=True, exist_ok=True)
        self.target.prepare(self._place)

    def attempt(self, content: bytes) -> None:
        """Give the reader one input; keep the first that fails in one place of the code."""
        try:
            self.target.attempt(self._place, content)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = next((frame for frame in reversed(frames) if "CardiacSegLib" in frame.filename), frames[-1])
            name = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
            if not (self._crashes / name).exists():
                (self._crashes / name).write_bytes(content)
                (self._crashes / f"{name}.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


def breed_inputs(name: str, folder: Path, seconds: int) -> None:
    """Fuzz with atheris, which ends the process."""
    import atheris

    trial = Trial(name, folder)
    corpus, words = folder / "corpus", folder / "words"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(trial.target.seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    texts = ("".join(f"\\x{byte:02x}" for byte in word) for word in trial.target.words if len(word) <= 64)
    words.write_text("".join(f'"{text}"\n' for text in texts))
    options = [f"-max_total_time={seconds}", f"-max_len={_LARGEST}", f"-timeout={_LONGEST}", "-print_final_stats=1"]
    options += [f"-rss_limit_mb={_MEMORY}", f"-artifact_prefix={folder / 'crashes'}{os.sep}", f"-dict={words}"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], trial.attempt)
    atheris.Fuzz()


def draw_inputs(name: str, folder: Path, seconds: int) -> None:
    """Fuzz with hypothesis."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from fuzz_targets import spoiled

    trial = Trial(name, folder)
    count, end = 0, time.monotonic() + seconds

    @settings(
        max_examples=200,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(spoiled(trial.target), st.binary(max_size=_LARGEST)))
    def attempt(content: bytes) -> None:
        nonlocal count
        if time.monotonic() < end:
            trial.attempt(content)
            count += 1

    while time.monotonic() < end:
        attempt()
    print(_COUNT, count, file=sys.stderr, flush=True)


def limit_memory() -> None:
    """Have whatever makes room for gigabytes fail at once."""
    room = psutil.Process().memory_info().vms + (_MEMORY << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, resource.getrlimit(resource.RLIMIT_AS)[1]))


def in_a_process(way: Way, name: str, folder: Path, seconds: int) -> tuple[int, str]:
    """Fuzz in a fork of this process; its exit code, and what it said, which is added to the folder's log."""
    log = folder / "log.txt"
    begun = log.stat().st_size if log.exists() else 0
    child = os.fork()
    if child == 0:
        with log.open("ab") as stream:
            for descriptor in (1, 2):
                os.dup2(stream.fileno(), descriptor)
        os.chdir(folder)
        try:
            limit_memory()
            way(name, folder, seconds)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, log.read_bytes()[begun:].decode(errors="replace")


def run_target(name: str, output: Path, seconds: int, way: Way) -> tuple[int, list[Path]]:
    """Fuzz one target until the time is over; how many inputs it had, and those that crashed it."""
    folder = output / re.sub(r"\W+", "-", name)
    (folder / "crashes").mkdir(parents=True, exist_ok=True)
    inputs, end = 0, time.monotonic() + seconds
    while (left := round(end - time.monotonic())) > 0:
        code, said = in_a_process(way, name, folder, left)
        counts = re.findall(rf"{_COUNT}\s*(\d+)", said)
        if not counts:
            raise SystemExit(f"{folder / 'log.txt'}: {name} did not run (exit code {code})")
        inputs += int(counts[-1])
    kept = (folder / "crashes").iterdir()
    return inputs, [path for path in kept if path.suffix != ".txt" and not path.name.startswith("slow-unit")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="gets the inputs that crash")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this one; may be given again")
    parser.add_argument("--by", choices=("atheris", "hypothesis"), help="default: atheris where it is installed")
    options = parser.parse_args()
    how = options.by or ("atheris" if importlib.util.find_spec("atheris") else "hypothesis")
    output = options.output.absolute()
    temporary = output / "temporary"
    temporary.mkdir(parents=True, exist_ok=True)
    for name in ("TMPDIR", "MPLCONFIGDIR", "HYPOTHESIS_STORAGE_DIRECTORY", "XDG_CACHE_HOME"):
        os.environ[name] = str(temporary)
    sys.dont_write_bytecode = True
    targets = imported(how).TARGETS
    unknown = set(options.target or ()) - set(targets)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no target; choose from {', '.join(targets)}")
    print(
        f"by {how}\n\n| target | seconds | inputs | inputs a minute | crashes |\n| --- | --- | --- | --- | --- |",
        flush=True,
    )
    crashes: list[Path] = []
    for name in options.target or targets:
        inputs, kept = run_target(name, output, options.seconds, {"atheris": breed_inputs}.get(how, draw_inputs))
        crashes += kept
        rate = 60 * inputs / options.seconds
        print(f"| {name} | {options.seconds} | {inputs} | {rate:.0f} | {len(kept)} |", flush=True)
    for path in crashes:
        print(path)
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
