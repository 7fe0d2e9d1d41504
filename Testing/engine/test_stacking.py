"""A meta-learner over several models: honest about whom it learns from, the same every time, and never a pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import Bundle, sha256, training_facts
from CardiacSegLib.cli import main
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.combining import TREES, Vote, features, load_rule
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.trees import Trees
from CardiacSegLib.models.embedded_code import runs_code
from CardiacSegLib.training import stacking
from members_made import a_member
from phantoms import write_acdc_patient
from sent_models import Trap

DEVICE = "cpu:torch"
METHODS = ("stacked-forest", "stacked-boosting")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for number in (1, 2, 3):
        write_acdc_patient(folder / f"patient{number:03d}", seed=number, slices=3)
    return folder


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two recipes on two folds each: patient002 was seen by all."""
    folder = tmp_path_factory.mktemp("folds")
    return [
        a_member(
            folder / f"recipe{recipe}-fold{fold}",
            recipe,
            shift=0.02 * fold,
            command=f"--dataset DATA --seed {recipe}" + (f" --fold {fold}" if fold else ""),
            patients_trained_on=["patient002", f"patient00{3 - 2 * fold}"],
            patients_validated_on=[f"patient00{1 + 2 * fold}"],
        )
        for recipe in (1, 2)
        for fold in (0, 1)
    ]


def made(folds: list[Bundle], dataset: Path, output: Path, *options: object) -> Bundle:
    models = [str(fold.folder) for fold in folds]
    small = ["--pixels", "1500", "--dataset", str(dataset), "--device", DEVICE]
    assert main(["ensemble", *models, "--output", str(output), *small, *map(str, options)]) == 0
    return Bundle.read(output)


@pytest.fixture(scope="module", params=METHODS)
def stacked(request: pytest.FixtureRequest, folds, dataset, tmp_path_factory) -> Bundle:
    return made(folds, dataset, tmp_path_factory.mktemp("stacked") / request.param, "--method", request.param)


class TestAStackedModel:
    def test_learns_from_patients_only_where_every_recipe_has_a_member_that_never_saw_them(self, stacked):
        facts = training_facts(stacked)
        assert facts["learned_from"] == ["patient001", "patient003"]
        assert stacked.combine["columns"] == [[0, 1], [2, 3]]

    def test_counts_those_it_learned_from_as_seen(self, stacked):
        assert training_facts(stacked)["patients_trained_on"] == ["patient001", "patient002", "patient003"]
        assert training_facts(stacked)["patients_validated_on"] == []

    def test_is_right_more_often_than_members_by_chance(self, stacked, folds, tmp_path):
        write_acdc_patient(tmp_path / "patient009", seed=9, slices=3)
        image, truth = read_case(find_cases(tmp_path)[0], CANONICAL)
        ours, *theirs = (
            (
                Segmenter.load(model, DEVICE).predict(image.array, image.affine).probabilities.argmax(axis=0) == truth
            ).mean()
            for model in (stacked, *folds)
        )
        assert ours > max(theirs) + 0.1

    def test_says_on_its_card_how_it_learned_and_brings_no_code(self, stacked):
        text = " ".join(stacked.card.read_text(encoding="utf-8").split())
        assert "trained with seed 0 on 2 patients, each predicted only by members that had not seen the patient" in text
        assert runs_code(stacked.folder) == []


def test_the_same_seed_learns_the_same_and_another_does_not(folds, dataset, tmp_path):
    first, again, other = (
        made(folds[:2], dataset, tmp_path / name, "--method", "stacked-forest", "--seed", seed, "--patch", 1)
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert first.combine["sha256"] == again.combine["sha256"] != other.combine["sha256"]
    assert first.combine["sha256"] == sha256(first.folder / "models" / TREES)


def test_learning_from_patients_whom_all_members_saw_is_refused_unless_it_is_asked_for(
    folds, dataset, tmp_path, capsys
):
    one_fold = [str(folds[0].folder), str(folds[3].folder)]
    command = ["ensemble", *one_fold, "--output", str(tmp_path / "out"), "--method", "stacked-forest"]
    command += ["--dataset", str(dataset), "--pixels", "2000", "--device", DEVICE]
    capsys.readouterr()
    assert main(command) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no patient can be predicted out of fold" in line
    assert "allow it by --seen" in line
    assert not (tmp_path / "out").exists()

    assert main([*command, "--seen"]) == 0
    assert len(training_facts(Bundle.read(tmp_path / "out"))["learned_from"]) == 3


class TestTreesAsArrays:
    @pytest.mark.parametrize("classes", [2, 4])
    @pytest.mark.parametrize("method", METHODS)
    def test_say_what_scikit_learn_says(self, method, classes, tmp_path, monkeypatch):
        chance = np.random.default_rng(0)
        rows = chance.random((2000, 6), np.float32)
        truth = (rows[:, 0] * classes + 0.3 * rows[:, 1] * chance.random(2000)).astype(int).clip(0, classes - 1)
        fitted = []
        kind = RandomForestClassifier if method == "stacked-forest" else GradientBoostingClassifier
        fit = kind.fit
        monkeypatch.setattr(kind, "fit", lambda model, *data: fitted.append(fit(model, *data)) or model)
        convention = {name: number for number, name in enumerate(("LV", "MYO", "RV")[: classes - 1], 1)}
        trees = stacking._fit(rows, truth, convention, stacking.StackingConfig(method))
        trees.write(tmp_path / TREES)
        again = Trees.read(tmp_path / TREES)
        unseen = chance.random((5000, 6), np.float32)
        np.testing.assert_allclose(again.probabilities(unseen), fitted[0].predict_proba(unseen), atol=1e-5)
        assert again.probabilities(unseen[:0]).shape == (0, classes)

    def test_need_every_class_among_the_pixels(self):
        rows, truth = np.random.default_rng(0).random((100, 3), np.float32), np.zeros(100, int)
        with pytest.raises(CardiacSegError, match="hold no LV"):
            stacking._fit(rows, truth, {"LV": 1}, stacking.StackingConfig("stacked-forest"))


def test_a_meta_learner_sees_probabilities_their_entropy_the_confidence_and_what_is_around():
    columns = np.zeros((1, 2, 1, 3, 3), np.float32)
    columns[0, 0], columns[0, 1] = 0.5, 0.5
    columns[0, :, 0, 1, 1] = (0.2, 0.8)
    asked = np.zeros((1, 3, 3), bool)
    asked[0, 1, 1] = True
    (row,) = features(columns, asked, 3)
    surprise = -(0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
    np.testing.assert_allclose(row, [0.2, 0.8, surprise, 0.8, 4.2 / 9, 4.8 / 9], rtol=1e-5)


class TestAFileOfTreesThatSomebodyChanged:
    @pytest.fixture
    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "roots": np.int32([0]),
            "features": np.int32([0, 0, 0]),
            "thresholds": np.float64([0.5, 0, 0]),
            "left": np.int32([1, 1, 2]),
            "right": np.int32([2, 1, 2]),
            "values": np.float32([[0, 0], [1, 0], [0, 1]]),
            "depth": np.int64(1),
            "boosted": np.bool_(False),
        }

    def test_is_read_where_it_is_what_was_written(self, arrays, tmp_path):
        np.savez(tmp_path / TREES, **arrays)
        found = Trees.read(tmp_path / TREES).probabilities(np.float32([[0.4], [0.6]]))
        np.testing.assert_array_equal(found, [[1, 0], [0, 1]])

    def test_runs_nothing(self, arrays, tmp_path):
        arrays["values"] = np.array([[Trap(tmp_path / "trapped")]], object)
        np.savez(tmp_path / TREES, **arrays)
        with pytest.raises(CardiacSegError, match="holds no trees"):
            Trees.read(tmp_path / TREES)
        assert not (tmp_path / "trapped").exists()
        assert runs_code(tmp_path) == [f"{TREES}: values holds objects, which are pickles"]

    @pytest.mark.parametrize(
        "change",
        [
            {"left": np.int32([7, 1, 2])},
            {"right": np.int32([-1, 1, 2])},
            {"roots": np.int32([3])},
            {"features": np.int32([-2, 0, 0])},
            {"features": np.int64([0, 0, 0])},
            {"values": np.float32([[np.nan, 0], [1, 0], [0, 1]])},
            {"values": np.float32([1, 2, 3])},
            {"thresholds": np.float64([0.5])},
            {"depth": np.int64(10**9)},
            {"roots": np.int32([])},
        ],
    )
    def test_is_refused(self, change, arrays, tmp_path):
        np.savez(tmp_path / TREES, **arrays | change)
        with pytest.raises(CardiacSegError, match="holds no trees"):
            Trees.read(tmp_path / TREES)

    def test_is_read_once_and_used_as_it_was_checked(self, arrays, tmp_path, monkeypatch):
        np.savez(tmp_path / TREES, **arrays)
        spec = {"method": "stacked-forest", "members": 1, "columns": [[0]], "sha256": sha256(tmp_path / TREES)}
        checked = hashlib.sha256

        def exchanged_meanwhile(content: bytes) -> object:
            (tmp_path / TREES).write_bytes(b"another file")
            return checked(content)

        monkeypatch.setattr(hashlib, "sha256", exchanged_meanwhile)
        assert load_rule(spec, tmp_path, 2).members == 1

    def test_is_refused_where_it_is_no_archive_or_not_that_of_the_metadata(self, arrays, tmp_path):
        (tmp_path / TREES).write_bytes(b"PK\x03\x04 and nothing else")
        with pytest.raises(CardiacSegError, match="holds no trees"):
            Trees.read(tmp_path / TREES)
        np.savez(tmp_path / TREES, **arrays)
        spec = {"method": "stacked-forest", "members": 1, "columns": [[0]], "sha256": "0" * 64}
        with pytest.raises(CardiacSegError, match="SHA-256 is not the one"):
            load_rule(spec, tmp_path, 2)
        with pytest.raises(CardiacSegError, match="was not learned from these members"):
            load_rule(spec | {"sha256": sha256(tmp_path / TREES)}, tmp_path, 4)

    def test_is_not_looked_at_where_nothing_was_learned(self, tmp_path):
        assert isinstance(load_rule({"method": "vote", "members": 2}, tmp_path, 4), Vote)
        assert load_rule({}, tmp_path, 4) is None
