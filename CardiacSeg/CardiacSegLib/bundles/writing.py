"""Bundles written: what MONAI expects of one, and beside it what CardiacSeg needs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib import __version__
from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.bundles.bundle import CARD, INFERENCE, METADATA, ONNX, WEIGHTS, Bundle, read_metadata, sha256
from CardiacSegLib.files import replacing, write_json
from CardiacSegLib.inference.model_grid import ModelGrid

if TYPE_CHECKING:
    import torch

#: All in a bundle's configuration that is more than a value: the class that labels, where the weights are, one call.
SEGMENTATION_RUN = "CardiacSegLib.inference.monai_bundle.SegmentationRun"
WEIGHTS_EXPRESSION = f"$@bundle_root + '/{WEIGHTS.as_posix()}'"
RUN_EXPRESSION = "$@workflow(@image, @output)"


def write_bundle(
    folder: Path,
    name: str,
    network: torch.nn.Module,
    definition: Mapping[str, Any],
    grid: ModelGrid,
    convention: LabelConvention,
    facts: Mapping[str, Any],
    turns: int = 1,
    *,
    description: str = "",
    modality: str = "MR",
    combine: Mapping[str, Any] | None = None,
    tell: Callable[[str], object] = warnings.warn,
) -> Bundle:
    """Write a bundle: weights in half precision, metadata, the configuration that MONAI runs, and the network as ONNX.

    Args:
        folder: of the bundle.
        name: of the model, for its card; it is found by the name of its folder.
        network: its weights are kept.
        definition: MONAI definition of the network.
        grid, convention: what it was trained on.
        facts: about the training; they go into the metadata.
        turns: over how many turned copies of an image its probabilities are averaged.
        description: one line for people; made from the structures where it is empty.
        modality: of the images.
        combine: see :class:`Bundle`.
        tell: is called with the reason where the network cannot become ONNX; the bundle is valid without.
    """
    import torch

    for part in (METADATA, WEIGHTS, CARD):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
    (folder / ONNX).unlink(missing_ok=True)  # of a model that was here before
    weights = io.BytesIO()  # torch reports a full disk as a RuntimeError like any other, Python as what it is
    torch.save(_halved(network.state_dict()), weights)
    with replacing(folder / WEIGHTS) as path:
        path.write_bytes(weights.getbuffer())
    config = _inference_config(definition, grid, convention, turns)
    if combine:
        config["workflow"]["combine"] = dict(combine)
    write_json(folder / INFERENCE, config)
    # The metadata comes last: a folder without it is no bundle, so that a run that was cut off leaves none behind.
    description = description or f"{', '.join(convention)} in {modality} images"
    metadata = _metadata(name, description, modality, grid, convention)
    metadata["cardiacseg"] = {
        "grid": asdict(grid),
        "labels": dict(convention),
        "turns": turns,
        "sha256": sha256(folder / WEIGHTS),
        "training": dict(facts),
    }
    if combine:
        metadata["cardiacseg"]["combine"] = dict(combine)
        _tell_members(metadata["network_data_format"]["outputs"]["pred"], int(combine["members"]))
    write_json(folder / METADATA, metadata)
    from CardiacSegLib.inference.onnx_export import try_onnx

    return try_onnx(Bundle.read(folder), tell)


def _halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in half precision. DynUNet names each layer twice: what is shared stays shared, and is kept once."""
    kept: dict[int, torch.Tensor] = {}
    for value in state.values():
        kept.setdefault(value.data_ptr(), value.half() if value.is_floating_point() else value)
    return {name: kept[value.data_ptr()] for name, value in state.items()}


def add_training_facts(bundle: Bundle, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Add facts about the training to a bundle's metadata, and return the metadata."""
    metadata = read_metadata(bundle.folder)
    metadata["cardiacseg"]["training"].update(facts)
    write_json(bundle.folder / METADATA, metadata)
    return metadata


def note_onnx(bundle: Bundle) -> Bundle:
    """Write the hash of the ONNX file that a bundle has got into its metadata, and return the bundle as it is then."""
    metadata = read_metadata(bundle.folder)
    metadata["cardiacseg"]["onnx_sha256"] = sha256(bundle.folder / ONNX)
    write_json(bundle.folder / METADATA, metadata)
    return Bundle.read(bundle.folder)


def _inference_config(
    definition: Mapping[str, Any], grid: ModelGrid, convention: LabelConvention, turns: int
) -> dict[str, Any]:
    """What ``python -m monai.bundle run --config_file configs/inference.json --image IMAGE --output LABELS`` runs."""
    return {
        "bundle_root": ".",
        "image": "image.nii.gz",
        "output": "labels.nii.gz",
        "device": "auto",
        "network_def": dict(definition),
        "workflow": {
            "_target_": SEGMENTATION_RUN,
            "network": "@network_def",
            "weights": WEIGHTS_EXPRESSION,
            "spacing": grid.spacing,
            "multiple": grid.multiple,
            "percentiles": list(grid.percentiles),
            "neighbors": grid.neighbors,
            "turns": turns,
            "labels": dict(convention),
            "device": "@device",
        },
        "run": [RUN_EXPRESSION],
    }


def _metadata(
    name: str, description: str, modality: str, grid: ModelGrid, convention: LabelConvention
) -> dict[str, Any]:
    """MONAI's metadata, without what CardiacSeg keeps beside it."""
    from importlib.metadata import version  # slow, and not needed when Slicer starts

    names = ["background", *sorted(convention, key=convention.get)]
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
        "meta_schema_20240725.json",
        "version": __version__,
        "changelog": {__version__: "first model"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"cardiacseg": __version__},
        "name": name,
        "task": f"Segmentation of the heart in {modality} images",
        "description": description,
        "authors": "CardiacSeg contributors",
        "copyright": "CardiacSeg contributors",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": modality,
                    "num_channels": grid.channels,
                    "spatial_shape": [f"{grid.multiple}*n", f"{grid.multiple}*n"],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {
                        str(number): "slice" if number == grid.neighbors else f"neighbor {number - grid.neighbors:+d}"
                        for number in range(grid.channels)
                    },
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": len(names),
                    "spatial_shape": [f"{grid.multiple}*n", f"{grid.multiple}*n"],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(number): name for number, name in enumerate(names)},
                }
            },
        },
    }


def _tell_members(output: dict[str, Any], members: int) -> None:
    """Change what metadata says of a network's output to the classes of several members, side by side."""
    names = [f"member {member} {name}" for member in range(members) for name in output["channel_def"].values()]
    output["num_channels"] = len(names)
    output["channel_def"] = {str(number): name for number, name in enumerate(names)}
