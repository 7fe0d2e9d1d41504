"""A network that torch runs: on graphics cards, and on a CPU without OpenVINO."""

from __future__ import annotations

import numpy as np
import torch

from CardiacSegLib.inference.devices import Device

#: A CPU is fastest with what stays near its cache: 60 slices of 256 x 256 in one pass took 1.6 times as long as 8 at a
#: time.
_PIXELS_PER_PASS = {"cpu": 8 * 256 * 256}
_PIXELS_PER_PASS_ELSEWHERE = 64 * 256 * 256


class TorchRuntime:
    """See :class:`CardiacSegLib.inference.runtime.Runtime`.

    Args:
        network: gives logits (N, C, H, W).
        device: where it runs, and how precisely.
        note: why it is not OpenVINO that runs it, for people.
    """

    def __init__(self, network: torch.nn.Module, device: Device, note: str = "") -> None:
        self._network = network.eval().to(device.torch, memory_format=torch.channels_last)
        self._device = device
        self.machine = device.machine
        self.described = f"torch on {device.described}" + (f" ({note})" if note else "")
        self.pixels_per_pass = _PIXELS_PER_PASS.get(device.torch.type, _PIXELS_PER_PASS_ELSEWHERE)

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """See :meth:`CardiacSegLib.inference.runtime.Runtime.probabilities`."""
        with torch.inference_mode():
            images = torch.from_numpy(batch).to(self._device.torch).contiguous(memory_format=torch.channels_last)
            with self._device.autocast():
                logits = self._network(images)
            return logits.float().softmax(1).cpu().contiguous().numpy()
