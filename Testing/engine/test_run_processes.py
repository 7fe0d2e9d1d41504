"""Commands and training runs as processes of their own, as the panel follows them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean

import psutil
import pytest

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.jobs.processes import ProcessMark, engine_environment
from CardiacSegLib.jobs.run_folder import ask_to_stop
from CardiacSegLib.jobs.runs import TrainingRun, find_runs
from CardiacSegLib.training.run import resume, train
from killing import check_weights
from listening import Listener
from waiting import wait_until

STEPS = 48


@pytest.fixture
def a_run_folder(an_unbroken_run: Path, tmp_path: Path) -> Path:
    """The folder of a run that has said that it trains, and nothing since."""
    folder = tmp_path / "run"
    shutil.copytree(an_unbroken_run, folder)
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:3]), encoding="utf-8")
    return folder


def started_by_a_process_that_ends(arguments: list[str], folder: Path) -> TrainingRun:
    script = "import sys; from CardiacSegLib.jobs.runs import TrainingRun; TrainingRun.start(sys.argv[2:], sys.argv[1])"
    command = [sys.executable, "-c", script, str(folder), *arguments]
    subprocess.run(command, env=engine_environment(), check=True)
    return TrainingRun(folder)


class TestACommand:
    def test_says_what_a_data_set_holds_and_that_it_can_be_trained_on(self, an_acdc_folder):
        with EngineCommand.start(["dataset", str(an_acdc_folder)]) as command:
            events = []
            wait_until(lambda: events.extend(command.poll()) or not command.is_running)
            events += command.poll()
            assert (command.exit_code, command.error) == (0, None)
            assert events[0]["event"] == "stage"
            assert events[-1] == command.result
            result = command.result
            facts = {name: result[name] for name in ("layout", "patients", "cases", "problems", "trainable")}
            assert facts == {"layout": "acdc", "patients": 10, "cases": 20, "problems": 0, "trainable": True}
            assert list(result["structures"]) == ["RV", "MYO", "LV"]
            assert result["text"].endswith("every case can be used")
            folder = command.folder
        assert not folder.exists()

    def test_says_why_a_data_set_cannot_be_trained_on(self, an_acdc_folder, tmp_path):
        shutil.copytree(an_acdc_folder / "patient001", tmp_path / "one" / "patient001")
        with EngineCommand.start(["dataset", str(tmp_path / "one")], tmp_path / "job") as command:
            wait_until(lambda: not command.is_running)
            assert command.result["trainable"] is False
            assert "patient" in command.result["obstacle"]
        assert (tmp_path / "job" / "events.jsonl").exists()

    def test_that_fails_has_its_reason(self, tmp_path):
        with EngineCommand.start(["dataset", str(tmp_path / "none")]) as command:
            wait_until(lambda: not command.is_running)
            assert command.exit_code == 1
            assert "none: does not exist" in command.error
            assert command.result is None

    def test_that_is_wrong_is_an_error_with_its_last_lines(self):
        with EngineCommand.start(["datasett"]) as command:
            wait_until(lambda: not command.is_running)
            assert command.exit_code == 2
            assert "exit code 2" in command.error
            assert "invalid choice: 'datasett'" in command.error

    def test_keeps_what_is_no_event_as_log(self):
        with EngineCommand.start(["--version"]) as command:
            wait_until(lambda: not command.is_running)
            assert command.log.startswith("cardiacseg ")
            assert (command.poll(), command.error) == ([], None)

    def test_is_ended_at_once(self, an_acdc_folder):
        with EngineCommand.start(["dataset", str(an_acdc_folder)]) as command:
            started = time.monotonic()
            command.kill()
            assert time.monotonic() - started < 0.5
            wait_until(lambda: not command.is_running, seconds=5)
            assert command.error == "the command was canceled"


class TestARun:
    @pytest.mark.long
    def test_outlives_who_started_it_stops_and_goes_on_to_the_weights_of_an_unbroken_one(
        self, longer_options, an_unbroken_run, tmp_path
    ):
        run = started_by_a_process_that_ends(longer_options, tmp_path / "runs" / "mine")
        wait_until(lambda: run.state == "failed" or run.stage.startswith("training"))
        assert run.state == "running", run.error
        (found,) = find_runs(tmp_path / "runs")
        assert (found.folder, found.name) == (run.folder, "small")
        found.stop()
        wait_until(lambda: run.state != "stopping" and not run.is_alive)
        assert run.state == found.state == "stopped"
        assert run.bundle is None
        assert run.error is None
        assert run.stage.startswith("stopped at step ")
        assert not (run.folder / "stop").exists()
        run.resume()
        assert run.state == found.state == "starting"
        wait_until(lambda: not run.is_alive)
        assert run.state == "finished"
        check_weights(run.folder, an_unbroken_run)
        assert "stopped; go on with it by --resume" in run.log_tail()
        assert sum(event["event"] == "stopped" for event in run.poll()) == 1
        assert not (run.folder / "process.json").exists()

    def test_is_the_only_one_in_its_folder_and_interrupted_when_it_is_killed(self, longer_options, tmp_path):
        long_run = [*longer_options, "--epochs", "5000", "--compile", "never"]
        run = started_by_a_process_that_ends(long_run, tmp_path / "mine")
        wait_until(lambda: run.state != "starting")
        assert run.state == "running", run.error
        with pytest.raises(CardiacSegError, match="the run is at work"):
            run.resume()
        with pytest.raises(CardiacSegError, match="holds a run already"):
            TrainingRun.start(long_run, run.folder)
        with pytest.raises(CardiacSegError, match=r"process \d+ on .* is at work in it"):
            resume(run.folder, Listener())
        process = psutil.Process(ProcessMark.read(run.folder / "process.json").pid)
        run.kill()
        wait_until(lambda: run.state == "interrupted", seconds=5)
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        assert "it can go on from its last checkpoint" in run.error

    def test_that_is_finished_has_a_bundle_and_its_history(self, an_unbroken_run):
        run = TrainingRun(an_unbroken_run)
        assert (run.state, run.error, run.name, run.fraction) == ("finished", None, "small", 1.0)
        assert run.bundle == an_unbroken_run / "bundle"
        history = run.history()
        assert [row["step"] for row in history] == list(range(4, STEPS + 1, 4))
        assert mean(run.dice.values()) == pytest.approx(history[-1]["dice"], abs=1e-3)
        assert set(run.dice) == {"LV", "MYO", "RV"}
        assert run.loss == pytest.approx(history[-1]["loss"])
        assert run.latest_picture.name == f"step_{STEPS:07d}.png"
        assert run.poll()[-1]["event"] == "result"
        assert run.poll() == []

    def test_that_cannot_begin_has_failed_with_the_reason(self, longer_options, tmp_path):
        run = TrainingRun.start([*longer_options, "--epochs", "many"], tmp_path / "run")
        assert run.state == "starting"
        assert [found.folder for found in find_runs(tmp_path)] == [run.folder]
        wait_until(lambda: not run.is_alive)
        assert run.state == "failed"
        assert "invalid int value: 'many'" in run.error

    def test_asked_to_stop_before_its_first_step_can_go_on_and_is_not_stopped_by_what_was_asked_long_ago(
        self, a_longer_config, tmp_path
    ):
        config = replace(a_longer_config, epochs=1, validations=1)
        (tmp_path / "run").mkdir()
        ask_to_stop(tmp_path / "run")
        assert train(config, tmp_path / "run", Listener()) is None
        assert TrainingRun(tmp_path / "run").state == "stopped"
        ask_to_stop(tmp_path / "run")
        os.utime(tmp_path / "run" / "stop", (0, 0))
        assert resume(tmp_path / "run", Listener()).card.is_file()


class TestWhoWorksInAFolder:
    @pytest.fixture
    def mark(self, a_run_folder: Path) -> Callable[..., None]:
        def write(**other: object) -> None:
            fields = {**asdict(ProcessMark.of_this_process()), **other}
            (a_run_folder / "process.json").write_text(json.dumps(fields), encoding="utf-8")

        return write

    def test_is_the_process_that_said_so(self, a_run_folder, mark):
        mark()
        assert TrainingRun(a_run_folder).is_alive

    def test_is_no_other_that_got_its_number(self, a_run_folder, mark):
        mark(started=time.time() - 3600)
        run = TrainingRun(a_run_folder)
        assert run.state == "interrupted"
        run.kill()  # or this process would be gone

    def test_is_nobody_where_the_number_is_free_or_the_file_is_damaged(self, a_run_folder, mark):
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        mark(pid=child.pid)
        assert TrainingRun(a_run_folder).state == "interrupted"
        (a_run_folder / "process.json").write_text("{")
        assert TrainingRun(a_run_folder).state == "interrupted"

    def test_is_alive_on_another_computer_while_its_files_change(self, a_run_folder, mark):
        mark(host=f"not-{socket.gethostname()}")
        run = TrainingRun(a_run_folder)
        assert run.state == "running"
        with pytest.raises(CardiacSegError, match="kill it there"):
            run.kill()
        for name in ("events.jsonl", "process.json"):
            os.utime(a_run_folder / name, (time.time() - 1000,) * 2)
        assert run.state == "interrupted"


def test_runs_are_listed_with_the_newest_first(an_unbroken_run, tmp_path):
    for number, name in enumerate(("first", "third", "second")):
        shutil.copytree(an_unbroken_run, tmp_path / name)
        os.utime(tmp_path / name / "events.jsonl", (1000 + [0, 20, 10][number],) * 2)
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").touch()
    assert [run.folder.name for run in find_runs(tmp_path)] == ["third", "second", "first"]
    assert find_runs(tmp_path / "none") == []
