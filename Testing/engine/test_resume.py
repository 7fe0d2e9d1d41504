"""Nothing is lost: runs that are killed, that run out of disk, whose data vanish or whose loss explodes."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from CardiacSegLib.bundles import Bundle
from CardiacSegLib.cli import main
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.events import read_events
from CardiacSegLib.training import compilation
from CardiacSegLib.training import run as run_module
from CardiacSegLib.training.checkpoints import Checkpoints
from CardiacSegLib.training.run import resume, train
from CardiacSegLib.training.trainer import Trainer
from killing import check_weights, start_training
from listening import Listener

STEPS = 48


def stop_at_step(step: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the trainer raise when it comes to a step."""
    whole = Trainer._train_on

    def train_on(self: Trainer, *arguments: object) -> None:
        if self.step == step:
            raise error
        whole(self, *arguments)

    monkeypatch.setattr(Trainer, "_train_on", train_on)


class TestARunThatIsKilled:
    def test_ends_in_the_weights_of_one_that_was_not(self, longer_options, an_unbroken_run, tmp_path, capsys):
        """Killed at a step by chance; at many of them in ``test_kills.py``."""
        folder = tmp_path / "run"
        process, _ = start_training(longer_options, folder, until=random.Random(1).randrange(2, STEPS - 4))
        assert process.poll() is None, folder.with_suffix(".log").read_text("utf-8")
        process.kill()
        process.wait()
        Checkpoints(folder / "checkpoints").load()  # is whole, or none was written yet
        (folder / "checkpoints" / ".partial-abc.pt").write_bytes(b"what a process killed while it wrote leaves")
        assert main(["train", "--resume", str(folder)]) == 0
        assert capsys.readouterr().out.strip().endswith("bundle")
        events, _ = read_events(folder / "events.jsonl")
        assert sum(event.get("name") == "resume" for event in events) == 1
        check_weights(folder, an_unbroken_run)
        assert (folder / "metrics.csv").read_text().count("\n") == 13
        assert not list(folder.rglob(".partial-*"))

    @pytest.mark.long
    def test_goes_on_from_any_step(self, a_longer_config, an_unbroken_run, tmp_path, monkeypatch):
        for step in (0, 7, 47):  # before the first, between two checkpoints, before the last
            folder = tmp_path / str(step)
            with monkeypatch.context() as context:
                stop_at_step(step, context, KeyboardInterrupt())
                with pytest.raises(KeyboardInterrupt):
                    train(a_longer_config, folder, Listener())
            resume(folder, Listener())
            check_weights(folder, an_unbroken_run)

    def test_while_it_wrote_a_checkpoint_has_the_one_before(self, an_unbroken_run, tmp_path):
        shutil.copytree(an_unbroken_run / "checkpoints", tmp_path / "checkpoints")
        whole = (tmp_path / "checkpoints" / "last.pt").read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"no checkpoint"):
            (tmp_path / "checkpoints" / "last.pt").write_bytes(damaged)
            assert Checkpoints(tmp_path / "checkpoints").load()["trainer"]["step"] == STEPS - 4
        (tmp_path / "checkpoints" / "last.pt").unlink()
        assert Checkpoints(tmp_path / "checkpoints").load()["trainer"]["step"] == STEPS - 4
        (tmp_path / "checkpoints" / "previous.pt").write_bytes(b"")
        with pytest.raises(CardiacSegError, match="no older checkpoint is whole"):
            Checkpoints(tmp_path / "checkpoints").load()

    def test_while_it_was_scored_is_scored_again(self, an_unbroken_run, tmp_path):
        shutil.copytree(an_unbroken_run, tmp_path / "run")
        shutil.rmtree(tmp_path / "run" / "bundle")
        bundle = resume(tmp_path / "run", Listener())
        assert bundle.card.is_file()
        check_weights(tmp_path / "run", an_unbroken_run)

    def test_while_it_was_scored_once_more_has_its_earlier_bundle_and_all_that_it_said(
        self, a_longer_config, tmp_path, monkeypatch
    ):
        folder = tmp_path / "run"
        bundle = train(replace(a_longer_config, epochs=1, validations=1), folder, Listener())
        with (folder / "events.jsonl").open("a", encoding="utf-8") as stream:
            stream.write('{"event": "progress", "fra')
        with monkeypatch.context() as context:
            context.setattr("CardiacSegLib.training.scoring.score_cases", self.interrupted)
            with pytest.raises(KeyboardInterrupt):
                resume(folder, Listener(), {"epochs": 2})
        assert Bundle.read(bundle.folder) == bundle
        assert bundle.load_network() is not None
        assert not list(folder.glob("bundle-*"))
        events, _ = read_events(folder / "events.jsonl")
        again = [event["event"] for event in events].index("result") + 1
        assert [event.get("name") for event in events[again : again + 2]] == ["read", "resume"]

    def interrupted(self, *_: object) -> None:
        raise KeyboardInterrupt

    def test_while_its_bundles_changed_places_has_one_of_them_even_if_the_next_start_fails(
        self, an_unbroken_run, tmp_path, monkeypatch
    ):
        run = shutil.copytree(an_unbroken_run, tmp_path / "run")
        (run / "bundle").rename(run / "bundle-earlier")
        monkeypatch.setattr(run_module, "load_store", self.interrupted)
        with pytest.raises(KeyboardInterrupt):
            resume(run, Listener())
        assert Bundle.read(run / "bundle") == replace(Bundle.read(an_unbroken_run / "bundle"), folder=run / "bundle")


class TestARunThatGoesOn:
    def test_may_be_given_more_epochs(self, an_unbroken_run, tmp_path):
        shutil.copytree(an_unbroken_run, tmp_path / "run")
        resume(tmp_path / "run", Listener(), {"epochs": 14})
        assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["trainer"]["step"] == 56

    def test_cannot_become_another_run(self, an_unbroken_run):
        with pytest.raises(CardiacSegError, match="--batch-size cannot change when a run goes on"):
            resume(an_unbroken_run, Listener(), {"batch_size": 4})

    def test_has_to_be_one(self, tmp_path):
        with pytest.raises(CardiacSegError, match="no training run in it"):
            resume(tmp_path, Listener())

    def test_is_not_begun_again_over_what_is_there(self, a_longer_config, an_unbroken_run):
        before = (an_unbroken_run / "events.jsonl").read_bytes()
        with pytest.raises(CardiacSegError, match="holds a run already; go on with it by --resume"):
            train(a_longer_config, an_unbroken_run, Listener())
        assert (an_unbroken_run / "events.jsonl").read_bytes() == before

    def test_keeps_its_patients_on_their_sides(self, a_longer_config, an_unbroken_run, tmp_path):
        shutil.copytree(an_unbroken_run, tmp_path / "run")
        split = (tmp_path / "run" / "split.json").read_text(encoding="utf-8")
        more = tmp_path / "more"
        shutil.copytree(a_longer_config.dataset, more)
        shutil.copytree(more / "patient001", more / "patient000")
        for path in (more / "patient000").glob("patient001*"):
            path.rename(path.with_name(path.name.replace("patient001", "patient000")))
        resume(tmp_path / "run", Listener(), {"dataset": str(more)})
        assert (tmp_path / "run" / "split.json").read_text(encoding="utf-8") == split


class TestWhatGoesWrong:
    @pytest.mark.long
    def test_a_folder_of_data_that_vanished_is_named_and_can_be_given_again(
        self, a_longer_config, tmp_path, monkeypatch
    ):
        data = tmp_path / "data"
        shutil.copytree(a_longer_config.dataset, data)
        with monkeypatch.context() as context:
            stop_at_step(9, context, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                train(replace(a_longer_config, dataset=str(data)), tmp_path / "run", Listener())
        data.rename(tmp_path / "elsewhere")
        with pytest.raises(CardiacSegError, match="data"):
            resume(tmp_path / "run", Listener())
        resume(tmp_path / "run", Listener(), {"dataset": str(tmp_path / "elsewhere")})

    def test_a_case_that_cannot_be_read_is_named(self, a_longer_config, tmp_path):
        data = tmp_path / "data"
        shutil.copytree(a_longer_config.dataset, data)
        image = next((data / "patient003").glob("*_frame01.nii.gz"))
        image.write_bytes(image.read_bytes()[:200])
        with pytest.raises(CardiacSegError, match=image.name):
            train(replace(a_longer_config, dataset=str(data)), tmp_path / "run", Listener())
        events, _ = read_events(tmp_path / "run" / "events.jsonl")
        assert events[-1]["event"] == "error"

    @pytest.mark.long
    def test_a_loss_that_is_no_number_names_the_cases_and_spoils_no_weights(
        self, a_longer_config, tmp_path, monkeypatch
    ):
        with monkeypatch.context() as context:
            whole = run_module.load_store

            def load_store(*arguments, **named):
                store = whole(*arguments, **named)
                store.images[5] = float("nan")
                return store

            context.setattr(run_module, "load_store", load_store)
            with pytest.raises(CardiacSegError, match=r"the loss is no number at step \d+ \(cases .*patient.*lower"):
                train(a_longer_config, tmp_path / "run", Listener())
        resume(tmp_path / "run", Listener())

    def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_can_go_on(
        self, a_longer_config, an_unbroken_run, tmp_path, monkeypatch
    ):
        with monkeypatch.context() as context:
            whole, written = Path.write_bytes, []

            def write_bytes(path: Path, content: bytes) -> int:
                written.append(path)
                if len(written) == 5:
                    whole(path, bytes(content)[:1000])
                    raise OSError(28, "No space left on device")
                return whole(path, content)

            context.setattr(Path, "write_bytes", write_bytes)
            with pytest.raises(CardiacSegError, match="No space left on device"):
                train(a_longer_config, tmp_path / "run", Listener())
        assert not list((tmp_path / "run").rglob(".partial-*"))
        resume(tmp_path / "run", Listener())
        check_weights(tmp_path / "run", an_unbroken_run)

    def test_a_network_that_finds_nothing_is_named_as_such(self, a_longer_config, tmp_path, monkeypatch):
        config = replace(a_longer_config, learning_rate=1e-9)
        with monkeypatch.context() as context:
            whole = run_module.build_network

            def sees_background(definition):
                network = whole(definition)
                with torch.no_grad():
                    network.output_block.conv.conv.bias[0] += 100
                return network

            context.setattr(run_module, "build_network", sees_background)
            with pytest.raises(CardiacSegError, match=r"all-background collapse.*lower learning_rate"):
                train(config, tmp_path / "run", Listener())
        events, _ = read_events(tmp_path / "run" / "events.jsonl")
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert max(fractions) <= 0.3


class TestEarlyStopping:
    def test_ends_a_run_that_brings_nothing_better(self, a_longer_config, tmp_path):
        config = replace(a_longer_config, learning_rate=1e-9, patience=2, ema_decay=0.0)
        listener = Listener()
        train(config, tmp_path / "run", listener)
        assert "stop" in listener.stages
        step = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["trainer"]["step"]
        assert step <= 4 * 5

    @pytest.mark.long
    def test_may_keep_the_best_weights(self, a_longer_config, tmp_path):
        bundle = train(replace(a_longer_config, keep="best"), tmp_path / "run", Listener())
        best = Checkpoints(tmp_path / "run" / "checkpoints").load_best()
        kept = bundle.load_network().state_dict()
        assert all(torch.allclose(kept[name].float(), best[name].float(), atol=1e-3, rtol=1e-3) for name in kept)


@pytest.mark.long
def test_two_processes_train_one_network(a_longer_config, tmp_path):
    """Through torchrun, as on a machine with two GPUs; here each has a thread of the CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += [
        "-m",
        "CardiacSegLib.cli",
        "train",
        "--dataset",
        a_longer_config.dataset,
        "--output",
        str(tmp_path / "run"),
    ]
    command += ["--epochs", "6", "--filters", "8", "16", "32", "--spacing", "3", "--crop", "64", "--window", "96"]
    command += ["--learning-rate", "0.01", "--ema-decay", "0.9", "--device", "cpu", "--batch-size", "8"]
    finished = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.split() == [str(tmp_path / "run" / "bundle")]
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    assert len(checkpoint["samplers"]) == 2
    assert checkpoint["step"] == 6 * 64 // 16
    events, _ = read_events(tmp_path / "run" / "events.jsonl")
    assert sum(event["event"] == "result" for event in events) == 1


@pytest.mark.long
def test_a_compiled_run_goes_on_in_the_same_bits_too(a_longer_config, tmp_path, monkeypatch):
    """Where this machine has no compiler it goes layer by layer, and has to do so as well."""
    config = replace(a_longer_config, compile="auto")
    monkeypatch.setattr(compilation, "_SHORTEST_STEPS", 1)
    train(config, tmp_path / "unbroken", Listener())
    with monkeypatch.context() as context:
        stop_at_step(30, context, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "broken", Listener())
    assert resume(tmp_path / "broken", Listener()) is not None
    check_weights(tmp_path / "broken", tmp_path / "unbroken")
