"""Two hosts, as two Slicers are, at the same moment in one folder of models and in one run folder."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.bundles import Bundle, list_models
from CardiacSegLib.cli import main
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.jobs.processes import engine_environment
from CardiacSegLib.jobs.run_folder import claimed
from CardiacSegLib.models.library import delete_model, export_model
from CardiacSegLib.training.config import TrainingConfig
from killing import PATIENCE, an_image, cheap_worker, check_bundle, leftovers

#: Does one work in several rounds, each of which begins when all hosts are there, and prints how it went.
HOST = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.jobs.run_folder import claimed
from CardiacSegLib.models.library import delete_model, import_model

place, hosts, rounds, work, *arguments = sys.argv[1:]

def meet(name):
    (Path(place) / f"{name} {os.getpid()}").touch()
    while len(list(Path(place).glob(f"{name} *"))) < int(hosts):
        time.sleep(0.001)

def do(number):
    if work == "import":
        import_model(*(text.format(number) for text in arguments))
    elif work == "delete":
        delete_model(arguments[0].format(number))
    elif work == "claim":
        try:
            with claimed(Path(arguments[0].format(number))):
                meet(f"tried{number}")
        finally:
            (Path(place) / f"tried{number} {os.getpid()}").touch()
    elif work == "segment":
        image = np.load(arguments[0])
        with WorkerClient("plain", "cpu", arguments[1:]) as client:
            np.save(arguments[0], client.segment(image, np.eye(4)))

for number in range(int(rounds)):
    meet(f"round{number}")
    try:
        do(number)
        print(json.dumps("done"))
    except CardiacSegError as error:
        print(json.dumps(str(error)))
"""
ROUNDS = 8


def at_once(place: Path, works: list[list[str]], rounds: int = ROUNDS) -> list[list[str]]:
    """How each round of each work went that a process of its own did: "done", or why it was refused.

    Args:
        place: where the processes meet; does not exist.
        works: each with its arguments, in which {} is the number of the round.
    """
    place.mkdir()
    start = [sys.executable, "-c", HOST, str(place), str(len(works)), str(rounds)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": engine_environment()}
    hosts = [subprocess.Popen([*start, *work], **options) for work in works]
    try:
        said = [host.communicate(timeout=PATIENCE) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    assert not any(host.returncode for host in hosts), b"".join(errors for _, errors in said).decode()
    told = [[json.loads(line) for line in output.splitlines()] for output, _ in said]
    assert not [line for lines in told for line in lines if "\n" in line]
    return told


class TestOneModelsFolder:
    @pytest.fixture
    def models(self, a_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with a model that two hosts know."""
        folder = tmp_path / "models"
        shutil.copytree(a_bundle.folder, folder / "shared")
        monkeypatch.setenv("CARDIACSEG_MODELS", str(folder))
        return folder

    @pytest.fixture
    def archive(self, a_bundle: Bundle, tmp_path: Path) -> str:
        return str(export_model(a_bundle, tmp_path / "model.zip"))

    def test_takes_a_model_of_one_name_from_one_of_them(self, models, archive, tmp_path):
        first, second = at_once(tmp_path / "place", [["import", archive, "new {}"]] * 2)
        for pair in zip(first, second):
            assert sorted(line == "done" for line in pair) == [False, True], pair
        for number in range(ROUNDS):
            check_bundle(models / f"new {number}")
        assert not leftovers(models)

    def test_holds_whole_models_while_one_imports_what_two_others_delete(self, models, archive, tmp_path):
        works = [["import", archive, "shared"], ["delete", "shared"], ["delete", "shared"]]
        imported, *deleted = at_once(tmp_path / "place", works)
        came = 1 + Counter(imported)["done"]
        went = sum(Counter(lines)["done"] for lines in deleted)
        found = [bundle for bundle in list_models() if bundle.folder.parent == models]
        assert came - went == len(found)
        for bundle in found:
            check_bundle(bundle.folder)
        assert not leftovers(models)

    def test_loses_a_model_that_a_worker_has_loaded_and_still_labels_with(self, models):
        image, affine = an_image(slices=1)
        with WorkerClient("shared", "cpu") as client:
            labels = client.segment(image, affine)
            delete_model("shared")
            np.testing.assert_array_equal(client.segment(image, affine), labels)
            client.cancel()
            with pytest.raises(CardiacSegError, match=r"^no model is called 'shared'"):
                client.segment(image, affine)
        assert not list(models.iterdir())


def test_two_segment_at_once_and_each_gets_its_own_labels(tmp_path):
    image, _ = an_image()
    images = [tmp_path / "first.npy", tmp_path / "second.npy"]
    for path, one in zip(images, (image, -image)):
        np.save(path, one)
    command = cheap_worker(tmp_path)
    told = at_once(tmp_path / "place", [["segment", str(path), *command] for path in images], rounds=1)
    assert told == [["done"], ["done"]]
    for path, one in zip(images, (image, -image)):
        np.testing.assert_array_equal(np.load(path), np.digitize(one, np.quantile(one, [0.7, 0.8, 0.9])))


class TestARunFolder:
    def test_is_claimed_by_one_of_four_that_come_at_once(self, tmp_path):
        for number in range(ROUNDS):
            (tmp_path / f"run{number}").mkdir()
            if number % 2:  # of a process that is gone: all four see that they may have the folder
                mark = {"pid": 2**22 + 1, "started": 0.0, "host": socket.gethostname()}
                (tmp_path / f"run{number}" / "process.json").write_text(json.dumps(mark))
        told = at_once(tmp_path / "place", [["claim", f"{tmp_path}/run{{}}"]] * 4)
        for lines in zip(*told):
            assert sorted(line == "done" for line in lines) == [False, False, False, True], lines
            assert all("is at work in it; stop that one first" in line for line in lines if line != "done")
        assert not leftovers(tmp_path)

    def test_in_which_a_process_works_is_refused_to_whoever_starts_or_resumes_in_it(
        self, a_small_config: TrainingConfig, tmp_path, capsys
    ):
        run = tmp_path / "run"
        run.mkdir()
        script = "import sys, pathlib; from CardiacSegLib.jobs.run_folder import claimed\n"
        script += "with claimed(pathlib.Path(sys.argv[1])): print('claimed', flush=True); input()"
        command = [sys.executable, "-c", script, str(run)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=engine_environment()) as host:
            assert host.stdout.readline() == b"claimed\n"
            starts = ["train", "--dataset", a_small_config.dataset, "--output", str(run), "--device", "cpu"]
            assert self.refusal(starts, capsys).count(f"process {host.pid} on {socket.gethostname()} is at work in it")
            assert [path.name for path in run.iterdir()] == ["process.json"]
            a_small_config.write(run)
            (run / "events.jsonl").touch()
            assert "is at work in it" in self.refusal(["train", "--resume", str(run)], capsys)
            assert "holds a run already; go on with it by --resume" in self.refusal(starts, capsys)
            assert (run / "events.jsonl").read_bytes() == b""
            host.communicate(b"\n")
        with claimed(run):
            assert (run / "process.json").exists()

    def refusal(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
        """The one line by which the command refuses."""
        assert main(arguments) == 1
        printed = capsys.readouterr().err.strip()
        assert printed.count("\n") == 0, printed
        return printed
