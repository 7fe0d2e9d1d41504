"""Code that a bundle brings with it, found without running any.

A bundle's configuration can hold Python, which ``python -m monai.bundle run`` evaluates. **CardiacSeg itself never
does.** It takes the metadata as values; from ``configs/inference.json`` the definition of the network alone, which has
to be one of `CardiacSegLib.networks` with plain arguments; and from the weights nothing but tensors (``torch.load``
with ``weights_only``). The check is for the person who runs the bundle with MONAI, and for whoever gets it from them.
"""

from __future__ import annotations

import json
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from CardiacSegLib.bundles import WEIGHTS
from CardiacSegLib.models.copies import BROKEN_ZIP, plain_files
from CardiacSegLib.networks import TARGETS

_CODE_FILES = {".bat", ".cmd", ".dll", ".dylib", ".exe", ".ps1", ".py", ".pyc", ".pyd", ".pyw", ".sh", ".so"}
_WEIGHT_FILES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".ts"}
#: Exactly what `write_bundle` writes: where the weights are, and one call of the class below.
_HARMLESS_EXPRESSIONS = {f"$@bundle_root + '/{WEIGHTS.as_posix()}'", "$@workflow(@image, @output)"}
_HARMLESS_TARGETS = {*TARGETS, "CardiacSegLib.inference.monai_bundle.SegmentationRun"}


def runs_code(folder: Path | str) -> list[str]:
    """What in a bundle is code that MONAI or Python could run, one line each; nothing is loaded to find out.

    Looked at are every JSON and YAML file (``$`` expressions, ``%`` macros, ``_target_`` of anything but CardiacSeg's
    networks), configurations of logging (whose arguments Python evaluates), files of code (``python -m`` imports from
    the folder it is started in), weights that hold anything but tensors, and arrays of objects. Harmless are the two
    expressions that CardiacSeg writes itself.
    """
    found = []
    for name, path in plain_files(Path(folder)).items():
        suffix = path.suffix.lower()
        if suffix == ".json":
            found += [f"{name}: {line}" for line in _code_in_json(path)]
        elif suffix in (".yaml", ".yml"):
            found += [f"{name}: {line}" for line in _code_in_yaml(path)]
        elif suffix in (".conf", ".ini", ".cfg"):
            found.append(f"{name}: a configuration of logging, whose arguments Python evaluates")
        elif suffix in _CODE_FILES:
            found.append(f"{name}: a file of code")
        elif suffix in (".npy", ".npz"):
            found += [f"{name}: {line}" for line in _code_in_arrays(path)]
        elif suffix in _WEIGHT_FILES:
            found += [f"{name}: {line} (CardiacSeg itself reads tensors only)" for line in _code_in_weights(path)]
    return found


def _code_in_json(path: Path) -> list[str]:
    try:
        return _code_in(json.loads(path.read_text(encoding="utf-8")), "")
    except (OSError, RecursionError, ValueError):
        return ["not JSON that can be looked through"]


def _code_in(value: Any, where: str) -> list[str]:
    """Lines about what MONAI's parser would evaluate in a value of a configuration; ``where`` is the way to it."""
    if isinstance(value, str):
        return [f"{where} = {_short(value)}"] if _is_code(value) else []
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        place = f"{where}::{key}" if where else str(key)
        # A key can be the way to a deeper one, as in "workflow::_target_".
        if "_target_" in str(key) and not (key == "_target_" and str(item) in _HARMLESS_TARGETS):
            found.append(f"{place} = {_short(item)}")
        else:
            found += _code_in(item, place)
    return found


def _is_code(text: str) -> bool:
    return text.lstrip().startswith(("$", "%")) and text not in _HARMLESS_EXPRESSIONS


_YAML_CODE = re.compile(r"[$%\\]|_target_")
_YAML_TARGET = re.compile(r"[\s-]*_target_:\s*(?P<target>[\w.]+)\s*")


def _code_in_yaml(path: Path) -> list[str]:
    """Like :func:`_code_in_json`, but line by line, as no parser of YAML is at hand: too strict rather than too lax.

    A backslash counts, because it can write any character.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ["not YAML that can be looked through"]
    return [
        f"line {number} = {_short(line.strip())}"
        for number, line in enumerate(lines, 1)
        if _YAML_CODE.search(line) and not _is_harmless_yaml(line)
    ]


def _is_harmless_yaml(line: str) -> bool:
    target = _YAML_TARGET.fullmatch(line)
    return bool(target) and target["target"] in _HARMLESS_TARGETS


def _code_in_arrays(path: Path) -> list[str]:
    """Arrays of objects, which are pickles, in a file of numpy; only the headers are read."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                return _objects_in_array(stream, path.stem)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return [line for name in names for line in _objects_in_array(archive.open(name), Path(name).stem)]
    except (OSError, ValueError, *BROKEN_ZIP):
        return ["arrays that cannot be looked through"]


def _objects_in_array(stream: IO[bytes], name: str) -> list[str]:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return [f"{name} holds objects, which are pickles"] if read_header(stream)[2].hasobject else []


#: What a file of tensors names, as "module name".
_TENSOR_GLOBAL = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_\w+|torch\.storage \w+Storage|_codecs encode|"
    r"torch (\w+Storage|Size|device|bool|u?int\d+|b?float\d+)"
)
_MOST_PICKLE = 64_000_000


def _code_in_weights(path: Path) -> list[str]:
    """What a file of ``torch.save`` names beside tensors, read from its pickle without running that."""
    try:
        names = _names_in_weights(path)
    except (OSError, ValueError, *BROKEN_ZIP):
        return ["weights that cannot be looked through"]
    return [f"calls {name.replace(' ', '.')}" for name in sorted(names) if not _TENSOR_GLOBAL.fullmatch(name)]


def _names_in_weights(path: Path) -> set[str]:
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":  # torch.load takes it for a bare pickle, whatever follows
            raise ValueError("no archive")
        with zipfile.ZipFile(stream) as archive:
            pickles = [info for info in archive.infolist() if info.filename.endswith(".pkl")]
            if not pickles or any(info.file_size > _MOST_PICKLE for info in pickles):
                raise ValueError("no tensors, or too many")
            return {name for info in pickles for name in _globals_of(archive.read(info))}


def _globals_of(pickle: bytes) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(pickle):
        if operation.name == "GLOBAL":
            yield argument
        elif operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            yield "something that it does not name"  # torch.save writes none of these


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
