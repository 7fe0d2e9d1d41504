"""The network as one program made for this processor: it takes fewer ways through memory than layer after layer.

torch.compile writes C++ and calls the machine's own compiler. Where there is none, as in most Slicers on Windows,
training goes on layer by layer, a fifth slower or so.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.devices import Device
from CardiacSegLib.training.config import TrainingConfig

#: Making the program takes half a minute: runs shorter than this, in minutes or in steps, do without.
_SHORTEST_MINUTES, _SHORTEST_STEPS = 5.0, 1000


def as_trained(network: torch.nn.Module, config: TrainingConfig, device: Device, steps: int) -> torch.nn.Module:
    """What a training step calls: the network, or a program with the very same weights.

    Args:
        steps: of the whole run where no minutes are given.

    Raises:
        CardiacSegError: where the configuration asks for a program and this machine cannot make one.
    """
    if config.compile == "never":
        return network
    is_long = config.minutes >= _SHORTEST_MINUTES if config.minutes else steps >= _SHORTEST_STEPS
    if config.compile == "auto" and not (is_long and device.torch.type == "cpu"):
        return network
    reason = why_not()
    if not reason:
        return _compiled(network)
    if config.compile == "always":
        raise CardiacSegError(f"compile is 'always', but {reason}; install a C++ compiler, or choose 'auto'")
    return network


@lru_cache(maxsize=1)
def why_not() -> str:
    """Why no program can be made on this machine; "" where one can, which is found out by making a very small one."""
    tiny = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.LeakyReLU())
    try:
        with torch.autocast("cpu", torch.bfloat16):
            _compiled(tiny)(torch.ones(2, 1, 8, 8)).sum().backward()
    except Exception as error:  # it has no common class: what is missing decides who raises
        return f"torch.compile does not work here ({_first_line(error)})"
    return ""


def _compiled(network: torch.nn.Module) -> torch.nn.Module:
    # One after the other, in this process: others that wait for more to compile would stay as long as the run.
    return torch.compile(network, dynamic=False, options={"compile_threads": 1})


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:160]
