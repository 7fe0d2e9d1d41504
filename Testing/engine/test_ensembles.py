"""Several models as one: made by a command, used like any other, and honest about whom its members have seen."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import (
    CARD,
    INFERENCE,
    METADATA,
    WEIGHTS,
    Bundle,
    read_metadata,
    sha256,
    training_facts,
    write_bundle,
)
from CardiacSegLib.cli import ensemble, main
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.provenance import seen_warnings
from CardiacSegLib.images import Image, read_image
from CardiacSegLib.inference.combining import TREES, Staple, Vote
from CardiacSegLib.inference.model_grid import Stack
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.models.embedded_code import runs_code
from CardiacSegLib.models.facts import model_facts
from CardiacSegLib.networks import build_network, network_definition
from CardiacSegLib.training import ensembles
from members_made import a_member

DEVICE = "cpu:torch"  # the other way rounds otherwise, and voxels are compared one by one


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("members")
    return [a_member(folder / f"member{seed}", seed, fold=seed) for seed in (1, 2, 3)]


def made(members: list[Bundle], output: Path, *options: str) -> Bundle:
    arguments = ["ensemble", *(str(member.folder) for member in members), "--output", str(output), *options]
    assert main([*arguments, "--device", DEVICE]) == 0
    return Bundle.read(output)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command says instead of making an ensemble."""
    capsys.readouterr()
    assert main(["ensemble", *map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def by_hand(members: list[Bundle], image: Image) -> tuple[Stack, np.ndarray]:
    """The stack of an image, and what each member says of it on the model's grid, (M, C, K, H, W)."""
    stack = Stack.from_volume(image.array, image.affine)
    slices = stack.on_grid(members[0].grid)
    return stack, np.stack([Segmenter.load(member, DEVICE).probabilities(slices) for member in members])


@pytest.fixture(scope="module")
def an_average(members: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made(members, tmp_path_factory.mktemp("ensembles") / "average")


@pytest.fixture(scope="module")
def a_vote(members: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made(members, tmp_path_factory.mktemp("ensembles") / "vote", "--method", "vote")


class TestAnAverage:
    def test_labels_as_averaging_by_hand_does(self, members, an_average, a_phantom_image, a_phantom_file, tmp_path):
        stack, answers = by_hand(members, a_phantom_image)
        segmenter = Segmenter.load(an_average, DEVICE)
        found = segmenter.probabilities(stack.on_grid(an_average.grid))
        np.testing.assert_allclose(found, answers.mean(axis=0), atol=2e-6)
        output = tmp_path / "labels.nii.gz"
        command = ["segment", str(a_phantom_file), "-o", str(output), "--model", str(an_average.folder)]
        assert main([*command, "--device", DEVICE]) == 0
        single = Segmenter.load(members[0], DEVICE)
        expected = stack.view.volume(single._labels(stack, answers.mean(axis=0)))
        np.testing.assert_array_equal(read_image(output).array, expected)

    def test_with_weights_counts_them(self, members, a_phantom_image, tmp_path):
        weighted = made(members, tmp_path / "weighted", "--method", "weighted", "--weights", "1", "2", "5")
        stack, answers = by_hand(members, a_phantom_image)
        found = Segmenter.load(weighted, DEVICE).probabilities(stack.on_grid(weighted.grid))
        np.testing.assert_allclose(found, np.average(answers, axis=0, weights=[1, 2, 5]), atol=2e-6)

    def test_is_weighted_by_validation_dice_where_no_weights_are_given(self, members, tmp_path):
        better = a_member(tmp_path / "better", 9, validation_dice={"all": {"mean": 0.99}})
        weighted = made([members[0], better], tmp_path / "weighted", "--method", "weighted")
        first, second = weighted.network["weights"]
        assert second > 1.5 * first > 0
        assert "| weight |" in weighted.card.read_text(encoding="utf-8")

    def test_takes_members_whose_sizes_are_multiples_of_other_numbers(self, members, tmp_path):
        definition = network_definition("dynunet", 1, 4, (8, 16, 16, 16))
        grid = replace(members[0].grid, multiple=8)
        other = write_bundle(tmp_path / "deeper", "deeper", build_network(definition), definition, grid, CANONICAL, {})
        assert made([members[0], other], tmp_path / "both").grid.multiple == 8


class TestAVote:
    def test_goes_to_what_most_members_say_and_to_the_mean_where_it_is_tied(self, members, a_vote, a_phantom_image):
        stack, answers = by_hand(members, a_phantom_image)
        found = Segmenter.load(a_vote, DEVICE).probabilities(stack.on_grid(a_vote.grid))
        choices = answers.argmax(axis=1)
        votes = np.stack([(choices == number).sum(axis=0) for number in range(4)])
        assert (votes.max(axis=0) == 1).any(), "no voxel was tied"
        elected = np.where(votes == votes.max(axis=0), answers.mean(axis=0), -1).argmax(axis=0)
        np.testing.assert_array_equal(found.argmax(axis=0), elected)
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)

    def test_is_run_by_monai_as_well(self, a_vote, a_phantom_file, tmp_path, monkeypatch):
        from monai.bundle import ConfigWorkflow, verify_net_in_out

        files = {"meta_file": str(a_vote.folder / METADATA), "config_file": str(a_vote.folder / INFERENCE)}
        verify_net_in_out("network_def", **files, device="cpu", n=8)
        monkeypatch.chdir(tmp_path)
        places = {"bundle_root": str(a_vote.folder), "image": str(a_phantom_file), "output": str(tmp_path / "l.nii.gz")}
        run = ConfigWorkflow(**files, logging_file=False, **places)
        run.initialize()
        run.run()
        image = read_image(a_phantom_file)
        ours = Segmenter.load(a_vote, DEVICE).segment(image.array, image.affine)
        np.testing.assert_array_equal(read_image(tmp_path / "l.nii.gz").array, ours)


class TestStaple:
    def test_finds_out_who_is_not_to_be_trusted(self):
        truth = np.zeros((3, 24, 24), int)
        truth[:, 6:18, 6:18], truth[:, 9:15, 9:15] = 2, 1
        chance = np.random.default_rng(0)
        choices = np.stack([truth] * 5)
        for careless, share in enumerate((0.05, 0.05, 0.45, 0.45, 0.45)):
            wrong = chance.random(truth.shape) < share
            choices[careless][wrong] = chance.integers(0, 3, wrong.sum())
        answers = np.moveaxis(np.eye(3, dtype=np.float32)[choices], -1, 1)
        errors = {rule: (rule(5)(answers).argmax(axis=0) != truth)[:, 5:19, 5:19].mean() for rule in (Staple, Vote)}
        assert errors[Staple] < 0.7 * errors[Vote]
        np.testing.assert_allclose(Staple(5)(answers).sum(axis=0), 1, atol=1e-5)

    def test_joins_the_members_of_a_bundle(self, members, a_phantom_image, tmp_path):
        joined = made(members, tmp_path / "staple", "--method", "staple")
        slices = Stack.from_volume(a_phantom_image.array, a_phantom_image.affine).on_grid(joined.grid)[:1, 32:64, 32:64]
        answers = np.stack([Segmenter.load(member, DEVICE).probabilities(slices) for member in members])
        found = Segmenter.load(joined, DEVICE).probabilities(slices)
        np.testing.assert_allclose(found, Staple(3)(answers), atol=1e-3)

    def test_of_an_image_without_a_heart_is_background(self):
        answers = np.zeros((3, 4, 2, 8, 8), np.float32)
        answers[:, 0] = 1
        assert (Staple(3)(answers)[0] == 1).all()


@pytest.mark.parametrize("method", [pytest.param("weighted", marks=pytest.mark.long), "vote"])
def test_it_runs_through_openvino_as_well(method, members, a_phantom_image, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDIACSEG_ONNX", "1")
    with_onnx = made(members[:2], tmp_path / "onnx", "--method", method)
    slices = Stack.from_volume(a_phantom_image.array, a_phantom_image.affine).on_grid(with_onnx.grid)
    ours, theirs = (Segmenter.load(with_onnx, f"cpu:{way}").probabilities(slices) for way in ("openvino", "torch"))
    assert np.abs(ours - theirs).mean() < 0.01


class TestItsCard:
    def test_carries_over_data_license_and_purpose_and_names_every_member(self, an_average):
        text = an_average.card.read_text(encoding="utf-8")
        assert text.count("Hearts made by code; cite nobody.") == 1
        assert "Trained on 2 patients." not in text
        assert "Phantoms." in text
        assert all(
            re.search(rf"^\| member{number} \| DynUNet \| {number} ", text, re.MULTILINE) for number in (1, 2, 3)
        )
        assert model_facts(an_average).license == "CC0 1.0"
        assert sha256(an_average.folder / WEIGHTS) in text
        assert "cardiacseg ensemble member1 member2 member3 --method average --output OUT" in text

    def test_holds_no_path_of_the_machine_and_no_code(self, an_average, a_vote):
        for bundle in (an_average, a_vote):
            assert runs_code(bundle.folder) == []
            for path in (METADATA, INFERENCE, CARD):
                assert str(bundle.folder.parent) not in (bundle.folder / path).read_text(encoding="utf-8")


class TestWhomItHasSeen:
    def test_is_everyone_any_member_was_trained_on(self, members, tmp_path):
        started = {"patients_trained_on": ["z"], "started_from": None}
        other = a_member(
            tmp_path / "other",
            7,
            patients_trained_on=["c", "d"],
            patients_validated_on=["a", "e"],
            started_from=started,
        )
        facts = training_facts(made([members[0], other], tmp_path / "both"))
        assert facts["patients_trained_on"] == ["a", "b", "c", "d", "z"]
        assert facts["patients_validated_on"] == []
        (warning,) = seen_warnings("both", facts, {"d", "z", "new"})
        assert "WAS TRAINED ON 2 of these 3 patients" in warning

    def test_is_not_known_where_one_member_does_not_say_it(self, members, a_bundle, tmp_path):
        silent = write_bundle(
            *(tmp_path / "silent", "silent", members[1].load_network(), members[1].network, members[1].grid, CANONICAL),
            facts={},
        )
        facts = training_facts(made([members[0], silent], tmp_path / "both"))
        (warning,) = seen_warnings("both", facts, {"a"})
        assert "does not say which patients" in warning


def test_the_command_names_every_method_there_is():
    assert ensemble._METHODS == ensembles.METHODS


class TestWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({"neighbors": 1}, "other: neighbors is 1, but 0 in member1"),
            ({"convention": {"LV": 1, "MYO": 2}}, "other: labels is {'LV': 1, 'MYO': 2}, but"),
        ],
    )
    def test_is_named_with_its_field(self, facts, said, members, tmp_path, capsys):
        other = a_member(tmp_path / "other", 5, **facts)
        line = refused(capsys, members[0].folder, other.folder, "--output", tmp_path / "out")
        assert said in line
        assert not (tmp_path / "out").exists()

    def test_is_an_ensemble_or_the_same_model_twice(self, members, an_average, tmp_path, capsys):
        out = ("--output", tmp_path / "out")
        assert "is an ensemble itself" in refused(capsys, members[0].folder, an_average.folder, *out)
        assert "member1: is given twice" in refused(capsys, members[0].folder, members[0].folder, *out)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--weights", 1, 2], "nothing is weighted by --method average"),
            (["--method", "weighted", "--weights", 1], "1 numbers for 2 models"),
            (["--method", "weighted", "--weights", 1, -2], "give numbers above 0"),
            (["--method", "stacked-forest"], "learns from labeled cases; name them by --dataset"),
            (["--method", "stacked-forest", "--patch", 4], "--patch 4: give an odd number"),
        ],
    )
    def test_is_said_before_anything_is_written(self, options, said, members, tmp_path, capsys):
        line = refused(capsys, members[0].folder, members[1].folder, "--output", tmp_path / "out", *options)
        assert said in line
        assert not (tmp_path / "out").exists()

    def test_is_a_folder_that_holds_something(self, members, an_average, capsys):
        line = refused(capsys, members[0].folder, members[1].folder, "--output", an_average.folder)
        assert "is there already and not empty" in line


class TestAManipulatedEnsemble:
    def test_builds_no_member_that_is_no_network_of_ours(self, an_average):
        hostile = {"_target_": "os.system", "command": "exit 7"}
        with pytest.raises(CardiacSegError, match=r"network 'os\.system' is not known"):
            build_network({**an_average.network, "members": [hostile]})
        expression = {**an_average.network["members"][0], "norm_name": "$print(7)"}
        with pytest.raises(CardiacSegError, match="has an expression as argument"):
            build_network({**an_average.network, "members": [expression]})
        with pytest.raises(CardiacSegError, match="is an ensemble itself"):
            build_network({**an_average.network, "members": [an_average.network]})

    @pytest.mark.parametrize(
        ("combine", "said"),
        [
            ({"method": "vote", "members": 2}, "the network tells 12 classes, not 2 x 4"),
            ({"method": "os.system", "members": 3}, "rule 'os.system' is not known"),
            ({"method": "stacked-forest", "members": 3}, "is missing; copy or download"),
            ({"members": "three"}, "says no rule to combine by"),
            ({}, "the network tells 12 classes, not 1 x 4"),
        ],
    )
    def test_is_refused_in_one_line(self, combine, said, a_vote, a_phantom_image, tmp_path):
        folder = tmp_path / "copy"
        shutil.copytree(a_vote.folder, folder)
        metadata = read_metadata(folder)
        metadata["cardiacseg"]["combine"] = combine
        (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
        with pytest.raises(CardiacSegError, match=re.escape(said)) as caught:
            Segmenter.load(folder, DEVICE).segment(a_phantom_image.array, a_phantom_image.affine)
        assert "\n" not in str(caught.value)
        assert not (folder / WEIGHTS.parent / TREES).exists()
