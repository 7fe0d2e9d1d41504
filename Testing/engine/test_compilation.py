"""The network as one program: when a run has one, and what happens where none can be made."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from CardiacSegLib.inference.devices import Device
from CardiacSegLib.training import compilation
from CardiacSegLib.training.compilation import as_trained, why_not
from CardiacSegLib.training.config import TrainingConfig
from tiny_training import tiny_network

LONG, SHORT = 100_000, 10


def is_program(network: torch.nn.Module) -> bool:
    return hasattr(network, "_orig_mod")


@pytest.fixture
def a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if one were there, which costs nothing as long as the program is not called."""
    monkeypatch.setattr(compilation, "why_not", lambda: "")


@pytest.mark.parametrize(
    ("changes", "steps", "program"),
    [
        ({}, LONG, True),
        ({}, SHORT, False),
        ({"minutes": 60.0}, SHORT, True),
        ({"minutes": 1.0}, LONG, False),
        ({"compile": "never"}, LONG, False),
        ({"compile": "always"}, SHORT, True),
    ],
)
def test_a_run_has_one_where_it_is_long_enough_or_asked_for(changes, steps, program, a_compiler):
    network = as_trained(tiny_network(), replace(TrainingConfig(), **changes), Device.choose("cpu"), steps)
    assert is_program(network) is program


@pytest.mark.long
def test_without_a_compiler_a_run_goes_layer_by_layer_and_says_why_where_a_program_was_asked_for():
    script = (
        "import torch\n"
        "from CardiacSegLib.inference.devices import Device\n"
        "from CardiacSegLib.training.compilation import as_trained\n"
        "from CardiacSegLib.training.config import TrainingConfig\n"
        "network = torch.nn.Conv2d(1, 1, 1)\n"
        "assert as_trained(network, TrainingConfig(), Device.choose('cpu'), 100_000) is network\n"
        "as_trained(network, TrainingConfig(compile='always'), Device.choose('cpu'), 1)\n"
    )
    environment = {**os.environ, "CXX": "/nowhere/c++"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    last = run.stderr.strip().splitlines()[-1]
    assert "CardiacSegError: compile is 'always', but torch.compile does not work here" in last
    assert "install a C++ compiler, or choose 'auto'" in last


@pytest.mark.long
def test_a_program_gives_what_the_network_gives_and_shares_its_weights():
    assert why_not() == ""
    network = tiny_network()
    program = as_trained(network, replace(TrainingConfig(), compile="always"), Device.choose("cpu"), SHORT)
    images = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(program(images), network(images), rtol=1e-4, atol=1e-5)
    program(images).sum().backward()
    assert all(weights.grad is not None for weights in network.parameters())
