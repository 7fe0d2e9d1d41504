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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from CardiacSegLib.bundles.writing import RUN_EXPRESSION, SEGMENTATION_RUN, WEIGHTS_EXPRESSION
from CardiacSegLib.models.copies import plain_files
from CardiacSegLib.networks import TARGETS

_CODE_FILES = {".bat", ".cmd", ".dll", ".dylib", ".exe", ".ps1", ".py", ".pyc", ".pyd", ".pyw", ".sh", ".so"}
#: Files that nothing runs: texts, tables, pictures, and ONNX, which says what to compute and not what to do.
_PLAIN_FILES = {".csv", ".gif", ".jpeg", ".jpg", ".md", ".onnx", ".pdf", ".png", ".rst", ".tsv", ".txt", ".webp"}
#: Texts like LICENSE; no program is among them that begins as programs do.
_NO_EXTENSION = ""
_PROGRAMS = (b"#!", b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"PK\x03\x04", b"\x80")
#: Bytes of a configuration.
_MOST_TEXT = 16_000_000
_WEIGHT_FILES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".ts"}
#: Exactly what `write_bundle` writes.
_HARMLESS_EXPRESSIONS = {WEIGHTS_EXPRESSION, RUN_EXPRESSION}
_HARMLESS_TARGETS = {*TARGETS, SEGMENTATION_RUN}


def runs_code(folder: Path | str) -> list[str]:
    """What in a bundle is code that MONAI or Python could run, one line each; nothing is loaded to find out.

    Looked at are every JSON and YAML file (``$`` expressions, ``%`` macros, ``_target_`` of anything but CardiacSeg's
    networks), configurations of logging (whose arguments Python evaluates), weights that hold anything but tensors, and
    arrays of objects. What is none of these and no text, table, picture or ONNX is taken for code (``python -m``
    imports from the folder it is started in). Harmless are the two expressions that CardiacSeg writes itself.
    """
    return [
        f"{_shown(name)}: {_shown(line)}" for name, path in plain_files(Path(folder)).items() for line in _code_of(path)
    ]


def _code_of(path: Path) -> list[str]:
    """Lines about the code in one file; a file that cannot be looked through might hold anything."""
    suffix = path.suffix.lower()
    for suffixes, what, look in _LOOKS:
        if suffix in suffixes:
            try:
                return look(path)
            except Exception:  # a file made to break readers raises whatever they have
                return [f"{what} that cannot be looked through"]
    if suffix in (".conf", ".ini", ".cfg"):
        return ["a configuration of logging, whose arguments Python evaluates"]
    if suffix in _PLAIN_FILES or (suffix == _NO_EXTENSION and not _is_program(path)):
        return []
    return ["a file of code" if suffix in _CODE_FILES else "a file of a kind that no model needs"]


def _is_program(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4).startswith(_PROGRAMS)


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_TEXT:
        raise ValueError("no configuration")
    return path.read_text(encoding="utf-8")


class _Object(list):  # type: ignore[type-arg]
    """A JSON object as its pairs: where a name stands twice, readers do not agree on which of the two counts."""


def _code_in_json(path: Path) -> list[str]:
    return _code_in(json.loads(_text(path), object_pairs_hook=_Object), "")


def _code_in(value: Any, where: str) -> list[str]:
    """Lines about what MONAI's parser would evaluate in a value of a configuration; ``where`` is the way to it."""
    if isinstance(value, str):
        return [f"{where} = {_short(value)}"] if _is_code(value) else []
    items = value if isinstance(value, _Object) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        place = f"{where}::{key}" if where else str(key)
        if _is_call(str(key), item):
            found.append(f"{place} = {_short(item)}")
        else:
            found += _code_in(item, place)
    return found


def _is_call(key: str, item: Any) -> bool:
    """Whether a key has MONAI call something; it can be the way to a deeper one, as in "workflow::_target_"."""
    if "_target_" in key:
        return key != "_target_" or str(item) not in _HARMLESS_TARGETS
    return "_mode_" in key or _is_code(key)  # a mode can start the debugger


def _is_code(text: str) -> bool:
    return text.lstrip().startswith(("$", "%")) and text not in _HARMLESS_EXPRESSIONS


#: "!" begins the name of a type, by which some readers make any object of Python.
_YAML_CODE = re.compile(r"[$%\\]|_target_|_mode_|(^|[\s:,\[{-])!")
_YAML_TARGET = re.compile(r"[\s-]*_target_:\s*(?P<target>[\w.]+)\s*")


def _code_in_yaml(path: Path) -> list[str]:
    """Like :func:`_code_in_json`, but line by line, as no parser of YAML is at hand: too strict rather than too lax.

    A backslash counts, because it can write any character.
    """
    lines = _text(path).splitlines()
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
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            return _objects_in_array(stream, path.stem)
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        return [line for info in infos for line in _objects_in_array(archive.open(info), Path(info.filename).stem)]


def _objects_in_array(stream: IO[bytes], name: str) -> list[str]:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return [f"{name} holds objects, which are pickles"] if read_header(stream)[2].hasobject else []


#: What a file of tensors names, as "module name".
_TENSOR_GLOBAL = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_\w+|torch\.storage \w+Storage|_codecs encode|"
    r"torch (\w+Storage|Size|device|bool|u?int\d+|b?float\d+)"
)
_MOST_PICKLE = 8_000_000


def _code_in_weights(path: Path) -> list[str]:
    """What a file of ``torch.save`` names beside tensors, read from its pickle without running that."""
    names = sorted(name for name in _names_in_weights(path) if not _TENSOR_GLOBAL.fullmatch(name))
    return [f"calls {_short(name.replace(' ', '.'))} (CardiacSeg itself reads tensors only)" for name in names]


def _names_in_weights(path: Path) -> set[str]:
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":  # torch.load takes it for a bare pickle, whatever follows
            raise ValueError("no archive")
        with zipfile.ZipFile(stream) as archive:
            # torch finds its pickle by a name in which capitals do not count.
            pickles = [info for info in archive.infolist() if info.filename.lower().endswith(".pkl")]
            packed = any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())
            if packed or not pickles or any(info.file_size > _MOST_PICKLE for info in pickles):
                raise ValueError("not what torch.save writes")
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


def _shown(text: str) -> str:
    """A stranger's text as it may be shown: a character that turns or hides what follows is written as its number."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


#: Which files are looked into, what they are called where that fails, and how.
_LOOKS: tuple[tuple[set[str], str, Callable[[Path], list[str]]], ...] = (
    ({".json"}, "JSON", _code_in_json),
    ({".yaml", ".yml"}, "YAML", _code_in_yaml),
    ({".npy", ".npz"}, "arrays", _code_in_arrays),
    (_WEIGHT_FILES, "weights", _code_in_weights),
)
