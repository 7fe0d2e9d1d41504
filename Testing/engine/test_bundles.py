"""Models on disk: found by name, checked before use, never run as code, and run by MONAI too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import CardiacSegLib
from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import (
    CARD,
    INFERENCE,
    METADATA,
    WEIGHTS,
    Bundle,
    find_bundle,
    list_models,
    sha256,
    write_bundle,
)
from CardiacSegLib.cli import main
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import read_image
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.networks import build_network

LIBRARY = Path(CardiacSegLib.__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(LIBRARY)}


@pytest.fixture
def two_folders(a_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders of models, the first before the second."""
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("CARDIACSEG_MODELS", os.pathsep.join(map(str, folders)))
    return folders


def copied(bundle: Bundle, folder: Path) -> Path:
    shutil.copytree(bundle.folder, folder)
    return folder


def rename(folder: Path, description: str) -> None:
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    metadata["description"] = description
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")


class TestABundleThatWasWritten:
    def test_is_read_as_it_was(self, a_bundle):
        found = Bundle.read(a_bundle.folder)
        assert found == a_bundle
        assert found.grid == ModelGrid(1.5, 4)
        assert found.convention == CANONICAL
        assert found.name == "by-chance"
        assert found.hash == sha256(found.folder / WEIGHTS)

    def test_gives_the_network_with_its_weights(self, a_bundle):
        images = torch.randn(2, 1, 32, 32)
        ours, again = (a_bundle.load_network().eval() for _ in range(2))
        with torch.inference_mode():
            assert torch.equal(ours(images), again(images))
            fresh = build_network(a_bundle.network).eval()
            assert not torch.allclose(ours(images), fresh(images), atol=1e-3)
        assert all(weights.dtype == torch.float32 for weights in ours.parameters())

    def test_holds_no_path_of_the_machine(self, a_bundle):
        for path in (METADATA, INFERENCE):
            assert str(a_bundle.folder.parent) not in (a_bundle.folder / path).read_text(encoding="utf-8")

    def test_is_no_bundle_until_its_last_file(self, a_bundle, tmp_path, monkeypatch):
        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("CardiacSegLib.bundles.writing._metadata", fail)
        network = a_bundle.load_network()
        with pytest.raises(KeyboardInterrupt):
            write_bundle(tmp_path / "half", "half", network, a_bundle.network, a_bundle.grid, CANONICAL, {})
        with pytest.raises(CardiacSegError, match=r"configs/metadata\.json is missing"):
            Bundle.read(tmp_path / "half")


class TestListingModels:
    def test_finds_those_in_the_folders_of_the_person(self, a_bundle, two_folders):
        copied(a_bundle, two_folders[0] / "zeta")
        copied(a_bundle, two_folders[1] / "alpha")
        names = [bundle.name for bundle in list_models()]
        assert names == sorted(names)
        assert {"alpha", "zeta"} <= set(names)

    def test_prefers_the_first_folder_of_two_with_the_same_name(self, a_bundle, two_folders):
        for folder in two_folders:
            rename(copied(a_bundle, folder / "twin"), folder.name)
        (found,) = [bundle for bundle in list_models() if bundle.name == "twin"]
        assert found.description == "first"
        assert find_bundle("twin") == found

    def test_prefers_the_person_s_own_to_the_shipped_one(self, a_bundle, tmp_path, monkeypatch):
        shipped, own = tmp_path / "Resources", tmp_path / "own"
        rename(copied(a_bundle, shipped / "Models" / "twin"), "shipped")
        monkeypatch.setattr("CardiacSegLib.bundles.finding.resource_folder", lambda: shipped)
        monkeypatch.delenv("CARDIACSEG_MODELS", raising=False)
        assert [bundle.description for bundle in list_models()] == ["shipped"]
        rename(copied(a_bundle, own / "twin"), "own")
        monkeypatch.setenv("CARDIACSEG_MODELS", str(own))
        assert [bundle.description for bundle in list_models()] == ["own"]

    def test_leaves_out_a_damaged_one_and_what_is_none(self, a_bundle, two_folders):
        copied(a_bundle, two_folders[0] / "good")
        (copied(a_bundle, two_folders[0] / "bad") / METADATA).write_text("{}", encoding="utf-8")
        (two_folders[0] / "none").mkdir()
        (two_folders[0] / "a_file").touch()
        names = {bundle.name for bundle in list_models()}
        assert "good" in names
        assert not names & {"bad", "none", "a_file"}

    def test_is_not_stopped_by_a_folder_that_is_gone(self, monkeypatch, tmp_path):
        monkeypatch.setenv("CARDIACSEG_MODELS", str(tmp_path / "gone"))
        list_models()

    def test_and_reading_one_loads_neither_torch_nor_monai(self, a_bundle):
        script = (
            "import sys; from CardiacSegLib.bundles import list_models; "
            "assert 'by-chance' in [bundle.name for bundle in list_models()]; "
            "print(*{'torch', 'monai', 'scipy', 'SimpleITK'} & set(sys.modules))"
        )
        environment = ENVIRONMENT | {"CARDIACSEG_MODELS": str(a_bundle.folder.parent)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip() == ""


class TestFindingAModel:
    def test_takes_a_name_or_a_folder(self, a_bundle, a_models_folder, monkeypatch):
        assert find_bundle("by-chance") == a_bundle
        assert find_bundle(a_bundle.folder) == a_bundle
        monkeypatch.chdir(a_bundle.folder)
        assert find_bundle(".") == a_bundle
        assert find_bundle(Path("..") / "by-chance") == a_bundle

    def test_says_which_names_there_are(self, a_models_folder):
        with pytest.raises(CardiacSegError, match=r"no model is called 'by-chanse' \(there are: .*by-chance"):
            find_bundle("by-chanse")


class TestMonaiItself:
    def test_gives_the_same_labels_by_its_own_runner(self, a_bundle, a_phantom_cine_file, tmp_path):
        theirs, ours = tmp_path / "theirs.nii.gz", tmp_path / "ours.nii.gz"
        arguments = ["--config_file", str(INFERENCE), "--image", str(a_phantom_cine_file), "--output", str(theirs)]
        command = [sys.executable, "-m", "monai.bundle", "run", *arguments]
        run = subprocess.run(command, cwd=a_bundle.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        assert main(["segment", str(a_phantom_cine_file), "-o", str(ours), "--model", str(a_bundle.folder)]) == 0
        found = [read_image(path) for path in (theirs, ours)]
        np.testing.assert_array_equal(found[0].array, found[1].array)
        np.testing.assert_array_equal(found[0].affine, found[1].affine)
        assert len(np.unique(found[0].array)) == 4

    def test_takes_the_configuration_as_a_workflow(self, a_bundle, a_phantom_file, tmp_path, monkeypatch):
        from monai.bundle import ConfigWorkflow

        monkeypatch.chdir(tmp_path)
        workflow = ConfigWorkflow(
            config_file=str(a_bundle.folder / INFERENCE),
            meta_file=str(a_bundle.folder / METADATA),
            logging_file=False,
            workflow_type=None,
            bundle_root=str(a_bundle.folder),
            image=str(a_phantom_file),
            output=str(tmp_path / "labels.nii.gz"),
        )
        workflow.initialize()
        assert workflow.check_properties() == []
        workflow.run()
        assert read_image(tmp_path / "labels.nii.gz").array.shape == read_image(a_phantom_file).array.shape

    def test_finds_the_network_to_be_what_the_metadata_says(self, a_bundle):
        from monai.bundle import verify_net_in_out

        files = {"meta_file": str(a_bundle.folder / METADATA), "config_file": str(a_bundle.folder / INFERENCE)}
        verify_net_in_out("network_def", **files, device="cpu", n=8)

    def test_finds_every_field_that_its_own_metadata_has(self, a_bundle):
        from monai.bundle.utils import DEFAULT_METADATA

        metadata = json.loads((a_bundle.folder / METADATA).read_text(encoding="utf-8"))
        assert set(DEFAULT_METADATA) - {"optional_packages_version"} <= set(metadata)
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        assert channels == {"0": "background", "1": "LV", "2": "MYO", "3": "RV"}

    def test_finds_a_folder_for_the_card(self, a_bundle):
        assert (a_bundle.folder / CARD).parent.is_dir()
