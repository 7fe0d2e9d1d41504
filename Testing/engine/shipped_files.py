"""The lists of files that ship, made from the tree: in ``CardiacSeg/CMakeLists.txt`` and ``pyproject.toml``.

``make lists`` writes them; a test compares them with the tree.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE_CMAKE = ROOT / "CardiacSeg" / "CMakeLists.txt"
PYPROJECT = ROOT / "pyproject.toml"

_NEVER_SHIPPED = {"__pycache__", ".DS_Store"}


def files_under(folder: Path, pattern: str = "*") -> list[str]:
    """Return every file below ``folder``, relative to it, with slashes, sorted."""
    found = (path for path in folder.rglob(pattern) if path.is_file() and not _NEVER_SHIPPED & set(path.parts))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def files_in_tree() -> dict[str, list[str]]:
    """Return what each CMake list has to name, by the list's name."""
    module = ROOT / "CardiacSeg"
    return {
        "MODULE_PYTHON_SCRIPTS": files_under(module, "*.py"),
        "MODULE_PYTHON_RESOURCES": [f"Resources/{name}" for name in files_under(module / "Resources")],
        "EXTENSION_RESOURCES": files_under(ROOT / "Resources"),
    }


def files_in_cmake() -> dict[str, list[str]]:
    """Return what each CMake list names now."""
    text = MODULE_CMAKE.read_text(encoding="utf-8")
    return {name: _list_pattern(name).search(text)["items"].split() for name in files_in_tree()}


def packages_in_tree() -> list[str]:
    """Return every package of the wheel; ``CardiacSegLib.Resources`` is the top-level folder ``Resources``."""
    module = ROOT / "CardiacSeg"
    folders = [Path(name).parent for name in files_under(module, "__init__.py")]
    return sorted([".".join(folder.parts) for folder in folders] + ["CardiacSegLib.Resources"])


def packages_in_pyproject() -> list[str]:
    """Return the packages that ``pyproject.toml`` names now."""
    return re.findall(r'"([^"]+)"', _PACKAGES.search(PYPROJECT.read_text(encoding="utf-8"))["items"])


def write_lists() -> None:
    """Make the lists say what the tree holds."""
    text = MODULE_CMAKE.read_text(encoding="utf-8")
    for name, files in files_in_tree().items():
        text = _list_pattern(name).sub(_replacement("".join(f"  {file}\n" for file in files)), text)
    _write(MODULE_CMAKE, text)
    packages = "".join(f'    "{package}",\n' for package in packages_in_tree())
    _write(PYPROJECT, _PACKAGES.sub(_replacement(packages), PYPROJECT.read_text(encoding="utf-8")))


_PACKAGES = re.compile(r"(?P<head>^packages = \[\n)(?P<items>[^\]]*)(?P<tail>^\])", re.MULTILINE)


def _list_pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<head>^set\({name}\n)(?P<items>[^)]*?)(?P<tail>^ *\))", re.MULTILINE)


def _replacement(items: str):
    return lambda match: match["head"] + items + match["tail"]


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


if __name__ == "__main__":
    write_lists()
