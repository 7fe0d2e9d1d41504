"""The oldest torch and MONAI that may touch a model, and why; nothing is imported to find out which are there."""

from __future__ import annotations

import re
import sys

from CardiacSegLib.errors import CardiacSegError

#: torch: a file of weights could run code in spite of ``weights_only`` before 2.6 (CVE-2025-32434), and corrupt memory
#: before 2.10 (CVE-2026-24747). MONAI: archives were unpacked outside of their folder and pickles loaded before 1.5.1
#: (GHSA-x6ww-pf9m-m73m, GHSA-p8cm-mm2v-gwjm, CVE-2025-58756), and archives again before 1.5.2 (CVE-2026-21851).
MINIMUM = {"torch": "2.10", "monai": "1.5.2"}
#: The same for people.
REASONS = {
    "torch": "in older ones a file of weights can run code",
    "monai": "older ones unpack archives and load files unsafely",
}


def require(*packages: str) -> None:
    """Raise CardiacSegError where one of these packages is older than it may be; what is missing is not looked at."""
    for package in packages:
        reason = why_too_old(package)
        if reason:
            raise CardiacSegError(f"{reason}; upgrade it: pip install --upgrade '{package}>={MINIMUM[package]}'")


def why_too_old(package: str) -> str:
    """What is wrong with the version of a package, for people; empty where nothing is, or where it is not there."""
    version = version_of(package)
    if not version or is_enough(version, MINIMUM[package]):
        return ""
    return f"{package} {version} is too old, {MINIMUM[package]} or later is needed: {REASONS[package]}"


def version_of(package: str) -> str:
    """The version of a package: its own word where it is loaded, pip's where not; empty where neither says one."""
    loaded = getattr(sys.modules.get(package), "__version__", "")
    if loaded:
        return str(loaded)
    from importlib import metadata  # slow, and not needed when Slicer starts

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def is_enough(version: str, minimum: str) -> bool:
    """Whether a version is not older than another; one without a number is."""
    return _numbers(version) >= _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu"; whatever follows the numbers does not count, nor do zeros at the end."""
    found = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(int(part) for part in re.sub(r"(\.0+)+$", "", found[0]).split(".")) if found else ()
