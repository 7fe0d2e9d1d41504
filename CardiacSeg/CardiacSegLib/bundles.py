"""Models on disk: a model is a MONAI bundle, a folder with ``configs``, ``models`` and ``docs``.

``configs/metadata.json`` is MONAI's; what CardiacSeg needs beside it (grid, label order, hash of the weights) stands
there under ``cardiacseg``. ``configs/inference.json`` is what ``python -m monai.bundle run`` runs, and defines the
network. Nothing here imports torch or MONAI before weights are read or written.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib import __version__
from CardiacSegLib.anatomy import STRUCTURES, LabelConvention
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.resources import resource_folder

if TYPE_CHECKING:
    import torch

METADATA = Path("configs", "metadata.json")
INFERENCE = Path("configs", "inference.json")
WEIGHTS = Path("models", "model.pt")
ONNX = Path("models", "model.onnx")
CARD = Path("docs", "README.md")

DEFAULT_MODEL = "short-axis-cine"

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
            description, turns = _brief(str(metadata.get("description", "")), 300), int(ours.get("turns", 1))
            combine, onnx_hash = dict(ours.get("combine", {})), str(ours.get("onnx_sha256", ""))
            if grid.spacing < _FINEST or max(grid.multiple, grid.neighbors, turns) > _MOST:
                raise ValueError(f"numbers that no model has: {grid}, turns={turns}")
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CardiacSegError(
                f"{folder / METADATA}: lacks what CardiacSeg needs ({_brief(repr(error))}); use a bundle that "
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
        return _checked(self.folder / ONNX, self.onnx_hash, "the network as ONNX is")

    def onnx_file(self) -> Path:
        """Where :meth:`onnx_content` lies, which has been checked."""
        self.onnx_content()
        return self.folder / ONNX


def read_weights(path: Path, expected: str) -> Any:
    """The state dictionary in a bundle's file of weights.

    Args:
        path: of the file.
        expected: its SHA-256, as the metadata says it; nothing of another file is read.

    Raises:
        CardiacSegError: where it is missing, changed, or holds anything but tensors, or torch is too old.
    """
    content = _checked(path, expected, "the weights are")
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


def _no_weights(path: Path, error: Exception) -> CardiacSegError:
    return CardiacSegError(f"{path}: no weights of this network ({_brief(str(error))}); copy the model again")


def _brief(text: str, most: int = 160) -> str:
    """The beginning of a text of a stranger, in one line."""
    return " ".join(text.split())[:most]


def _checked(path: Path, expected: str, what: str) -> bytes:
    """The content of a file whose SHA-256 is known. What is used is what was checked: the file is read only once."""
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


def own_model_folders() -> list[Path]:
    """The person's own folders of models: those in ``CARDIACSEG_MODELS``, or else one in the home folder, if any."""
    named = [Path(part) for part in os.environ.get("CARDIACSEG_MODELS", "").split(os.pathsep) if part]
    try:
        return named or [Path.home() / ".cardiacseg" / "models"]
    except RuntimeError:  # an account without a home folder, as in some containers
        return []


def model_folders() -> list[Path]:
    """Folders in which models are looked for: the person's own, then the shipped ones."""
    return [*own_model_folders(), resource_folder() / "Models"]


def list_models() -> list[Bundle]:
    """Every model that can be used by its name, sorted; a damaged one is left out.

    Of two with the same name the one in the person's own folder counts.
    """
    found: dict[str, Bundle] = {}
    for parent in model_folders():
        for folder in sorted(path.parents[1] for path in parent.glob(f"*/{METADATA.as_posix()}")):
            try:
                found.setdefault(folder.name, Bundle.read(folder))
            except CardiacSegError:
                continue
    return [found[name] for name in sorted(found)]


def find_bundle(model: str | Path) -> Bundle:
    """The bundle of that name, or in that folder.

    Raises:
        CardiacSegError: where there is none.
    """
    for parent in model_folders():
        if (parent / str(model) / METADATA).is_file():
            return Bundle.read(parent / str(model))
    if Path(model).exists() or os.sep in str(model):
        return Bundle.read(Path(model))
    names = ", ".join(bundle.name for bundle in list_models()) or "none is installed"
    raise CardiacSegError(f"no model is called '{model}' (there are: {names}); give one of them or a bundle's folder")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for part in iter(lambda: stream.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


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
    _write_json(folder / INFERENCE, config)
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
    _write_json(folder / METADATA, metadata)
    from CardiacSegLib.inference.onnx_export import try_onnx

    return try_onnx(Bundle.read(folder), tell)


def _halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in half precision. DynUNet names each layer twice: what is shared stays shared, and is kept once."""
    kept: dict[int, torch.Tensor] = {}
    for value in state.values():
        kept.setdefault(value.data_ptr(), value.half() if value.is_floating_point() else value)
    return {name: kept[value.data_ptr()] for name, value in state.items()}


def read_metadata(folder: Path) -> dict[str, Any]:
    """``configs/metadata.json`` of the bundle in a folder.

    Raises:
        CardiacSegError: where it is missing or damaged.
    """
    return _read_json(folder / METADATA, folder)


def read_training_facts(folder: Path) -> dict[str, Any]:
    """Facts about the training of the bundle in a folder, as :func:`write_bundle` put them there."""
    return read_metadata(folder)["cardiacseg"]["training"]


def add_training_facts(bundle: Bundle, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Add facts about the training to a bundle's metadata, and return the metadata."""
    path = bundle.folder / METADATA
    metadata = _read_json(path, bundle.folder)
    metadata["cardiacseg"]["training"].update(facts)
    _write_json(path, metadata)
    return metadata


def note_onnx(bundle: Bundle) -> Bundle:
    """Write the hash of the ONNX file that a bundle has got into its metadata, and return the bundle as it is then."""
    path = bundle.folder / METADATA
    metadata = _read_json(path, bundle.folder)
    metadata["cardiacseg"]["onnx_sha256"] = sha256(bundle.folder / ONNX)
    _write_json(path, metadata)
    return Bundle.read(bundle.folder)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


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
            "_target_": "CardiacSegLib.inference.monai_bundle.SegmentationRun",
            "network": "@network_def",
            "weights": f"$@bundle_root + '/{WEIGHTS.as_posix()}'",
            "spacing": grid.spacing,
            "multiple": grid.multiple,
            "percentiles": list(grid.percentiles),
            "neighbors": grid.neighbors,
            "turns": turns,
            "labels": dict(convention),
            "device": "@device",
        },
        "run": ["$@workflow(@image, @output)"],
    }


def _metadata(
    name: str, description: str, modality: str, grid: ModelGrid, convention: LabelConvention
) -> dict[str, Any]:
    """MONAI's metadata, without what CardiacSeg keeps beside it."""
    names = ["background", *sorted(convention, key=convention.get)]
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
        "meta_schema_20240725.json",
        "version": __version__,
        "changelog": {__version__: "first model"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch").partition("+")[0],
        "numpy_version": _version("numpy"),
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


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
