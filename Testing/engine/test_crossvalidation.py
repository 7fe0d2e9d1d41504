"""Every patient labeled once, by a model that was not trained on it; and nothing lost where that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from CardiacSegLib.bundles import Bundle, training_facts
from CardiacSegLib.cli import main
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.evaluation.tables import read_metrics
from CardiacSegLib.images import read_image
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.events import read_events
from CardiacSegLib.jobs.run_folder import ask_to_stop
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.crossvalidation import cross_validate, going_on
from listening import Listener
from waiting import wait_until

FOLDS = 2
CARD_PROGRAM = Path(__file__).parents[1] / "benchmarks" / "card.py"


@pytest.fixture(scope="module")
def a_dataset(an_acdc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(1, 5):
        shutil.copytree(an_acdc_folder / f"patient{number:03d}", folder / f"patient{number:03d}")
    return folder


@pytest.fixture(scope="module")
def options(a_small_config: TrainingConfig, a_dataset: Path) -> list[str]:
    """Two folds of a network that takes a tenth of a second for an epoch."""
    given = a_small_config.command(TrainingConfig(), dataset=str(a_dataset)).split()
    few = ["--folds", str(FOLDS), "--device", "cpu", "--epochs", "1", "--validations", "1"]
    return [*given, *few, "--name", "small"]


@pytest.fixture(scope="module")
def a_config(a_small_config: TrainingConfig, a_dataset: Path) -> TrainingConfig:
    """The same, as a configuration."""
    return replace(a_small_config, dataset=str(a_dataset), folds=FOLDS, epochs=1, validations=1)


def run(output: Path, *options: str) -> int:
    return main(["crossvalidate", "--output", str(output), *options])


@pytest.fixture(scope="module")
def finished(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cross-validation that came to its end."""
    folder = tmp_path_factory.mktemp("finished")
    with contextlib.redirect_stdout((folder / "printed.jsonl").open("w")):
        assert run(folder, *options, "--events") == 0
    return folder


@pytest.fixture(scope="module")
def summary(finished: Path) -> dict[str, Any]:
    return json.loads((finished / "summary.json").read_text(encoding="utf-8"))


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_folder / "bundle" / "models" / "model.pt", weights_only=True)


class TestACrossValidation:
    def test_scores_each_case_once(self, finished, summary, a_dataset):
        names = [row.case for row in read_metrics(finished / "metrics.csv")]
        wanted = sorted(case.name for case in find_cases(a_dataset))
        assert sorted(names) == sorted(3 * wanted)
        assert (summary["cases"], summary["patients"]) == (8, 4)
        assert summary["scores"]["ES"]["mean"]["dice"]["count"] == 4

    def test_labels_each_patient_by_the_model_that_has_not_seen_it(self, finished, a_dataset):
        cases = {case.name: case for case in find_cases(a_dataset)}
        seen = set()
        for fold in range(FOLDS):
            bundle = Bundle.read(finished / f"fold{fold}" / "bundle")
            facts = training_facts(bundle)
            held_out = facts["patients_validated_on"]
            assert not set(held_out) & {*facts["patients_trained_on"], *seen}
            seen.update(held_out)
            case = cases[f"{held_out[0]}_ED"]
            image = case.read()[0]
            labels = read_image(finished / "predictions" / f"{case.name}.nii.gz").array
            np.testing.assert_array_equal(labels, Segmenter.load(bundle, "cpu").segment(image.array, image.affine))
        assert len(seen) == 4

    def test_has_a_report_with_its_folds_and_no_warning_of_seen_patients(self, finished, summary):
        assert set(summary["folds"]) == {"0", "1"}
        assert not any("TRAINED ON" in line for line in summary["warnings"])
        assert set(summary["roc"]) == {"LV", "MYO", "RV"}
        assert (finished / "report.html").stat().st_size > 10_000
        assert (summary["model_card"]["name"], summary["model_card"]["folds"]) == ("small", FOLDS)
        assert str(finished) not in (finished / "summary.json").read_text(encoding="utf-8")

    def test_can_be_told_in_the_card_of_a_model(self, finished, summary, tmp_path):
        """``benchmarks/card.py``, run twice: the chapter stands there once."""
        model = shutil.copytree(finished / "fold0" / "bundle", tmp_path / "model")
        command = [sys.executable, str(CARD_PROGRAM), "--model", str(model), "--crossvalidation", str(finished)]
        for _ in range(2):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        card = Bundle.read(model).card.read_text(encoding="utf-8")
        assert card.count("## Cross-validation\n") == 1
        for phase in ("ED", "ES", "all"):
            dice = {name: found["dice"]["mean"] for name, found in summary["scores"][phase].items()}
            numbers = " | ".join(f"{dice[name]:.4f}" for name in ("LV", "MYO", "RV", "mean"))
            assert f"| {phase} | 4 | {numbers} |" in card
        assert "| fold 1 | 2 |" in card
        assert "8 images" in card
        assert "cardiacseg crossvalidate" in card

    def test_goes_forward_only_and_says_where_it_is(self, finished):
        events, _ = read_events(finished / "printed.jsonl")
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        stages = [event["text"] for event in events if event["event"] == "stage"]
        assert any(text.startswith("fold 1 of 0 to 1: training") for text in stages)
        assert (events[-1]["event"], events[-1]["cases"]) == ("result", 8)


class TestOneThatIsKilled:
    @pytest.mark.long
    def test_goes_on_to_the_weights_of_one_that_was_not(self, options, finished, a_config, tmp_path, capsys):
        """SIGKILL in the middle of the second fold."""
        folder = tmp_path / "killed"
        longer = [*options, "--epochs", "6", "--validations", "3"]
        command = [sys.executable, "-m", "CardiacSegLib.cli", "crossvalidate", "--output", str(folder), *longer]
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        wait_until(lambda: (folder / "fold1" / "checkpoints" / "last.pt").exists() or process.poll() is not None)
        assert process.poll() is None, "it was over before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        first = (folder / "fold0" / "bundle" / "models" / "model.pt").stat().st_mtime_ns
        assert not (folder / "summary.json").exists()
        assert run(folder) == 0
        assert "| all | " in capsys.readouterr().out
        events, _ = read_events(folder / "fold1" / "events.jsonl")
        assert [event["name"] for event in events if event.get("name") == "resume"] == ["resume"]
        assert (folder / "fold0" / "bundle" / "models" / "model.pt").stat().st_mtime_ns == first
        assert (folder / "folds.json").read_text(encoding="utf-8") == (finished / "folds.json").read_text(
            encoding="utf-8"
        )
        assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["cases"] == 8
        config = replace(a_config, epochs=6, validations=3)
        cross_validate(config, tmp_path / "unbroken", Listener(), only_fold=1)
        ours, theirs = weights(folder / "fold1"), weights(tmp_path / "unbroken" / "fold1")
        assert not [name for name in theirs if not torch.equal(ours[name], theirs[name])]


class TestOneThatGoesOn:
    def test_keeps_its_division_when_cases_are_added_and_trains_what_is_missing(self, finished, a_dataset, tmp_path):
        data, folder = tmp_path / "data", tmp_path / "run"
        shutil.copytree(a_dataset, data)
        shutil.copytree(finished, folder)
        shutil.rmtree(folder / "fold1")
        folds, first = (
            (folder / "folds.json").read_text(encoding="utf-8"),
            read_events(folder / "fold0" / "events.jsonl"),
        )
        (data / "patient000").mkdir()
        for path in (data / "patient001").iterdir():
            shutil.copy(path, data / "patient000" / path.name.replace("patient001", "patient000"))
        config = going_on(folder, None, {"dataset": str(data)})
        summary, place = cross_validate(config, folder, Listener())
        assert (place, summary["patients"]) == (folder, 4)
        assert (folder / "folds.json").read_text(encoding="utf-8") == folds
        assert {row.patient for row in read_metrics(folder / "metrics.csv")} == {f"patient00{n}" for n in range(1, 5)}
        assert read_events(folder / "fold0" / "events.jsonl") == first
        new, old = weights(folder / "fold1"), weights(finished / "fold1")
        assert all(torch.equal(new[name], old[name]) for name in old)

    def test_cannot_become_another_one(self, finished, options, capsys):
        assert run(finished, *options, "--batch-size", "4") == 1
        assert "holds a cross-validation with another --batch-size" in capsys.readouterr().err
        assert run(finished, *options, "--folds", "3") == 1
        assert "another --folds" in capsys.readouterr().err

    def test_was_stopped_as_it_was_asked(self, options, tmp_path, capsys):
        (tmp_path / "fold0").mkdir()
        ask_to_stop(tmp_path / "fold0")
        assert run(tmp_path, *options) == 0
        assert "the same command goes on with it" in capsys.readouterr().out
        assert not (tmp_path / "fold1").exists()
        summary, _ = cross_validate(going_on(tmp_path, None, {}), tmp_path, Listener())
        assert summary["cases"] == 8


class TestOneFold:
    def test_is_trained_and_scored_alone(self, options, finished, tmp_path):
        assert run(tmp_path, *options, "--only-fold", "1") == 0
        assert sorted(path.name for path in tmp_path.glob("fold?")) == ["fold1"]
        rows = read_metrics(tmp_path / "fold1" / "evaluation" / "metrics.csv")
        whole = [row for row in read_metrics(finished / "metrics.csv") if row.patient in {r.patient for r in rows}]
        assert rows == whole
        assert (tmp_path / "fold1" / "evaluation" / "report.html").is_file()
        assert not (tmp_path / "metrics.csv").exists()

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (("--only-fold", "2"), "choose 0 to 1"),
            (("--fold", "1"), "one by --only-fold"),
            (("--fractions", "0.7", "0.3", "0"), "divides by folds"),
            (("--folds", "7"), "4 patients do not make 7 folds"),
        ],
    )
    def test_that_is_not_there_is_said(self, options, tmp_path, capsys, wrong, message):
        assert run(tmp_path / "out", *options, *wrong) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_a_split_file_makes_the_folds(a_config, tmp_path):
    (tmp_path / "split.json").write_text(json.dumps({"folds": [["patient001", "patient004"], ["patient002"]]}))
    config = replace(a_config, split=str(tmp_path / "split.json"))
    summary, _ = cross_validate(config, tmp_path / "out", Listener())
    facts = training_facts(Bundle.read(tmp_path / "out" / "fold0" / "bundle"))
    assert facts["patients_validated_on"] == ["patient001", "patient004"]
    assert facts["patients_trained_on"] == ["patient002"]
    assert summary["patients"] == 3
    assert "--split split.json" in summary["command"]


def test_an_empty_folder_cannot_go_on(tmp_path, capsys):
    assert run(tmp_path) == 1
    assert "dataset is not given" in capsys.readouterr().err
