"""Models on disk: a model is a MONAI bundle, a folder with ``configs``, ``models`` and ``docs``.

``configs/metadata.json`` is MONAI's; what CardiacSeg needs beside it (grid, label order, hash of the weights) stands
there under ``cardiacseg``. ``configs/inference.json`` is what ``python -m monai.bundle run`` runs, and defines the
network. Nothing here imports torch or MONAI before weights are read or written.
"""

from CardiacSegLib.bundles.bundle import (
    CARD,
    INFERENCE,
    METADATA,
    ONNX,
    RUN_BUNDLE,
    WEIGHTS,
    Bundle,
    fill_network,
    read_checked,
    read_metadata,
    read_weights,
    sha256,
    training_facts,
)
from CardiacSegLib.bundles.finding import DEFAULT_MODEL, find_bundle, list_models, own_model_folders
from CardiacSegLib.bundles.writing import add_training_facts, note_onnx, write_bundle

__all__ = [
    "CARD",
    "DEFAULT_MODEL",
    "INFERENCE",
    "METADATA",
    "ONNX",
    "RUN_BUNDLE",
    "WEIGHTS",
    "Bundle",
    "add_training_facts",
    "fill_network",
    "find_bundle",
    "list_models",
    "note_onnx",
    "own_model_folders",
    "read_checked",
    "read_metadata",
    "read_weights",
    "sha256",
    "training_facts",
    "write_bundle",
]
