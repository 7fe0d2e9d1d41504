"""Where models lie, and how one is found by its name."""

from __future__ import annotations

import os
from pathlib import Path

from CardiacSegLib.bundles.bundle import METADATA, Bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.resources import resource_folder

DEFAULT_MODEL = "short-axis-cine"


def own_model_folders() -> list[Path]:
    """The person's own folders of models: those in ``CARDIACSEG_MODELS``, or else one in the home folder, if any."""
    named = [Path(part) for part in os.environ.get("CARDIACSEG_MODELS", "").split(os.pathsep) if part]
    try:
        return named or [Path.home() / ".cardiacseg" / "models"]
    except RuntimeError:  # an account without a home folder, as in some containers
        return []


def _model_folders() -> list[Path]:
    """Folders in which models are looked for: the person's own, then the shipped ones."""
    return [*own_model_folders(), resource_folder() / "Models"]


def list_models() -> list[Bundle]:
    """Every model that can be used by its name, sorted; a damaged one is left out.

    Of two with the same name the one in the person's own folder counts.
    """
    found: dict[str, Bundle] = {}
    for parent in _model_folders():
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
    for parent in _model_folders():
        if (parent / str(model) / METADATA).is_file():
            return Bundle.read(parent / str(model))
    if Path(model).exists() or os.sep in str(model):
        return Bundle.read(Path(model))
    names = ", ".join(bundle.name for bundle in list_models()) or "none is installed"
    raise CardiacSegError(f"no model is called '{model}' (there are: {names}); give one of them or a bundle's folder")
