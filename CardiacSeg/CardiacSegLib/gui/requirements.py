"""What the engine needs beside what Slicer brings: what is missing, what it costs, what pip is told and says.

Nothing here needs Slicer, asks or installs; :mod:`CardiacSegLib.gui.packages` does.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from CardiacSegLib.bundles import find_bundle
from CardiacSegLib.networks.versions import MINIMUM, REASONS, is_enough

try:
    from slicer.i18n import tr as _
except ImportError:  # hosts that are not translated
    _ = str

#: What packages are wanted for: labeling a volume on the processor; labeling it by torch, on a graphics card or by a
#: model without ONNX; or reading files of cases as well (training, datasets, evaluation).
SEGMENT, SEGMENT_BY_TORCH, TRAIN = "segment", "segment by torch", "train"


@dataclass(frozen=True)
class Package:
    """A Python package that the engine imports.

    Attributes:
        name: by which pip knows it.
        megabytes: of its download, about: of the newest wheel at PyPI for Python 3.12 on 64-bit Linux in November 2026,
            as pip showed it. Other systems differ by little, except for torch: see :func:`torchSize`.
        minimum: the oldest version that will do; empty where any will. Never an exact one: other extensions have
            wishes too.
        purposes: which it is wanted for.
    """

    name: str
    megabytes: float
    minimum: str = ""
    purposes: Sequence[str] = (SEGMENT, SEGMENT_BY_TORCH, TRAIN)

    @property
    def requirement(self) -> str:
        """As pip is asked for it."""
        return f"{self.name}>={self.minimum}" if self.minimum else self.name


#: By the name under which they are imported. Slicer brings some of them; then they are not missing.
REQUIREMENTS = {
    "openvino": Package("openvino", 59, "2025.0", (SEGMENT, TRAIN)),
    "torch": Package("torch", 539, MINIMUM["torch"], (SEGMENT_BY_TORCH, TRAIN)),
    "monai": Package("monai", 2, MINIMUM["monai"], (SEGMENT_BY_TORCH, TRAIN)),
    "numpy": Package("numpy", 16),
    "scipy": Package("scipy", 35),
    "threadpoolctl": Package("threadpoolctl", 0.1),
    "SimpleITK": Package("SimpleITK", 53, purposes=(TRAIN,)),
    "nibabel": Package("nibabel", 3, purposes=(TRAIN,)),
    "nrrd": Package("pynrrd", 0.1, purposes=(TRAIN,)),
    "onnx": Package("onnx", 9, purposes=(TRAIN,)),
    "onnxscript": Package("onnxscript", 0.8, purposes=(TRAIN,)),
    "pydicom": Package("pydicom", 2, "3", (TRAIN,)),
    "PIL": Package("pillow", 7, purposes=(TRAIN,)),
    "jinja2": Package("jinja2", 0.1, purposes=(TRAIN,)),
    "matplotlib": Package("matplotlib", 10, purposes=(TRAIN,)),
    "sklearn": Package("scikit-learn", 9, purposes=(TRAIN,)),
    "filelock": Package("filelock", 0.1, purposes=(TRAIN,)),
    "psutil": Package("psutil", 0.2, purposes=(TRAIN,)),
    "tqdm": Package("tqdm", 0.1, purposes=(TRAIN,)),
}


def segmentPurpose(device: str, hasOnnx: bool = True) -> str:
    """What labeling needs packages for.

    Args:
        device: that the person chose; "auto" takes a graphics card only where torch is installed already.
        hasOnnx: whether the model holds its network as ONNX.
    """
    return SEGMENT if hasOnnx and device in ("auto", "cpu") else SEGMENT_BY_TORCH


def purposeOfSegmenting(model: str, device: str) -> str:
    """What labeling with a model needs packages for; raises CardiacSegError where there is no such model."""
    return segmentPurpose(device, bool(find_bundle(model).onnx_hash))


def missingPackages(purpose: str = SEGMENT) -> list[str]:
    """What is not installed or too old, by import name; nothing is imported to find out."""
    wanted = [name for name, package in REQUIREMENTS.items() if purpose in package.purposes]
    return [name for name in wanted if not _isInstalled(name)]


def _isInstalled(name: str) -> bool:
    if importlib.util.find_spec(name) is None:
        return False
    minimum = REQUIREMENTS[name].minimum
    # What Slicer brings can be unknown to pip, without a version: of such packages any version will do.
    return not minimum or is_enough(installedVersion(name), minimum)


def installedVersion(name: str) -> str:
    """The version of a package by its import name; empty where pip knows of none."""
    import importlib.metadata  # slow, and not needed when Slicer starts

    try:
        return importlib.metadata.version(REQUIREMENTS[name].name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def torchSize(system: str, hasTorchExtension: bool, folder: Optional[Path] = None) -> str:
    """How much there is to download for torch, in words.

    The extension PyTorch of Slicer chooses the build that fits the computer. pip's own choice depends on the system: on
    Linux it brings NVIDIA's libraries along, whether or not there is such a card; elsewhere it brings a build without.
    (The build for CPUs of torch 2.13 has 192 MB on Linux; the one with CUDA 539 MB, and NVIDIA's libraries the rest.)

    Args:
        system: as `platform.system` says it.
        hasTorchExtension: whether Slicer has the extension PyTorch.
        folder: of wheels; what comes from there is not downloaded.
    """
    if folder:
        return _("from the folder")
    if hasTorchExtension:
        return _("about 200 MB, or 2 to 3 GB with an NVIDIA graphics card")
    return _("2 to 3 GB") if system == "Linux" else _("about 200 MB")


def questionText(names: Sequence[str], system: str = "", hasTorchExtension: Optional[bool] = None) -> str:
    """The one question: what is installed, how big it is, where it comes from and how long it takes.

    Args:
        names: of the missing packages.
        system: as `platform.system` says it; this computer's where empty.
        hasTorchExtension: whether Slicer has the extension PyTorch; looked up where None.
    """
    system = system or platform.system()
    hasTorchExtension = isTorchExtensionInstalled() if hasTorchExtension is None else hasTorchExtension
    wanted = [f"• {_wanted(name)}: {_size(name, system, hasTorchExtension)}" for name in names]
    source = (
        _("They come from pypi.org or pytorch.org, into Slicer's Python. This is done once and takes some minutes.")
        if "torch" in names
        else _("They come from pypi.org, into Slicer's Python. This is done once and takes less than a minute.")
    )
    offline = _("Without internet, choose a folder with their wheels (files *.whl) instead.")
    smaller = _(
        "A smaller torch will do without an NVIDIA graphics card: Slicer's extension PyTorch chooses it. To have it, "
        "cancel, install that extension, and try again."
    )
    lines = [
        _("CardiacSeg needs Python packages that this Slicer does not have yet:"),
        "",
        *wanted,
        *_reasons(names),
        "",
        source,
        offline,
    ]
    if "torch" in names and system == "Linux" and not hasTorchExtension:
        lines.append(smaller)
    return "\n".join(lines)


def _wanted(name: str) -> str:
    package, version = REQUIREMENTS[name], installedVersion(name)
    if not package.minimum:
        return package.name
    text = _("{name} {minimum} or later").format(name=package.name, minimum=package.minimum)
    isOld = version and not is_enough(version, package.minimum)
    return text + (_(" ({version} is too old)").format(version=version) if isOld else "")


def _reasons(names: Sequence[str]) -> list[str]:
    """Why a version that is there will not do, where that is for the person's safety."""
    return [
        _("{name} is upgraded because {reason}.").format(name=REQUIREMENTS[name].name, reason=REASONS[name])
        for name in names
        if name in REASONS and installedVersion(name)
    ]


def _size(name: str, system: str, hasTorchExtension: bool) -> str:
    if name == "torch":
        return torchSize(system, hasTorchExtension)
    megabytes = REQUIREMENTS[name].megabytes
    return _("about {size:.0f} MB").format(size=megabytes) if megabytes >= 1 else _("less than 1 MB")


def pipArguments(names: Sequence[str], folder: Optional[Path] = None) -> list[str]:
    """What follows ``pip install`` to get packages, from the internet or from a folder of wheels."""
    source = ["--no-index", "--find-links", str(folder)] if folder else []
    return [*source, *(REQUIREMENTS[name].requirement for name in names)]


_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:,]+ ?", re.MULTILINE)
_MOST_LINES = 12


def lastLines(log: str) -> list[str]:
    """The last that pip said to people, from the file that it writes by ``PIP_LOG``: errors and warnings if any.

    That file holds times and, behind an error, pip's own traceback; both are left out.
    """
    said = [line for line in _TIME.sub("", log).partition("Exception information:")[0].splitlines() if line.strip()]
    serious = [line for line in said if line.lstrip().startswith(("ERROR:", "WARNING:"))]
    return list(dict.fromkeys(serious or said))[-_MOST_LINES:]


#: What a line of pip means for a person; the first that fits counts. A folder's own advice stands in `whatToTry`.
_ADVICE = (
    (r"No space left|not enough space", _("make room on the disk and try again")),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCert",
        _("the network looks into connections: set PIP_CERT to its certificate, or choose a folder of wheels"),
    ),
    (
        r"NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|getaddrinfo|Name or service|"
        r"Connection (broken|refused|reset)|Max retries|timed out",
        _("check the connection and the proxy (HTTPS_PROXY), or choose a folder of wheels"),
    ),
    (
        r"Permission denied|Access is denied|WinError 5\b|Read-only file system|externally-managed",
        _("close other windows of Slicer, make sure that you may write to its folder, restart Slicer and try again"),
    ),
    (
        r"ResolutionImpossible|conflicting dependencies",
        _("another extension holds a package back: update your extensions, or use a fresh Slicer"),
    ),
    (
        r"No matching distribution|Could not find a version",
        _("there is no build for this system and Python {python}: install a newer Slicer"),
    ),
)


def whatToTry(lines: Sequence[str], folder: Optional[Path] = None) -> str:
    """What a person can do about pip's last lines."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = "\n".join(lines)
    if folder and re.search(r"No matching distribution|Could not find a version", text):
        return _(
            "put what is missing in {folder}, by 'pip download' on a computer with this system and Python {python}"
        ).format(folder=folder, python=python)
    for pattern, advice in _ADVICE:
        if re.search(pattern, text):
            return advice.format(python=python)
    return _("try again, or choose a folder of wheels")


def isTorchExtensionInstalled() -> bool:
    return importlib.util.find_spec("PyTorchUtils") is not None
