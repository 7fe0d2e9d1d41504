"""The models that ship: their bundles are whole, their cards are true, and they find hearts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import METADATA, WEIGHTS, Bundle, sha256
from CardiacSegLib.clinical.volumes import ventricular_function
from CardiacSegLib.datasets import acdc, camus
from CardiacSegLib.datasets.splits import read_folds, split_cases
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.validation import mean_dice, score_cases
from CardiacSegLib.images import read_image
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.inference.openvino_runtime import OpenVinoRuntime
from CardiacSegLib.inference.runtime import CPU_RUNTIMES
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.torch_runtime import TorchRuntime
from CardiacSegLib.phantom import make_phantom
from CardiacSegLib.resources import resource_folder
from CardiacSegLib.training.card import model_card

FOLDER = resource_folder() / "Models" / "short-axis-cine"
ECHO = resource_folder() / "Models" / "echo-2ch"

every_model = pytest.mark.parametrize("folder", [FOLDER, ECHO], ids=lambda folder: folder.name)


@pytest.fixture(scope="module")
def the_model() -> Segmenter:
    return Segmenter.load(FOLDER)


@pytest.fixture(scope="module")
def the_facts() -> dict:
    return json.loads((FOLDER / METADATA).read_text(encoding="utf-8"))["cardiacseg"]


def test_no_other_models_ship() -> None:
    assert sorted(path.name for path in FOLDER.parent.iterdir()) == sorted([FOLDER.name, ECHO.name])


@every_model
def test_the_weights_are_those_of_the_card(folder: Path) -> None:
    bundle = Bundle.read(folder)
    assert sha256(folder / WEIGHTS) == bundle.hash
    assert bundle.hash in bundle.card.read_text(encoding="utf-8")


@every_model
def test_the_network_as_onnx_was_made_from_these_weights(folder: Path) -> None:
    """Weights that are replaced need 'cardiacseg models --onnx': this compares both on noise."""
    bundle = Bundle.read(folder)
    size = 2 * bundle.grid.multiple
    images = np.random.default_rng(1).standard_normal((2, bundle.grid.channels, size, size)).astype(np.float32)
    ours = OpenVinoRuntime(bundle.onnx_file(), "f32").probabilities(images)
    device = Device(torch.device("cpu"), torch.float32)
    np.testing.assert_allclose(ours, TorchRuntime(bundle.load_network(), device).probabilities(images), atol=0.02)


@every_model
def test_the_card_is_made_from_the_metadata(folder: Path) -> None:
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    assert (folder / "docs" / "README.md").read_text(encoding="utf-8") == model_card(metadata)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"turns": 1}, "It looks at each image once"),
        ({"turns": 8}, "averaged over 8 turned copies of an image (`--turns 8`)"),
        ({"averaged": False, "keep": "last"}, "Kept: the weights at the end."),
        ({"averaged": True, "keep": "best"}, "Kept: the moving average of the weights where it did best"),
        ({"neighbors": 0}, "and sees no other slice"),
        ({"layout": "pairs", "purpose": ""}, "Whoever passes this model on says here where they come from"),
    ],
)
def test_a_card_says_how_its_own_model_was_made(changes: dict, expected: str) -> None:
    metadata = json.loads((FOLDER / METADATA).read_text(encoding="utf-8"))
    metadata["cardiacseg"]["training"] |= changes
    assert expected in " ".join(model_card(metadata).split())


def test_it_was_trained_on_the_shipped_split_and_on_no_held_out_patient(the_facts: dict) -> None:
    folds = read_folds(resource_folder() / "Splits" / "acdc.json")
    trained, validated = the_facts["training"]["patients_trained_on"], the_facts["training"]["patients_validated_on"]
    fold = the_facts["training"]["fold"]
    assert validated == folds[fold]
    assert trained == sorted(patient for number, part in enumerate(folds) if number != fold for patient in part)
    assert not {f"patient{number}" for number in range(101, 151)} & set(trained + validated)


def test_it_is_no_worse_than_the_model_that_shipped_before(the_facts: dict) -> None:
    assert the_facts["training"]["validation_dice"]["all"]["mean"] >= 0.917


def test_it_finds_the_phantom_and_its_ejection_fraction(the_model: Segmenter) -> None:
    phantom = make_phantom()
    frames = [phantom.ed_frame, phantom.es_frame]
    labels = the_model.segment(phantom.image[..., frames], phantom.affine)
    for index, frame in enumerate(frames):
        scores = dice_scores(labels[..., index], phantom.labels[..., frame], CANONICAL)
        assert min(scores.values()) > 0.7, scores
        assert scores["LV"] > 0.9, scores
    truth = phantom.volumes_ml["LV"]
    true_fraction = 100 * (1 - truth[frames[1]] / truth[frames[0]])
    function = ventricular_function(labels, phantom.affine, frames=(0, 1))
    assert function.lv.ejection_fraction == pytest.approx(true_fraction, abs=5)


def test_a_volume_that_is_turned_with_its_affine_gets_the_same_labels(the_model: Segmenter) -> None:
    phantom = make_phantom()
    array, affine = phantom.image[..., 0], phantom.affine
    expected = the_model.segment(array, affine)
    turned = affine[:, [1, 2, 0, 3]].copy()
    turned[:, 3] += (array.shape[1] - 1) * turned[:, 0]
    turned[:, 0] *= -1

    labels = the_model.segment(array.transpose(1, 2, 0)[::-1], turned)

    np.testing.assert_array_equal(labels[::-1].transpose(2, 0, 1), expected)


@pytest.mark.data
def test_real_hearts_that_it_never_saw_are_segmented_as_the_card_says(
    the_model: Segmenter, the_facts: dict, acdc_training: Path
) -> None:
    folds = read_folds(resource_folder() / "Splits" / "acdc.json")
    _, cases = split_cases(acdc.find_cases(acdc_training), folds, the_facts["training"]["fold"])
    some = [case for case in cases if case.patient in folds[the_facts["training"]["fold"]][:6]]
    table = mean_dice(score_cases(the_model, some))
    assert table["all"]["mean"] > the_facts["training"]["validation_dice"]["all"]["mean"] - 0.03


@pytest.mark.data
def test_openvino_and_torch_label_a_real_heart_alike(acdc_training: Path) -> None:
    image = read_image(acdc_training / "patient007" / "patient007_frame01.nii.gz")
    ours, theirs = (
        Segmenter.load(FOLDER, device, turns=1).segment(image.array, image.affine) for device in CPU_RUNTIMES
    )
    assert min(dice_scores(ours, theirs, CANONICAL).values()) > 0.998


@pytest.mark.data
def test_echoes_that_it_never_saw_are_segmented_as_its_card_says(real_data: Path) -> None:
    if not (real_data / "camus_2ch").is_dir():
        pytest.skip("no CAMUS among the real cases")
    facts = json.loads((ECHO / METADATA).read_text(encoding="utf-8"))["cardiacseg"]["training"]
    assert facts["validation_dice"]["all"]["mean"] >= 0.88
    cases = [case for case in camus.find_cases(real_data / "camus_2ch") if case.part == "val"]
    assert {case.patient for case in cases} == set(facts["patients_validated_on"])
    assert not {case.patient for case in cases} & set(facts["patients_trained_on"])
    table = mean_dice(score_cases(Segmenter.load(ECHO), cases[::4]))
    assert table["all"]["mean"] > facts["validation_dice"]["all"]["mean"] - 0.03
