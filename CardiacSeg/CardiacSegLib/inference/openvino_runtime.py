"""A network that OpenVINO runs on the CPU, from ONNX and without torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.devices import Machine
from CardiacSegLib.inference.onnx_check import check_onnx

_PIXELS_PER_PASS = 16 * 256 * 256


class OpenVinoRuntime:
    """See :class:`CardiacSegLib.inference.runtime.Runtime`.

    It computes in bfloat16 where the CPU multiplies that itself, in float32 elsewhere. Sizes are left open: compiling
    for each that occurs made no pass faster, and the first many times slower.

    Args:
        path: of a network as ONNX that gives probabilities (N, C, H, W).
        precision: "bf16" or "f32"; the faster that the CPU has where empty.
        content: of the file, where it has been read and checked already.
        note: what else people should know about how it runs.

    Raises:
        CardiacSegError: where OpenVINO cannot be loaded, read the file or run what it holds, or where that is no ONNX
            or leads to other files.
    """

    pixels_per_pass = _PIXELS_PER_PASS

    def __init__(self, path: Path, precision: str = "", *, content: bytes = b"", note: str = "") -> None:
        openvino = _import_openvino()
        try:
            content = content or path.read_bytes()
            check_onnx(content)
            core = openvino.Core()
            # bytes, because a path that is not ASCII cannot be opened on every system
            model = core.read_model(content)
            compiled = core.compile_model(model, "CPU", _settings(core, precision))
            self._request = compiled.create_infer_request()
        except (MemoryError, OSError, RuntimeError, ValueError) as error:
            raise CardiacSegError(
                f"{path}: OpenVINO cannot run it ({_last_line(error)}); copy the model again, or use torch"
            ) from error
        self._path = path
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        name = {"bf16": "bfloat16", "f32": "float32"}
        kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.machine = Machine("OpenVINO", "cpu", name.get(kind, kind), threads)
        self.described = f"OpenVINO on {self.machine.described}" + (f" ({note})" if note else "")

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """See :meth:`CardiacSegLib.inference.runtime.Runtime.probabilities`.

        Raises:
            CardiacSegError: where the network cannot take images of this size.
        """
        try:
            found = self._request.infer([batch], share_inputs=True)
        except RuntimeError as error:
            raise CardiacSegError(
                f"{self._path}: OpenVINO failed ({_last_line(error)}); use --device cpu:torch"
            ) from error
        answer = found[0] if len(found) == 1 else np.empty(0)
        if answer.ndim != 4 or (len(answer), *answer.shape[2:]) != (len(batch), *batch.shape[2:]):
            raise CardiacSegError(
                f"{self._path}: gives no probabilities of slices (shape {answer.shape}); copy the model again"
            )
        return answer


def _settings(core: Any, precision: str) -> dict[str, Any]:
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision or ("bf16" if has_bfloat16 else "f32"),
        # Threads that are tied to processors wait for whatever else runs there, while others are idle.
        "ENABLE_CPU_PINNING": False,
    }
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads):  # as for torch
        settings["INFERENCE_NUM_THREADS"] = int(threads)
    return settings


def _import_openvino() -> Any:
    try:
        with _no_telemetry():
            import openvino
    except ImportError as error:
        raise CardiacSegError(
            f"OpenVINO cannot be loaded ({_last_line(error)}); install it again (pip install openvino)"
        ) from error
    return openvino


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Importing OpenVINO would tell its makers so over the internet; without this package it cannot."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # importing it is an ImportError, which OpenVINO expects
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


def _last_line(error: Exception) -> str:
    """What OpenVINO says last is what went wrong; before it stands where in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__
