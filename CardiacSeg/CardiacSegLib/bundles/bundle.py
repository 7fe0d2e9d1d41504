"""A model's folder, read: what its metadata says, and its weights only once they have been checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.anatomy import STRUCTURES, LabelConvention
from CardiacSegLib.errors import CardiacSegError, one_line
from CardiacSegLib.inference.model_grid import ModelGrid

if TYPE_CHECKING:
    import torch

METADATA = Path("configs", "metadata.json")
INFERENCE = Path("configs", "inference.json")
WEIGHTS = Path("models", "model.pt")
ONNX = Path("models", "model.onnx")
CARD = Path("docs", "README.md")
#: A training run keeps its bundle in a folder of this name, whatever the model is called.
RUN_BUNDLE = "bundle"
#: What a file of a model may have at most: a stranger's could fill the memory.
_MOST_JSON_BYTES, _MOST_BYTES = 16_000_000, 2_000_000_000
#: Millimeters; finer, an image on the model's grid would fill it, too.
_FINEST = 0.1
#: Pixels that sizes are divisible by, neighbors and turned copies.
_MOST = 1024


@dataclass(frozen=True)
class Bundle:
    """A model's folder with what its metadata says.

    Attributes:
        folder: of the bundle.
        grid: what the network sees.
        convention: which number it gives to which structure.
        network: MONAI definition of the network.
        hash: SHA-256 of the weights.
        description: one line for people.
        turns: over how many turned copies of an image its probabilities are averaged.
        combine: the rule that follows a network of several members; empty where its output is the answer. See
            :func:`CardiacSegLib.inference.combining.load_rule`.
        onnx_hash: SHA-256 of the network as ONNX; empty where the bundle holds none, and only torch runs it.
    """

    folder: Path
    grid: ModelGrid
    convention: LabelConvention
    network: Mapping[str, Any]
    hash: str
    description: str = ""
    turns: int = 1
    combine: Mapping[str, Any] = field(default_factory=dict)
    onnx_hash: str = ""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def card(self) -> Path:
        return self.folder / CARD

    @classmethod
    def read(cls, folder: Path | str) -> Bundle:
        """Read a bundle's metadata; the weights stay on disk.

        Raises:
            CardiacSegError: where the folder is no bundle, or one that lacks what segmentation needs.
        """
        folder = Path(folder).resolve()
        metadata, inference = _read_json(folder / METADATA, folder), _read_json(folder / INFERENCE, folder)
        try:
            ours = metadata["cardiacseg"]
            grid = ModelGrid(**{**ours["grid"], "percentiles": tuple(ours["grid"]["percentiles"])})
            convention = {str(name): int(number) for name, number in ours["labels"].items()}
            network, weights_hash = dict(inference["network_def"]), str(ours["sha256"])
            description, turns = one_line(metadata.get("description", ""), 300), int(ours.get("turns", 1))
            combine, onnx_hash = dict(ours.get("combine", {})), str(ours.get("onnx_sha256", ""))
            if grid.spacing < _FINEST or max(grid.multiple, grid.neighbors, turns) > _MOST:
                raise ValueError(f"numbers that no model has: {grid}, turns={turns}")
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CardiacSegError(
                f"{folder / METADATA}: lacks what CardiacSeg needs ({one_line(repr(error))}); use a bundle that "
                "CardiacSeg wrote"
            ) from error
        unknown = sorted(set(convention) - set(STRUCTURES))
        if unknown or not convention or sorted(convention.values()) != list(range(1, len(convention) + 1)):
            raise CardiacSegError(
                f"{folder / METADATA}: labels {convention} are not structures numbered from 1; name {list(STRUCTURES)}"
            )
        classes = network.get("out_channels", len(convention) + 1)
        if classes != len(convention) + 1:
            raise CardiacSegError(
                f"{folder / METADATA}: {len(convention)} labels and the background do not fit a network of {classes} "
                "classes; copy the model again"
            )
        return cls(folder, grid, convention, network, weights_hash, description, turns, combine, onnx_hash)

    def load_network(self) -> torch.nn.Module:
        """Build the network and load its weights, as float32 in the memory of the CPU.

        Raises:
            CardiacSegError: where the weights are missing, changed, or do not fit the network, or torch or MONAI is too
                old (:mod:`CardiacSegLib.networks.versions`).
        """
        from CardiacSegLib.networks import build_network
        from CardiacSegLib.networks.versions import require

        path = self.folder / WEIGHTS
        weights = read_weights(path, self.hash)
        require("monai")
        from CardiacSegLib.networks.weights import no_larger_than

        try:
            with no_larger_than(weights):
                network = build_network(self.network)
        except CardiacSegError as error:
            raise CardiacSegError(f"{self.folder / INFERENCE}: {error}") from error
        return fill_network(network, weights, path)

    def onnx_content(self) -> bytes:
        """The network as ONNX, which :mod:`CardiacSegLib.inference.onnx_export` wrote.

        Raises:
            CardiacSegError: where the bundle holds none, or another than its metadata says.
        """
        if not self.onnx_hash:
            raise CardiacSegError(
                f"model {self.name} holds no ONNX; 'cardiacseg models --onnx {self.name}' writes it, or install torch"
            )
        return read_checked(self.folder / ONNX, self.onnx_hash, "the network as ONNX is")

    def onnx_file(self) -> Path:
        """Where :meth:`onnx_content` lies, which has been checked."""
        self.onnx_content()
        return self.folder / ONNX


def read_metadata(folder: Path) -> dict[str, Any]:
    """``configs/metadata.json`` of the bundle in a folder.

    Raises:
        CardiacSegError: where it is missing or damaged.
    """
    return _read_json(folder / METADATA, folder)


def training_facts(bundle: Bundle) -> dict[str, Any]:
    """What the metadata of a bundle says of its training; {} where it says nothing."""
    facts = read_metadata(bundle.folder)["cardiacseg"].get("training")
    return dict(facts) if isinstance(facts, Mapping) else {}


def _read_json(path: Path, folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise CardiacSegError(f"{folder}: no such model folder; 'cardiacseg models' lists the models there are")
    try:
        if not path.is_file() or path.stat().st_size > _MOST_JSON_BYTES:  # reading a pipe would never end
            raise ValueError("no file, or a large one")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise CardiacSegError(
            f"{folder}: not a MONAI bundle, {path.relative_to(folder)} is missing or damaged; give a model's folder"
        ) from error
    if not isinstance(content, dict):
        raise CardiacSegError(f"{path}: not a MONAI configuration; copy the model again")
    return content


def read_weights(path: Path, expected: str) -> Any:
    """The state dictionary in a bundle's file of weights.

    Args:
        path: of the file.
        expected: its SHA-256, as the metadata says it; nothing of another file is read.

    Raises:
        CardiacSegError: where it is missing, changed, or holds anything but tensors, or torch is too old.
    """
    content = read_checked(path, expected, "the weights are")
    from CardiacSegLib.networks.weights import read_tensors

    try:
        return read_tensors(content)
    except ValueError as error:
        raise _no_weights(path, error) from error


def fill_network(network: torch.nn.Module, weights: Any, path: Path) -> torch.nn.Module:
    """Load weights into their network, and return it.

    Raises:
        CardiacSegError: where they do not fit; it names ``path``, where they come from.
    """
    try:
        network.load_state_dict(weights)
    except Exception as error:  # what is no state dictionary raises many
        raise _no_weights(path, error) from error
    return network


def read_checked(path: Path, expected: str, what: str = "it is") -> bytes:
    """The content of a file of a bundle. What is used is what was checked: the file is read only once.

    Args:
        path: of the file.
        expected: its SHA-256.
        what: begins what is said where it is missing.

    Raises:
        CardiacSegError: where it is missing, larger than any model, or another one.
    """
    if not path.is_file():
        raise CardiacSegError(f"{path}: {what} missing; copy or download the model again")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CardiacSegError(f"{path}: is larger than any model; copy the model again")
        content = path.read_bytes()
    except OSError as error:
        raise CardiacSegError(f"{path}: cannot be read ({error.strerror}); copy the model again") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise CardiacSegError(
            f"{path}: SHA-256 is not the one in {METADATA}; the file is damaged or changed, copy the model again"
        )
    return content


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for part in iter(lambda: stream.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def _no_weights(path: Path, error: Exception) -> CardiacSegError:
    return CardiacSegError(f"{path}: no weights of this network ({one_line(error)}); copy the model again")
