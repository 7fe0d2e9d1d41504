"""Training in several processes through ``torchrun``, here two on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import team_training


@pytest.mark.long
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += [team_training.__file__, "2", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(team_training.__file__).parent)}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert _difference(first, second) == 0
    assert _difference(first, _in_this_process(4)) < 1e-5
    assert _difference(first, _in_this_process(2)) > 1e-3  # what half of each batch teaches is something else


def _in_this_process(batch_size: int) -> dict[str, torch.Tensor]:
    return team_training.trained(batch_size)


def _difference(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> float:
    assert weights.keys() == others.keys()
    return max(float((weights[name].double() - others[name].double()).abs().max()) for name in weights)
