"""What runs a model's network: OpenVINO on a processor, torch on a graphics card or where there is no OpenVINO.

Nothing here imports torch or OpenVINO before a network is loaded: importing torch takes longer than segmenting.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from CardiacSegLib.bundles import ONNX, Bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.devices import Device, Machine, check_name
from CardiacSegLib.networks.versions import require, why_too_old

#: Ways on the CPU that can be asked for by name, beside :data:`CardiacSegLib.inference.devices.DEVICES`: "cpu" takes
#: the first that this computer and the model have.
CPU_RUNTIMES = ("cpu:openvino", "cpu:torch")


class Runtime(Protocol):
    """A network that is ready to run.

    Attributes:
        described: by what it runs, in words.
        machine: the same as it is recorded.
        pixels_per_pass: how many pixels go through the network at once, slices of several phases together.
    """

    described: str
    machine: Machine
    pixels_per_pass: int

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (N, C, H, W), of slices, float32 (N, channels, H, W), C-contiguous."""
        ...


def load_runtime(bundle: Bundle, device: str = "auto") -> Runtime:
    """Make a bundle's network ready.

    Args:
        bundle: of the model.
        device: "auto" takes CUDA, then Apple MPS, then OpenVINO on the CPU, then torch on the CPU; "cpu" the last two;
            one of :data:`CPU_RUNTIMES`, or another name that :meth:`Device.choose` knows, takes that.

    Raises:
        CardiacSegError: for an unknown device or one that is not there, or where the network cannot be loaded.
    """
    if device not in CPU_RUNTIMES:
        check_name(device)
    if device == "cpu:openvino":
        return _through_openvino(bundle)
    name, note = _fastest() if device == "auto" else (device, "")
    return _on_cpu(bundle, note) if name == "cpu" else _through_torch(bundle, "cpu" if name == "cpu:torch" else name)


def _on_cpu(bundle: Bundle, note: str = "") -> Runtime:
    try:
        return _through_openvino(bundle, note)
    except CardiacSegError as error:
        if not _is_installed("torch"):
            raise
        return _through_torch(bundle, "cpu", note=str(error).partition(";")[0])


def _through_openvino(bundle: Bundle, note: str = "") -> Runtime:
    content = bundle.onnx_content()
    if not _is_installed("openvino"):
        raise CardiacSegError("OpenVINO is not installed; install it (pip install openvino), or torch and MONAI")
    from CardiacSegLib.inference.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(bundle.folder / ONNX, content=content, note=note)


def _through_torch(bundle: Bundle, device: str, note: str = "") -> Runtime:
    if not _is_installed("torch"):
        raise CardiacSegError(f"device '{device}' needs torch; install torch and MONAI, or use --device cpu")
    require("torch", "monai")
    from CardiacSegLib.inference.torch_runtime import TorchRuntime

    chosen = Device.choose(device)
    return TorchRuntime(bundle.load_network(), chosen, note)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # something that stands in for it
        return True


def _fastest() -> tuple[str, str]:
    """The kind of card that torch can use, or else "cpu", and why it is not a card, where a person can change that.

    Where there plainly is no card, torch is not imported.
    """
    if not (_may_have_graphics_card() and _is_installed("torch")):
        return "cpu", ""
    too_old = why_too_old("torch")
    return ("cpu", f"no graphics card, {too_old}") if too_old else (Device.choose().torch.type, "")


def _may_have_graphics_card() -> bool:
    """Whether this computer may have a card that torch computes on; a wrong yes only costs time."""
    system = platform.system()
    if system == "Darwin":
        return platform.machine() == "arm64"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if system == "Windows":
        return _has_library("nvcuda.dll") or _has_library("amdhip64.dll")
    return any(path.exists() for path in _device_files())


def _device_files() -> Iterator[Path]:
    """What the drivers of NVIDIA, of AMD and of Windows' Linux put under /dev."""
    return (Path("/dev", name) for name in ("nvidiactl", "nvidia0", "kfd", "dxg"))


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
