"""Processes killed by SIGKILL at moments by chance: the worker, a training, the panel's host.

Whatever a killed process had started carries a tag in its environment: what still carries it afterwards is an orphan,
wherever its parent went. What a kill leaves on the disk may wait for the next start of the same thing, which has to
clear it; so leftovers are counted after that start.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from CardiacSegLib.bundles import WEIGHTS, Bundle, sha256, training_facts
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.events import read_events
from CardiacSegLib.jobs.processes import engine_command, engine_environment, start_process
from waiting import has_loaded, wait_until

TAG = "CARDIACSEG_KILLED"
#: How long an orphan may need to notice that it is one: twice the time between two looks of a worker, and some more.
NOTICED = 5.0
#: How long one start, or one job, may take on a slow machine.
PATIENCE = 300.0
#: Names under which something lies only until it is whole, or while a process works.
TEMPORARY = (".partial-*", "bundle-unfinished", "bundle-earlier", "process.json", "process.lock", "stop")

#: A worker whose engine is a threshold that takes a fifth of a second and the memory of a few images.
CHEAP_WORKER = """
import sys, time
import numpy as np
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.jobs.processes import end_with_starter
from CardiacSegLib.jobs.worker import serve

class Cheap:
    convention = {"LV": 1, "MYO": 2, "RV": 3}
    how, provenance = "a threshold", Provenance()

    def __init__(self, model, device):
        self.pauses = 400 if model == "slow" else 4

    def with_options(self, turns, cleanup):
        return self

    def segment(self, array, affine, progress):
        for number in range(self.pauses):
            time.sleep(0.05)
            progress((number + 1) / self.pauses)
        return np.digitize(array, np.quantile(array, [0.7, 0.8, 0.9])).astype(np.uint8)

end_with_starter(0.2)
serve(sys.stdin, Cheap)
"""
#: A host as the panel is one: a scene, a client; it segments and saves, over and over, or once.
HOST = """
import sys, time
from pathlib import Path
import numpy as np
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.jobs.processes import end_with_starter
from CardiacSegLib.mrml.segmentations import SegmentationLogic
from CardiacSegLib.mrml.storage import create_scene, save_scene
from CardiacSegLib.mrml.volumes import add_volume_node

end_with_starter()  # a test that is killed itself leaves nothing that goes on
folder, model, rounds, command = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:] or None
scene = create_scene()
volume = add_volume_node(scene, np.load(folder / "image.npy"), np.load(folder / "affine.npy"), "heart")
with WorkerClient(model, "cpu", command) as client:
    logic, node = SegmentationLogic(client), None
    print("ready", flush=True)
    for number in range(rounds):
        node = logic.segment(volume, node)
        save_scene(scene, folder / "scene.mrb")
        print("saved", flush=True)
scene.Clear(True)
"""


@dataclass
class Tally:
    """What was killed, and what stayed whole.

    Attributes:
        kind: of process.
        checked: after each kill, in words.
        kills: so many.
        survived: after so many of them everything was whole.
        orphans: processes that a kill left running.
        leftovers: files that the start after a kill did not clear.
        broken: what was not whole.
    """

    kind: str
    checked: str
    kills: int = 0
    survived: int = 0
    orphans: int = 0
    leftovers: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return self.survived == self.kills and not (self.orphans or self.leftovers or self.broken)

    @contextmanager
    def kill(self) -> Iterator[None]:
        """Count a kill, which is survived where the body finds nothing to complain of."""
        self.kills += 1
        before = len(self.broken)
        with self.last_look():
            yield
        self.survived += len(self.broken) == before

    @contextmanager
    def last_look(self) -> Iterator[None]:
        """Note what the body complains of."""
        try:
            yield
        except (AssertionError, CardiacSegError, OSError, ValueError) as error:
            self.broken.append(f"after kill {self.kills}: {type(error).__name__} {error}")


@contextmanager
def tagged(tally: Tally) -> Iterator[None]:
    """Tag all that is started meanwhile; what is left of it at the end is counted, and ended."""
    tag, before = uuid.uuid4().hex, os.environ.get(TAG)
    os.environ[TAG] = tag
    try:
        yield
    finally:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not alive_with(tag), NOTICED)
        left = alive_with(tag)
        tally.orphans += len(left)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        os.environ.pop(TAG)
        if before is not None:
            os.environ[TAG] = before


def alive_with(tag: str) -> list[psutil.Process]:
    """The processes that were started under a tag and run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_ours = process.pid != os.getpid() and process.environ().get(TAG) == tag
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def leftovers(folder: Path, names: Sequence[str] = TEMPORARY) -> list[Path]:
    return [path for name in names for path in folder.rglob(name)]


def an_image(size: int = 64, slices: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Noise of different frequencies, float32 (size, size, slices), and its affine."""
    waves = np.add.outer(np.sin(np.arange(size) / 5), np.cos(np.arange(size) / 7))
    image = waves[..., None] * np.linspace(1, 2, slices) + np.random.default_rng(1).normal(0, 0.1, (size, size, slices))
    return image.astype(np.float32), np.diag([1.5, 1.5, 8.0, 1.0])


def cheap_worker(folder: Path) -> list[str]:
    """The command of a worker without a network."""
    script = folder / "cheap_worker.py"
    script.write_text(CHEAP_WORKER, encoding="utf-8")
    return [sys.executable, str(script)]


# The worker -----------------------------------------------------------------------------------------------------------


def kill_workers(count: int, chance: random.Random, model: str, command: Sequence[str] | None = None) -> Tally:
    """Kill the worker of a client: while it starts, while it loads, in the middle of jobs and between them.

    Args:
        model: of the jobs.
        command: of another worker than the engine's.
    """
    from CardiacSegLib.jobs.client import WorkerClient
    from CardiacSegLib.mrml.segmentations import SegmentationLogic
    from CardiacSegLib.mrml.storage import create_scene
    from CardiacSegLib.mrml.volumes import add_volume_node

    tally = Tally("worker", "the scene as before, a one-line error or right labels, then the next job right")
    image, affine = an_image()
    scene = create_scene()
    volume = add_volume_node(scene, image, affine, "heart")
    with WorkerClient(model, "cpu", command) as client:
        logic = SegmentationLogic(client)
        cold, node = _timed(lambda: logic.segment(volume))
        warm, expected = _timed(lambda: client.segment(image, affine))
        for number in range(count):
            client.cancel()
            with tally.kill():
                with tagged(tally):
                    is_warm = number % 2 == 1
                    if is_warm:
                        client.warm_up()
                        wait_until(lambda: has_loaded(client))
                    before = _scene_state(scene)
                    job = client.submit(image, affine)
                    time.sleep(chance.uniform(0, 1.1 * (warm if is_warm else cold)))
                    os.kill(client.process_id, signal.SIGKILL)
                    _check_outcome(client, expected)
                    assert _scene_state(scene) == before, "the scene has changed"
                with tagged(tally):
                    logic.segment(volume, node)
                    assert _labels_in(node, volume) == expected.tobytes(), "the next job has other labels"
                    assert not job.exists(), "the folder of the killed job is still there"
                    tally.leftovers += len(leftovers(job.parent))
                    client.cancel()
    scene.Clear(True)
    tally.leftovers += job.parent.exists()
    return tally


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def _check_outcome(client: Any, expected: np.ndarray) -> None:
    """A job whose worker was killed is an error for the person, or was done just before."""
    try:
        np.testing.assert_array_equal(client.wait(PATIENCE), expected)
    except CardiacSegError as error:
        assert "exit code -9" in str(error) and "\n" not in str(error), str(error)


def _scene_state(scene: Any) -> list[tuple[str, int]]:
    """Which nodes are there, and when each was last changed."""
    nodes = [scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())]
    return [(node.GetID(), node.GetMTime()) for node in nodes]


def _labels_in(node: Any, volume: Any) -> bytes:
    from CardiacSegLib.mrml.segmentations import labels_from_segmentation_node

    return labels_from_segmentation_node(node, volume).tobytes()


# A training -----------------------------------------------------------------------------------------------------------


def kill_trainings(count: int, chance: random.Random, options: Sequence[str], unbroken: Path, folder: Path) -> Tally:
    """Kill one training again and again while it starts, trains, saves, draws, writes its bundle and scores it.

    A third of the kills come after its last step.

    Args:
        options: of ``cardiacseg train`` without its folder.
        unbroken: a run by the same options that nobody disturbed.
        folder: of the run; does not exist.
    """
    tally = Tally("training", "checkpoint, events, tables, pictures and bundle whole; in the end the same weights")
    last, between, end = _pace(unbroken)
    first = count - count // 3
    targets = [*sorted(chance.choices(range(1, last), k=first)), *[last] * (count - first)]
    startup = 1.0
    for target in targets:
        is_early, was_killed = chance.random() < _EARLY, False
        while not was_killed:  # one that was over before is started again
            with tagged(tally):
                process, seconds = start_training(options, folder, until=0 if is_early else target)
                startup = seconds if target == targets[0] else startup
                time.sleep(chance.uniform(0, startup if is_early else end if target == last else between))
                was_killed = process.poll() is None
                process.kill()
                process.wait()
        with tally.kill():
            check_run(folder)
    with tagged(tally):
        process, _ = start_training(options, folder, until=0)
        with tally.last_look():
            assert process.wait(PATIENCE) == 0, "the run does not go on to its end"
            check_run(folder)
            check_weights(folder, unbroken)
    tally.leftovers += len(leftovers(folder))
    return tally


#: The share of the kills that come while Python starts and reads what it needs.
_EARLY = 0.15


def _pace(run: Path) -> tuple[int, float, float]:
    """The last step of a run, the seconds between two validations, and those from the last one to the result."""
    events, _ = read_events(run / "events.jsonl")
    validated = [event for event in events if "dice" in event and "step" in event]
    seconds = validated[-1]["time"] - validated[0]["time"]
    return validated[-1]["step"], seconds / (len(validated) - 1), events[-1]["time"] - validated[-1]["time"]


def start_training(options: Sequence[str], folder: Path, until: int) -> tuple[subprocess.Popen[bytes], float]:
    """Start a run, or let it go on, and wait until it has come to a step; the process, and the seconds that took."""
    started = time.monotonic()
    begun = (folder / "events.jsonl").exists()
    arguments = ["--resume", str(folder)] if begun else [*options, "--output", str(folder)]
    _, said = read_events(folder / "events.jsonl")
    process = start_process(engine_command("cli", "train", *arguments), folder.with_suffix(".log"), append=True)
    while until and process.poll() is None and _step_since(folder, said) < until:
        time.sleep(0.002)
        if time.monotonic() - started > PATIENCE:
            process.kill()
    return process, time.monotonic() - started


def _step_since(folder: Path, offset: int) -> int:
    """The step that a run has told of since that place in its events; what it goes on from counts as well."""
    events, _ = read_events(folder / "events.jsonl", offset)
    told = [event["step"] for event in events if "step" in event]
    told += [int(event["text"].split()[-1]) for event in events if event.get("name") == "resume"]
    return max(told, default=0)


def check_run(folder: Path) -> None:
    """Raise AssertionError, ValueError or CardiacSegError where something in the folder of a run is not whole."""
    from CardiacSegLib.training.checkpoints import Checkpoints

    for path in folder.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    if (folder / "events.jsonl").exists():
        events, end = read_events(folder / "events.jsonl")
        assert end == (folder / "events.jsonl").stat().st_size, "events.jsonl ends in the middle of a line"
        assert len(events) == (folder / "events.jsonl").read_bytes().count(b"\n"), "a line of events.jsonl is no event"
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as stream:
            assert all(None not in row and None not in row.values() for row in csv.DictReader(stream)), path.name
    for path in folder.rglob("[!.]*.png"):
        assert path.read_bytes()[-8:-4] == b"IEND", f"{path.name} is cut off"
    Checkpoints(folder / "checkpoints").load()
    if (folder / "bundle").exists():
        check_bundle(folder / "bundle")
        assert "validation_dice" in training_facts(Bundle.read(folder / "bundle")), "the bundle was not scored"
        assert Bundle.read(folder / "bundle").card.is_file(), "the bundle has no card"


def check_bundle(folder: Path) -> None:
    """Raise AssertionError or CardiacSegError where a model is not whole."""
    bundle = Bundle.read(folder)
    assert sha256(folder / WEIGHTS) == bundle.hash, f"{folder.name}: the weights are not those of the metadata"


def check_weights(run: Path, other: Path) -> None:
    """Raise AssertionError where two runs did not end with the same bits."""
    ours, theirs = weights_of(run), weights_of(other)
    different = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    assert not different, f"{run.name}: other numbers than in {other.name}: {', '.join(different)}"


def weights_of(run: Path) -> dict[str, bytes]:
    """Every number that a run ended with: live and averaged weights, and what the optimizer remembers."""
    import torch

    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    moments = {f"{number}": one for number, one in state["optimizer"]["state"].items()}
    found = {"network": state["network"], "averaged": state["averaged"], **moments}
    tensors = {f"{part}.{name}": value for part, one in found.items() for name, value in one.items()}
    return {name: torch.as_tensor(value).numpy().tobytes() for name, value in tensors.items()}


# The panel's host -----------------------------------------------------------------------------------------------------


def kill_hosts(count: int, chance: random.Random, model: str, folder: Path, command: Sequence[str] = ()) -> Tally:
    """Kill a process with a scene and a client while its worker computes, and while it saves its scene.

    Args:
        model: of the jobs.
        folder: gets the scene, and stands for the system's folder of what is temporary.
        command: of another worker than the engine's.
    """
    tally = Tally("panel's host", "the worker gone by itself, the saved scene whole; nothing temporary after a start")
    image, affine = an_image()
    np.save(folder / "image.npy", image)
    np.save(folder / "affine.npy", affine)
    with tagged(tally):
        startup, host = _timed(lambda: _ready(start_host(folder, model, 1, command), folder))
        job, code = _timed(lambda: host.wait(PATIENCE))
    assert code == 0, (folder / "log.txt").read_text()
    expected = scene_labels(folder / "scene.mrb")
    for _ in range(count):
        with tally.kill():
            with tagged(tally):
                is_early = chance.random() < _EARLY
                host = start_host(folder, model, 1000, command)
                if not is_early:
                    _ready(host, folder)
                time.sleep(chance.uniform(0, startup if is_early else 2 * job))
                host.kill()
                host.wait()
            assert scene_labels(folder / "scene.mrb") == expected, "the saved scene has other labels"
    for path in folder.glob(".partial-*"):
        os.utime(path, (0, 0))  # what lies beside a scene goes when it is a day old: another process may be writing it
    with tagged(tally):
        assert start_host(folder, model, 1, command).wait(PATIENCE) == 0
    tally.leftovers += len([*leftovers(folder), *_temporary(folder).iterdir()])
    return tally


def _ready(host: subprocess.Popen[bytes], folder: Path) -> subprocess.Popen[bytes]:
    """The host, once it has its scene and its client."""
    wait_until(lambda: host.poll() is not None or b"ready" in (folder / "log.txt").read_bytes())
    return host


def start_host(folder: Path, model: str, rounds: int, command: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a host that segments and saves its scene so many times."""
    _temporary(folder).mkdir(exist_ok=True)
    arguments = [sys.executable, "-c", HOST, str(folder), model, str(rounds), *command]
    with (folder / "log.txt").open("wb") as log:
        environment = {**engine_environment(), "TMPDIR": str(_temporary(folder))}
        return subprocess.Popen(arguments, stdout=log, stderr=log, env=environment)


def _temporary(folder: Path) -> Path:
    return folder / "temporary"


def scene_labels(path: Path) -> bytes:
    """The labels that a saved scene shows on its volume."""
    from CardiacSegLib.mrml.storage import create_scene, load_scene

    scene = create_scene()
    try:
        load_scene(scene, path)
        nodes = [scene.GetFirstNodeByClass(f"vtkMRML{name}Node") for name in ("Segmentation", "ScalarVolume")]
        assert all(nodes), f"{path.name} has not all of its nodes"
        return _labels_in(*nodes)
    finally:
        scene.Clear(True)
