"""What a person sees who manages models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from CardiacSegLib.bundles import find_bundle, list_models


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's own folder of models, empty."""
    monkeypatch.setenv("CARDIACSEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def models(own_models: Path, panel):
    """The section, unfolded."""
    panel.models.ui.modelsCollapsibleButton.collapsed = False
    panel.models.listModels()
    return panel.models


@pytest.fixture
def a_copy(tmp_path: Path) -> Path:
    """A bundle that came from somebody else."""
    return Path(shutil.copytree(find_bundle("short-axis-cine").folder, tmp_path / "from-elsewhere"))


def names(section) -> list[str]:
    table = section.ui.modelsTable
    return [table.item(row, 0).text() for row in range(table.rowCount)]


def test_the_shipped_models_are_listed_with_their_dice_and_cannot_be_deleted(models):
    assert names(models) == ["echo-2ch", "short-axis-cine"]
    assert models.ui.modelsTable.item(1, 2).text().startswith("0.9")
    assert not models.ui.deleteButton.enabled


def test_a_bundle_folder_is_imported_exported_and_deleted(models, panel, a_copy, slicer_host, tmp_path, click):
    slicer_host.chosen_path = str(a_copy)
    click(models.ui.importFolderButton)
    assert "from-elsewhere" in names(models)
    assert panel.segment.ui.modelComboBox.findText("from-elsewhere") >= 0

    slicer_host.chosen_path = str(tmp_path / "out.zip")
    click(models.ui.exportButton)
    assert (tmp_path / "out.zip").stat().st_size > 1_000_000

    slicer_host.confirm = True
    click(models.ui.deleteButton)
    assert "from-elsewhere" not in names(models)
    assert panel.segment.ui.modelComboBox.findText("from-elsewhere") < 0
    assert a_copy.is_dir()

    slicer_host.chosen_path = str(tmp_path / "out.zip")
    click(models.ui.importZipButton)
    assert "from-elsewhere" in names(models)


def test_a_folder_that_is_no_bundle_is_refused(models, slicer_host, tmp_path, click):
    (tmp_path / "holiday").mkdir()
    slicer_host.chosen_path = str(tmp_path / "holiday")
    click(models.ui.importFolderButton)
    assert "holiday" in models.ui.modelsStatusLabel.text
    assert len(list_models()) == 2


@pytest.mark.parametrize("trusted", [False, True], ids=["refused", "trusted"])
def test_a_bundle_that_runs_code_is_imported_only_if_the_person_trusts_it(models, a_copy, slicer_host, click, trusted):
    config = a_copy / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["initialize"] = ["$__import__('os').system('true')"]
    config.write_text(json.dumps(content))
    slicer_host.chosen_path = str(a_copy)
    slicer_host.confirm = trusted
    click(models.ui.importFolderButton)
    assert "os" in slicer_host.texts("question")[-1]
    assert ("from-elsewhere" in names(models)) is trusted


def test_a_dialog_that_is_closed_changes_nothing(models, slicer_host, click):
    slicer_host.chosen_path = ""
    click(models.ui.importFolderButton)
    assert names(models) == ["echo-2ch", "short-axis-cine"]
