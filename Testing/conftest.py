"""Where the real cases are, for every test that wants them, and what no test does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _without_onnx() -> Iterator[None]:
    """Writing a network as ONNX takes seconds; the tests of that alone do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDIACSEG_ONNX", "0")
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real cases, named by CARDIACSEG_DATA; skips where there is none."""
    folder = Path(os.environ.get("CARDIACSEG_DATA", _BESIDE_THE_REPOSITORY))
    if not folder.is_dir():
        pytest.skip("no real cases on this machine: set CARDIACSEG_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def acdc_training(real_data: Path) -> Path:
    """The ACDC training patients."""
    folder = real_data / "acdc" / "training"
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} of ACDC among the real cases")
    return folder
