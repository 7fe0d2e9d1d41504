"""Where the files are that ship with CardiacSeg and are not code."""

from __future__ import annotations

from pathlib import Path

from CardiacSegLib.errors import CardiacSegError

_PACKAGE = Path(__file__).resolve().parent


def resource_folder() -> Path:
    """Return the folder ``Resources`` that holds ``Models/`` and ``Terminologies/``.

    Installed, in Slicer or by pip, it lies inside the package. In a source checkout it is at the top, so that bundles
    stay out of the code. ``CardiacSeg/Resources`` of the checkout is another one: icons and .ui files of the module.

    Raises:
        CardiacSegError: where the installation is incomplete.
    """
    for folder in (_PACKAGE / "Resources", _PACKAGE.parents[1] / "Resources"):
        if (folder / "Models").is_dir():
            return folder
    raise CardiacSegError(f"{_PACKAGE / 'Resources' / 'Models'} is missing: install CardiacSeg again")
