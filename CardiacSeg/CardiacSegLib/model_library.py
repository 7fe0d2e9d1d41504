"""The models a person has: what there is to know about them, and bringing them in, passing them on, removing them.

Models that were imported lie in the person's own folder (:func:`own_model_folder`), each in a folder of its name. What
comes from elsewhere is looked at before it is brought in: a bundle's configuration can hold Python, which
``python -m monai.bundle run`` evaluates. **CardiacSeg itself never does.** It takes the metadata as values; from
``configs/inference.json`` the definition of the network alone, which has to be one of `CardiacSegLib.networks` with
plain arguments; and from the weights nothing but tensors (``torch.load`` with ``weights_only``). The check is for the
person who runs the bundle with MONAI, and for whoever gets it from them.
"""

from __future__ import annotations

import json
import pickletools
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from CardiacSegLib.bundles import (
    METADATA,
    WEIGHTS,
    Bundle,
    list_models,
    own_model_folders,
    read_metadata,
    sha256,
)
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.networks import NETWORKS
from CardiacSegLib.resources import resource_folder

#: More than this is no model of CardiacSeg, whose largest network takes half a gigabyte.
MOST_BYTES = 4_000_000_000
MOST_FILES = 10_000

#: A training run keeps its bundle in a folder of this name.
_RUN_BUNDLE = "bundle"
#: What file managers leave in folders and archives.
_LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}


class UntrustedModelError(CardiacSegError):
    """A model that holds code of its own.

    Attributes:
        lines: what would run, as :func:`runs_code` says it.
    """

    def __init__(self, source: Path, lines: list[str]) -> None:
        more = f"; and {len(lines) - 1} more" if len(lines) > 1 else ""
        super().__init__(
            f"{source}: holds code of its own ({lines[0]}{more}); import it only if you trust whoever made it"
        )
        self.lines = lines


@dataclass(frozen=True)
class ModelFacts:
    """What lists and dialogs show about a model.

    Attributes:
        name: by which it is found.
        title: that its maker gave it.
        description: one line.
        purpose: what it is for and what not; empty where its maker did not say.
        structures: names, in the order of their numbers.
        modality: of its images, such as MR; empty where it is not said.
        data: layout of the cases it was trained on, such as acdc; empty where it is not said.
        trained_on: number of patients.
        validated_on: number of other patients.
        dice: mean Dice on those by phase and structure, each row with ``mean``; empty where it was not measured.
        license: of the weights, as the card says it.
        size_mb: on disk, in megabytes.
        turns: over how many turned copies of an image its probabilities are averaged.
        spacing: in-plane, in mm, at which it labels.
        shipped: whether it came with CardiacSeg.
        card: its card, a Markdown file; None where it has none.
    """

    name: str
    title: str
    description: str
    purpose: str
    structures: tuple[str, ...]
    modality: str
    data: str
    trained_on: int
    validated_on: int
    license: str
    size_mb: float
    turns: int
    spacing: float
    shipped: bool
    card: Path | None
    dice: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float | None:
        """Mean over structures and phases; None where it was not measured."""
        return self.dice.get("all", {}).get("mean")


def own_model_folder() -> Path:
    """The person's own folder of models; it need not exist.

    The first one in ``CARDIACSEG_MODELS``, or else ``.cardiacseg/models`` in the home folder.

    Raises:
        CardiacSegError: where there is neither.
    """
    folders = own_model_folders()
    if not folders:
        raise CardiacSegError("this account has no home folder; set CARDIACSEG_MODELS to a folder for models")
    return folders[0]


def is_shipped(bundle: Bundle) -> bool:
    """Whether a model came with CardiacSeg."""
    return bundle.folder.parent == _shipped_folder()


def model_facts(bundle: Bundle) -> ModelFacts:
    """What is known about a model; whatever its maker left out is empty.

    Raises:
        CardiacSegError: where its metadata is gone.
    """
    metadata = read_metadata(bundle.folder)
    training = _mapping(_mapping(metadata.get("cardiacseg")).get("training"))
    formats = _mapping(_mapping(metadata.get("network_data_format")).get("inputs"))
    return ModelFacts(
        name=bundle.name,
        title=str(metadata.get("name") or bundle.name),
        description=bundle.description,
        purpose=str(training.get("purpose") or ""),
        structures=tuple(sorted(bundle.convention, key=lambda name: bundle.convention[name])),
        modality=str(_mapping(formats.get("image")).get("modality", "")),
        data=str(training.get("layout") or ""),
        trained_on=_count(training.get("patients_trained_on")),
        validated_on=_count(training.get("patients_validated_on")),
        dice=_dice(training.get("validation_dice")),
        license=_license(bundle.card),
        size_mb=sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file()) / 1e6,
        turns=bundle.turns,
        spacing=bundle.grid.spacing,
        shipped=is_shipped(bundle),
        card=bundle.card if bundle.card.is_file() else None,
    )


def import_model(source: Path | str, name: str = "", trust_code: bool = False) -> Bundle:
    """Copy a model into the person's own folder; where anything is wrong, nothing is left there.

    Args:
        source: a bundle's folder, a training run's folder, or a .zip that holds a bundle, perhaps in a folder.
        name: under which it is found from now on; that of its folder, or of its archive, where empty.
        trust_code: take it even where it holds code of its own.

    Returns:
        The copy.

    Raises:
        UntrustedModelError: where it holds code of its own (:func:`runs_code`) and ``trust_code`` is False.
        CardiacSegError: where it is no bundle, damaged, too large or not made of plain files, where its archive would
            write outside of its folder, where the name is taken, or where the copy cannot be written.
    """
    source, own = Path(source), own_model_folder()
    make_folder(own)
    with _workplace(own) as place:
        copy = place / "copy"
        found = _unpack(source, copy) if source.is_file() else _copy_folder(source, copy)
        bundle = _read_copy(copy, source)
        code = [] if trust_code else runs_code(copy)
        if code:
            raise UntrustedModelError(source, code)
        name = name.strip() or _given_name(bundle, found)
        _check_name(name, own)
        try:
            copy.rename(own / name)
        except OSError as error:
            raise CardiacSegError(f"{own / name}: cannot be written ({error.strerror}); give another name") from error
    return Bundle.read(own / name)


def export_model(bundle: Bundle, target_zip: Path | str) -> Path:
    """Write a model as an archive that :func:`import_model` takes, in a folder of its name; return the archive.

    Raises:
        CardiacSegError: where the file name is not one of a .zip, or the archive cannot be written.
    """
    target = Path(target_zip)
    if target.suffix.lower() != ".zip":
        raise CardiacSegError(f"{target}: a model is written as a .zip; give the file that extension")
    files = _plain_files(bundle.folder)
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", strict_timestamps=False) as archive:
        for name, path in files.items():
            # Weights do not get smaller.
            how = zipfile.ZIP_STORED if path.suffix == WEIGHTS.suffix else zipfile.ZIP_DEFLATED
            archive.write(path, f"{bundle.name}/{name}", how)
    return target


def delete_model(name: str) -> None:
    """Remove a model from the person's own folder.

    Raises:
        CardiacSegError: where it is not there, came with CardiacSeg, or cannot be removed.
    """
    own = own_model_folder()
    folder = own / name
    if folder.parent != own or name == ".." or not (folder / METADATA).is_file() or own.resolve() == _shipped_folder():
        raise CardiacSegError(_why_not_deletable(name))
    with _workplace(own) as place:
        try:
            # Out of sight at once: a model that is only half there could still be chosen. Of a link only the link goes.
            folder.rename(place / "deleted")
        except OSError as error:
            raise CardiacSegError(
                f"{folder}: cannot be removed ({error.strerror}); end what uses it and try again"
            ) from error


def runs_code(folder: Path | str) -> list[str]:
    """What in a bundle is code that MONAI or Python could run, one line each; nothing is loaded to find out.

    Looked at are every JSON and YAML file (``$`` expressions, ``%`` macros, ``_target_`` of anything but CardiacSeg's
    networks), configurations of logging (whose arguments Python evaluates), files of code (``python -m`` imports from
    the folder it is started in), and weights that hold anything but tensors. The two expressions that CardiacSeg writes
    itself are harmless.
    """
    found = []
    for name, path in _plain_files(Path(folder)).items():
        suffix = path.suffix.lower()
        if suffix == ".json":
            found += [f"{name}: {line}" for line in _code_in_json(path)]
        elif suffix in (".yaml", ".yml"):
            found += [f"{name}: {line}" for line in _code_in_yaml(path)]
        elif suffix in (".conf", ".ini", ".cfg"):
            found.append(f"{name}: a configuration of logging, whose arguments Python evaluates")
        elif suffix in _CODE_FILES:
            found.append(f"{name}: a file of code")
        elif suffix in _WEIGHT_FILES:
            found += [f"{name}: {line} (CardiacSeg itself reads tensors only)" for line in _code_in_weights(path)]
    return found


# ---- code in a bundle ------------------------------------------------------------------------------------------------

_CODE_FILES = {".bat", ".cmd", ".dll", ".dylib", ".exe", ".ps1", ".py", ".pyc", ".pyd", ".pyw", ".sh", ".so"}
_WEIGHT_FILES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".ts"}
#: Exactly what `write_bundle` writes: where the weights are, and one call of the class below.
_HARMLESS_EXPRESSIONS = {f"$@bundle_root + '/{WEIGHTS.as_posix()}'", "$@workflow(@image, @output)"}
_HARMLESS_TARGETS = {entry.target for entry in NETWORKS.values()} | {
    "CardiacSegLib.inference.monai_bundle.SegmentationRun"
}


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


#: What a file of tensors names, as "module name".
_TENSOR_GLOBAL = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_\w+|torch\.storage \w+Storage|_codecs encode|"
    r"torch (\w+Storage|Size|device|bool|u?int\d+|b?float\d+)"
)
_MOST_PICKLE = 64_000_000
#: What a damaged archive, or one of an unusual kind, raises beside OSError.
_BROKEN_ZIP = (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def _code_in_weights(path: Path) -> list[str]:
    """What a file of ``torch.save`` names beside tensors, read from its pickle without running that."""
    try:
        names = _names_in_weights(path)
    except (OSError, ValueError, *_BROKEN_ZIP):
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


# ---- bringing a model in ---------------------------------------------------------------------------------------------


@contextmanager
def _workplace(own: Path) -> Iterator[Path]:
    """A folder on the same disk that goes at the end; what is in it is not found as a model, one level too deep."""
    try:
        place = Path(tempfile.mkdtemp(prefix=".partial-", dir=own)).resolve()
    except OSError as error:
        raise CardiacSegError(f"{own}: cannot be written to ({error.strerror}); set CARDIACSEG_MODELS") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _copy_folder(source: Path, target: Path) -> str:
    """Copy a bundle, or the one of a training run; return the name of its folder."""
    if not source.is_dir():
        raise CardiacSegError(f"{source}: no such file or folder; give a bundle's folder or a .zip that holds one")
    source = source.resolve()
    if not (source / METADATA).is_file() and (source / _RUN_BUNDLE / METADATA).is_file():
        source = source / _RUN_BUNDLE
    if not (source / METADATA).is_file():
        raise CardiacSegError(f"{source}: no bundle, {METADATA} is missing; give the folder that holds 'configs'")
    files = _plain_files(source)
    _check_size(source, [path.stat().st_size for path in files.values()], target.parent)
    for name, path in files.items():
        with _copying(source), path.open("rb") as stream:
            _write(target / name, stream)
    return source.name


def _plain_files(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its name there, with slashes, sorted; what file managers leave is passed over.

    Raises:
        CardiacSegError: for a link, a socket and the like.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind) or _LITTER & set(path.relative_to(folder).parts):
            continue
        if not stat.S_ISREG(kind):
            raise CardiacSegError(f"{path}: a link or device, not a plain file; put the file itself there")
        files[path.relative_to(folder).as_posix()] = path
    return files


def _unpack(source: Path, target: Path) -> str:
    """Unpack the bundle in an archive; return the name of its folder there, or that of the archive."""
    if not zipfile.is_zipfile(source):
        raise CardiacSegError(f"{source}: no .zip; give a bundle's folder or a .zip that holds one")
    with _copying(source), zipfile.ZipFile(source) as archive:
        entries = _entries(archive, source)
        roots = [PurePosixPath(name).parents[1] for name in entries if name.endswith(f"/{METADATA.as_posix()}")]
        roots = [PurePosixPath()] if METADATA.as_posix() in entries else [one for one in roots if len(one.parts) == 1]
        if len(roots) != 1:
            many = "several bundles" if roots else f"no bundle, {METADATA} is missing"
            raise CardiacSegError(f"{source}: {many}; pack the one folder that holds 'configs'")
        (root,) = roots
        wanted = {name: info for name, info in entries.items() if root in PurePosixPath(name).parents}
        _check_size(source, [info.file_size for info in wanted.values()], target.parent)
        for name, info in wanted.items():
            with archive.open(info) as stream:
                _write(target / PurePosixPath(name).relative_to(root), stream)
    return root.name or source.stem


def _entries(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by their names, each below the archive's own folder, without what macOS adds."""
    entries = {}
    for info in archive.infolist():
        # Windows takes both slashes, drives and streams; what is wrong there is refused everywhere.
        path = PureWindowsPath(info.filename)
        if path.anchor or ".." in path.parts or ":" in info.filename:
            raise CardiacSegError(f"{source}: {info.filename!r} would be written outside of its folder; do not use it")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CardiacSegError(f"{source}: {info.filename!r} is a link or device, not a plain file; pack the files")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CardiacSegError(f"{source}: is locked or packed in an unusual way; unpack it and give its folder")
        if not info.is_dir() and not _LITTER & set(path.parts):
            entries[path.as_posix()] = info
    return entries


def _check_size(source: Path, sizes: list[int], place: Path) -> None:
    total = sum(sizes)
    if total > MOST_BYTES or len(sizes) > MOST_FILES:
        raise CardiacSegError(
            f"{source}: {len(sizes)} files of {total / 1e9:.1f} GB are no model (at most {MOST_FILES} files of "
            f"{MOST_BYTES / 1e9:g} GB); give the bundle alone"
        )
    if total > shutil.disk_usage(place).free:
        raise CardiacSegError(f"{source}: needs {total / 1e6:.0f} MB, more than the disk has; make room on it")


def _write(path: Path, stream: Any) -> None:
    """A new file with the content of a stream, without the rights to run that it had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        shutil.copyfileobj(stream, target, 1 << 20)


@contextmanager
def _copying(source: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, *_BROKEN_ZIP) as error:
        reason = getattr(error, "strerror", None) or error
        raise CardiacSegError(f"{source}: cannot be copied ({reason}); get it again, or make room") from error


def _read_copy(copy: Path, source: Path) -> Bundle:
    """Read a copy as segmentation would; errors name what it was copied from."""
    try:
        bundle = Bundle.read(copy)
        if not (copy / WEIGHTS).is_file():
            raise CardiacSegError(f"{copy / WEIGHTS}: the weights are missing; copy or download the model again")
        if sha256(copy / WEIGHTS) != bundle.hash:
            raise CardiacSegError(f"{copy / WEIGHTS}: SHA-256 is not the one in {METADATA}; get the model again")
    except CardiacSegError as error:
        raise CardiacSegError(str(error).replace(str(copy), str(source))) from error
    return bundle


def _given_name(bundle: Bundle, found: str) -> str:
    """The name of the folder that a model came in; that of its maker where every run calls its folder so."""
    return str(read_metadata(bundle.folder).get("name") or found) if found == _RUN_BUNDLE else found


_NAME = re.compile(r"\w[\w .()+-]{0,99}(?<![ .])")
_NOT_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def _check_name(name: str, own: Path) -> None:
    if not _NAME.fullmatch(name) or _NOT_ON_WINDOWS.fullmatch(name):
        raise CardiacSegError(f"'{name}' cannot name a model; give a name of letters, digits, spaces and -_.()+")
    # Windows and macOS do not tell capitals from small letters.
    taken = {bundle.name.casefold() for bundle in list_models()} | {path.name.casefold() for path in own.iterdir()}
    if name.casefold() in taken:
        raise CardiacSegError(f"there is a model called '{name}' already; give another name, or delete that one first")


# ---- facts -----------------------------------------------------------------------------------------------------------


def _shipped_folder() -> Path:
    return (resource_folder() / "Models").resolve()


def _why_not_deletable(name: str) -> str:
    found = [bundle for bundle in list_models() if bundle.name == name]
    if not found:
        return f"no model is called '{name}'; choose one of those in {own_model_folder()}"
    if is_shipped(found[0]):
        return f"model '{name}' came with CardiacSeg and stays; only models of your own can be deleted"
    return f"model '{name}' is in {found[0].folder.parent}, not in {own_model_folder()}; delete its folder there"


_LICENSE = re.compile(r"^License of the weights: (?P<license>.+?)\.?$", re.MULTILINE)


def _license(card: Path) -> str:
    try:
        found = _LICENSE.search(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return found["license"] if found else "not stated"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _dice(value: Any) -> dict[str, dict[str, float]]:
    """The table of Dice, as far as it is one."""
    return {
        str(phase): {str(name): float(dice) for name, dice in row.items() if isinstance(dice, (int, float))}
        for phase, row in _mapping(value).items()
        if isinstance(row, Mapping)
    }
