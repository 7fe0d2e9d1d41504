"""What ships is whole: the CMake lists, the index entry, the icons, the wheel's packages, the addresses."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import shipped_files

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CMakeLists.txt",
    "CardiacSeg",
    "CardiacSegExtension",
    "LICENSE.txt",
    "Makefile",
    "README.md",
    "Resources",
    "Testing",
    "pyproject.toml",
}
TEXT_SUFFIXES = {".cfg", ".csv", ".json", ".md", ".py", ".toml", ".txt", ".ui", ""}


@pytest.fixture(scope="module")
def extension_cmake() -> dict[str, str]:
    """The settings of the extension, read as the index reads them: without CMake."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    settings = dict(re.findall(r'^set\((EXTENSION_\w+) "([^"]+)"\)$', text, re.MULTILINE))
    return settings | {"project": re.search(r"^project\((\w+)\)$", text, re.MULTILINE)[1]}


@pytest.fixture(scope="module")
def index_entry() -> dict[str, object]:
    return json.loads((ROOT / "CardiacSegExtension" / "CardiacSegExtension.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tracked_files() -> list[Path]:
    """The files of the repository, without what a person keeps beside them."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git and a git checkout")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]  # a container's user may not own the checkout
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", sorted(shipped_files.files_in_tree()))
def test_a_cmake_list_names_the_files_of_the_tree(name: str) -> None:
    assert shipped_files.files_in_cmake()[name] == shipped_files.files_in_tree()[name], "run: make lists"


def test_the_wheel_holds_every_package() -> None:
    assert shipped_files.packages_in_pyproject() == shipped_files.packages_in_tree(), "run: make lists"


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "CardiacSeg" / "CardiacSegLib").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_code_imports_only_what_is_declared() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = re.search(r"^dependencies = \[\n(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)[1]
    optional = re.search(r"^cluster = \[(.*?)\]", pyproject, re.MULTILINE)[1]
    names = {name.lower() for name in re.findall(r'"([\w-]+)', required + optional)}
    modules = {"pillow": "PIL", "pynrrd": "nrrd", "scikit-learn": "sklearn", "simpleitk": "SimpleITK"}
    declared = {modules.get(name, name) for name in names}
    imported = set()
    for name in shipped_files.files_under(ROOT / "CardiacSeg" / "CardiacSegLib", "*.py"):
        if not name.startswith(("gui/", "mrml/")):
            imported |= _imported_packages(ROOT / "CardiacSeg" / "CardiacSegLib" / name)
    assert imported - set(sys.stdlib_module_names) - {"CardiacSegLib"} <= declared


def _imported_packages(path: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add(node.module.split(".")[0])
    return packages


def test_the_top_level_holds_only_what_the_design_names(tracked_files: list[Path]) -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files} <= TOP_LEVEL


def test_the_in_slicer_tests_that_cmake_registers_exist() -> None:
    text = (ROOT / "Testing" / "CMakeLists.txt").read_text(encoding="utf-8")
    scripts = re.findall(r"SCRIPT \$\{CMAKE_CURRENT_SOURCE_DIR\}/([\w/]+\.py)\)", text)
    assert scripts and all((ROOT / "Testing" / script).exists() for script in scripts)


def test_the_index_entry_follows_schema_1_0_2(index_entry: dict[str, object]) -> None:
    types = {
        "$schema": str,
        "build_dependencies": list,
        "build_subdirectory": str,
        "category": str,
        "enabled": bool,
        "scm_revision": str,
        "scm_type": str,
        "scm_url": str,
        "tier": int,
    }
    assert {"$schema", "category", "scm_url"} <= index_entry.keys() <= types.keys()
    assert all(isinstance(value, types[key]) for key, value in index_entry.items())
    assert index_entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert all(isinstance(name, str) for name in index_entry["build_dependencies"])
    assert 1 <= index_entry["tier"] <= 5


def test_the_index_accepts_name_category_and_repository(index_entry: dict, extension_cmake: dict[str, str]) -> None:
    assert extension_cmake["project"] == "CardiacSegExtension"
    assert index_entry["category"] == extension_cmake["EXTENSION_CATEGORY"] == "Cardiac"
    assert index_entry["build_dependencies"] == extension_cmake["EXTENSION_DEPENDS"].split()
    assert "slicer" in index_entry["scm_url"].rsplit("/", 1)[1].lower()


def test_the_index_can_read_address_and_description(index_entry: dict, extension_cmake: dict[str, str]) -> None:
    assert index_entry["scm_url"].split("://")[0] in ("https", "git")
    assert (ROOT / extension_cmake["project"] / f"{extension_cmake['project']}.json").is_file()
    description = extension_cmake["EXTENSION_DESCRIPTION"]
    assert ";" not in description and 1 <= description.count(".") <= 2
    assert (ROOT / "LICENSE.txt").is_file()


def test_the_readme_has_what_the_index_asks_for() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# CardiacSeg\n")
    for words in (
        "**CardiacSeg**",
        "### Tutorial: segment",
        "### Tutorial: train",
        "doi 10.",
        "Apache-2.0",
        "To remove",
    ):
        assert words in readme, words
    pictures = re.findall(r'<img src="([^"]+)"|!\[[^\]]*\]\(([^)]+)\)', readme)
    assert len(pictures) >= 5


def test_what_the_readme_points_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r'src="([^"]+)"|\]\(([^)#]+)\)', readme)
    local = [first or second for first, second in targets if "://" not in first + second]
    assert local and [target for target in local if not (ROOT / target).exists()] == []
    scripts = re.findall(r"(?:python|pytest)(?: -s)? (Testing/[\w/]+\.py)", readme)
    assert scripts and [script for script in scripts if not (ROOT / script).exists()] == []


def test_every_address_is_that_of_the_homepage(index_entry: dict, extension_cmake: dict[str, str]) -> None:
    homepage = extension_cmake["EXTENSION_HOMEPAGE"]
    assert index_entry["scm_url"] == f"{homepage}.git"
    raw = homepage.replace("github.com", "raw.githubusercontent.com") + f"/{index_entry['scm_revision']}/"
    pictures = [extension_cmake["EXTENSION_ICONURL"], *extension_cmake["EXTENSION_SCREENSHOTURLS"].split()]
    for address in pictures:
        assert address.startswith(raw)
        assert (ROOT / address[len(raw) :]).exists()
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'Homepage = "{homepage}"' in pyproject


@pytest.mark.parametrize(
    ("icon", "sizes"),
    [
        ("CardiacSegExtension/CardiacSegExtension.png", {(128, 128)}),
        ("CardiacSeg/Resources/Icons/CardiacSeg.png", {(128, 128), (256, 256)}),
        ("CardiacSeg/Resources/Icons/CardiacSegPhantom.png", {(260, 280)}),
        ("CardiacSeg/Resources/Icons/CardiacSegPhantomCine.png", {(260, 280)}),
    ],
)
def test_an_icon_has_the_size_that_slicer_shows(icon: str, sizes: set[tuple[int, int]]) -> None:
    header = (ROOT / icon).read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", header[16:24]) in sizes


def test_text_has_unix_line_endings(tracked_files: list[Path]) -> None:
    texts = [path for path in tracked_files if path.suffix in TEXT_SUFFIXES]
    assert [path for path in texts if b"\r" in path.read_bytes()] == []


def test_torch_is_pinned_in_the_constraints_alone() -> None:
    lines = (ROOT / "Testing" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in lines
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert not re.search(r'"torch==', pyproject)
    assert "Testing/constraints.txt" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_license_is_apache_2() -> None:
    text = (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
