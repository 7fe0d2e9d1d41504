"""The person's own models: imported, exported, deleted.

They lie in the person's own folder (:func:`own_model_folder`), each in a folder of its name. What comes from elsewhere
is looked at before it is brought in.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from CardiacSegLib.bundles import (
    METADATA,
    ONNX,
    RUN_BUNDLE,
    WEIGHTS,
    Bundle,
    list_models,
    own_model_folders,
    read_checked,
    read_metadata,
)
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.inference.onnx_check import check_onnx
from CardiacSegLib.jobs.owned_folders import owned_folder
from CardiacSegLib.models.copies import RESERVED, copy_folder, plain_files, unpack
from CardiacSegLib.models.embedded_code import runs_code
from CardiacSegLib.models.facts import is_shipped, shipped_folder


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
        found = unpack(source, copy) if source.is_file() else copy_folder(source, copy)
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
    # Not read again: it came whole, even where another program deletes it this moment.
    return replace(bundle, folder=(own / name).resolve())


def export_model(bundle: Bundle, target_zip: Path | str) -> Path:
    """Write a model as an archive that :func:`import_model` takes, in a folder of its name; return the archive.

    Raises:
        CardiacSegError: where the file name is not one of a .zip, or the archive cannot be written.
    """
    target = Path(target_zip)
    if target.suffix.lower() != ".zip":
        raise CardiacSegError(f"{target}: a model is written as a .zip; give the file that extension")
    files = plain_files(bundle.folder)
    if METADATA.as_posix() not in files:
        raise CardiacSegError(f"{bundle.folder}: the model is there no more; choose another, or import it again")
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
    if folder.parent != own or name == ".." or not (folder / METADATA).is_file() or own.resolve() == shipped_folder():
        raise CardiacSegError(_why_not_deletable(name))
    with _workplace(own) as place:
        try:
            # Out of sight at once: a model that is only half there could still be chosen. Of a link only the link goes.
            folder.rename(place / "deleted")
        except FileNotFoundError as error:
            raise CardiacSegError(f"model '{name}' is there no more; another program has just deleted it") from error
        except OSError as error:
            raise CardiacSegError(
                f"{folder}: cannot be removed ({error.strerror}); end what uses it and try again"
            ) from error


@contextmanager
def _workplace(own: Path) -> Iterator[Path]:
    """A folder on the same disk that goes at the end, or with the next import or deletion where this process is killed.

    What is in it is not found as a model: it lies one level too deep.
    """
    with ExitStack() as stack:
        try:
            place = stack.enter_context(owned_folder(".partial-", own))
        except OSError as error:
            raise CardiacSegError(f"{own}: cannot be written to ({error.strerror}); set CARDIACSEG_MODELS") from error
        yield place


def _read_copy(copy: Path, source: Path) -> Bundle:
    """Read a copy as segmentation would, every file that has a hash; errors name what it was copied from."""
    try:
        bundle = Bundle.read(copy)
        read_checked(copy / WEIGHTS, bundle.hash, "the weights are")
        if bundle.onnx_hash:
            _check_onnx(bundle)
        if bundle.combine:
            from CardiacSegLib.inference.combining import load_rule  # which needs scipy

            load_rule(bundle.combine, (copy / WEIGHTS).parent, len(bundle.convention) + 1)
    except CardiacSegError as error:
        raise CardiacSegError(str(error).replace(str(copy), str(source))) from error
    return bundle


def _check_onnx(bundle: Bundle) -> None:
    try:
        check_onnx(bundle.onnx_content())
    except ValueError as error:
        raise CardiacSegError(f"{bundle.folder / ONNX}: cannot be used ({error}); get the model again") from error


def _given_name(bundle: Bundle, found: str) -> str:
    """The name of the folder that a model came in; that of its maker where every run calls its folder so."""
    return str(read_metadata(bundle.folder).get("name") or found) if found == RUN_BUNDLE else found


_NAME = re.compile(r"\w[\w .()+-]{0,99}(?<![ .])")


def _check_name(name: str, own: Path) -> None:
    if not _NAME.fullmatch(name) or RESERVED.fullmatch(name):
        raise CardiacSegError(f"'{name}' cannot name a model; give a name of letters, digits, spaces and -_.()+")
    # Windows and macOS do not tell capitals from small letters.
    taken = {bundle.name.casefold() for bundle in list_models()} | {path.name.casefold() for path in own.iterdir()}
    if name.casefold() in taken:
        raise CardiacSegError(f"there is a model called '{name}' already; give another name, or delete that one first")


def _why_not_deletable(name: str) -> str:
    found = [bundle for bundle in list_models() if bundle.name == name]
    if not found:
        return f"no model is called '{name}'; choose one of those in {own_model_folder()}"
    if is_shipped(found[0]):
        return f"model '{name}' came with CardiacSeg and stays; only models of your own can be deleted"
    if found[0].folder.parent == own_model_folder().resolve():
        return f"model '{name}' has just been imported by another program; delete it again"
    return f"model '{name}' is in {found[0].folder.parent}, not in {own_model_folder()}; delete its folder there"
