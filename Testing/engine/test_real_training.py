"""From the real files of a data set to a model, in a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from CardiacSegLib.anatomy import ACDC, labels_text
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.training.cases import find_run_cases
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.run import train
from listening import Listener

A_FEW_STEPS = TrainingConfig(
    filters=(8, 16, 32, 64),
    epochs=1,
    validations=2,
    crop=64,
    neighbors=0,
    learning_rate=1e-2,
    ema_decay=0.5,
    device="cpu",
)


def dice_after(config: TrainingConfig, run: Path) -> dict[str, float]:
    """Dice in the first held-out case of the model that a run leaves."""
    bundle = train(config, run, Listener())
    case = find_run_cases(config, run).validation[0]
    image, reference = read_case(case, bundle.convention)
    labels = Segmenter.load(bundle, "cpu").segment(image.array, image.affine)
    assert labels.shape == image.array.shape
    return dice_scores(labels, reference, bundle.convention)


@pytest.mark.data
@pytest.mark.long
def test_sunnybrook_is_learned_from_its_dicom_files_and_contours(real_data, tmp_path):
    config = replace(
        A_FEW_STEPS, dataset=str(real_data / "sunnybrook"), folds=2, epochs=60, batch_size=8, spacing=2.5, window=160
    )
    dice = dice_after(config, tmp_path / "run")
    assert set(dice) == {"LV", "MYO"}
    assert dice["LV"] > 0.3


@pytest.mark.data
@pytest.mark.long
def test_png_images_are_learned_from_their_masks(real_data, tmp_path):
    config = replace(
        A_FEW_STEPS, dataset=str(real_data / "png96"), labels=labels_text(ACDC), epochs=12, spacing=1.0, window=96
    )
    dice = dice_after(config, tmp_path / "run")
    assert set(dice) == {"LV", "MYO", "RV"}
    assert max(dice.values()) > 0.3
