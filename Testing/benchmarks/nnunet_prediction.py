"""Seconds that nnU-Net needs for one file, warm: what ``inference.py`` runs in an environment that has nnunetv2.

    NNUNET/bin/python Testing/benchmarks/nnunet_prediction.py IMAGE_0000.nii.gz FOLDS

Its own planner makes the 2D plan from the fingerprint of ACDC (200 images; of spacing and size the medians,
10 x 1.5625 x 1.5625 mm and 9 x 237 x 208), as ``nnUNetv2_plan_experiment`` does. The weights are random, which takes
the same time.
The last line printed is JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAME, CASES = "Dataset027_ACDC", 200
SPACING, SHAPE = [10.0, 1.5625, 1.5625], [9, 237, 208]
REPEATS = 3


def main() -> None:
    image, folds = Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in ("raw", "preprocessed", "results"):  # read when nnU-Net is imported
            os.environ[f"nnUNet_{part}"] = str(root / part)
        model = write_model(root, image, plan(root, image), folds)
        seconds = {
            "nnU-Net, one fold, no mirroring": measure(model, image, (0,), mirrored=False),
            f"nnU-Net, {folds} folds, mirrored": measure(model, image, tuple(range(folds)), mirrored=True),
        }
    print(json.dumps(seconds))


def plan(root: Path, image: Path) -> dict[str, Any]:
    """What nnU-Net's planner makes of ACDC."""
    raw, preprocessed = root / "raw" / NAME, root / "preprocessed" / NAME
    for path in (raw / "imagesTr", raw / "labelsTr", preprocessed):
        path.mkdir(parents=True)
    shutil.copy(image, raw / "imagesTr" / "case_0000.nii.gz")
    shutil.copy(image, raw / "labelsTr" / "case.nii.gz")
    labels = {"background": 0, "RV": 1, "MLV": 2, "LVC": 3}
    dataset = {"channel_names": {"0": "cineMRI"}, "labels": labels, "numTraining": CASES, "file_ending": ".nii.gz"}
    write_json(raw / "dataset.json", dataset)
    # Of an image without units no intensities are used, only each image's own.
    statistic = dict.fromkeys(("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std"), 1.0)
    fingerprint = {
        "foreground_intensity_properties_per_channel": {"0": statistic},
        "median_relative_size_after_cropping": 1.0,
        "shapes_after_crop": [SHAPE] * CASES,
        "spacings": [SPACING] * CASES,
    }
    write_json(preprocessed / "dataset_fingerprint.json", fingerprint)
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

    return ExperimentPlanner(27).plan_experiment()


def write_model(root: Path, image: Path, plans: dict[str, Any], folds: int) -> Path:
    """A folder as nnU-Net's training leaves it, with random weights."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    folder = root / "results" / NAME / "nnUNetTrainer__nnUNetPlans__2d"
    architecture = plans["configurations"]["2d"]["architecture"]
    for fold in range(folds):
        (folder / f"fold_{fold}").mkdir(parents=True)
        network = get_network_from_plans(
            *(architecture["network_class_name"], architecture["arch_kwargs"], architecture["_kw_requires_import"]),
            *(1, 4),
            deep_supervision=False,
        )
        checkpoint = {
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "2d"},
            "inference_allowed_mirroring_axes": (0, 1),
            "network_weights": network.state_dict(),
        }
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    print(f"nnU-Net: {sum(p.numel() for p in network.parameters()) / 1e6:.1f} M weights,", end=" ")
    print(f"patch {plans['configurations']['2d']['patch_size']}")
    write_json(folder / "plans.json", json.loads((root / "preprocessed" / NAME / "nnUNetPlans.json").read_text()))
    shutil.copy(root / "raw" / NAME / "dataset.json", folder / "dataset.json")
    return folder


def measure(model: Path, image: Path, folds: tuple[int, ...], mirrored: bool) -> float:
    """The median of several files in one process, from file to file, after one that does not count."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    predictor = nnUNetPredictor(
        use_mirroring=mirrored, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(model), use_folds=folds)
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        predictor.predict_from_files_sequential([[str(image)]], [str(model / "labels.nii.gz")], overwrite=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
