"""The tests for inside the application, on the stand-in: what they say does not wait for a Slicer to be seen wrong."""

from __future__ import annotations

import importlib.util
import unittest
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "slicer" / "CardiacSegInSlicerTest.py"
#: These need what only the application does: load a module anew, save a scene through its readers and writers, follow
#: a browser by the module Sequences.
ONLY_THERE = {
    "test_theSceneCanBeClosedAndTheModuleReloaded",
    "test_choicesAreSavedWithTheScene",
    "test_theLabelsOfACineFollowItsBrowser",
}


def names_in(path: Path) -> list[str]:
    """The names of the tests in a script, which cannot be imported before there is a scene."""
    words = path.read_text(encoding="utf-8").split()
    return [after.partition("(")[0] for word, after in zip(words, words[1:]) if word == "def" and "test_" in after]


@pytest.fixture
def script(panel, module: ModuleType) -> ModuleType:
    spec = importlib.util.spec_from_file_location("CardiacSegInSlicerTest", SCRIPT)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def failures_of(test: unittest.TestCase) -> list[str]:
    """What went wrong, or was skipped, where a test is run."""
    result = unittest.TestResult()
    test.run(result)
    return [text for _, text in (*result.errors, *result.failures, *result.skipped)]


@pytest.mark.parametrize("name", sorted(set(names_in(SCRIPT)) - ONLY_THERE))
def test_in_the_application(name: str, script: ModuleType):
    assert failures_of(script.CardiacSegInSlicerTest(name)) == []


def test_the_self_test_of_the_module(module: ModuleType):
    assert failures_of(module.CardiacSegTest("test_phantomIsSegmented")) == []
