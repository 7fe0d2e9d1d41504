"""A model with weights by chance, and a beating heart made by code: what tests of the engine work on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import Bundle, write_bundle
from CardiacSegLib.images import Image, write_image
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from CardiacSegLib.training.config import TrainingConfig
from listening import Listener
from phantoms import COARSE, write_acdc_patient


@pytest.fixture(scope="session")
def a_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model whose weights are drawn by chance: labels everywhere, so that any slip of geometry shows."""
    import torch

    from CardiacSegLib.networks import build_network, network_definition

    definition = network_definition("dynunet", 1, 4, (8, 16, 32))
    torch.manual_seed(1)
    network = build_network(definition)
    with torch.no_grad():  # no class is likelier than the others from the start
        network(torch.randn(8, 1, 64, 64))
        mean = network.eval()(torch.randn(8, 1, 64, 64)).mean((0, 2, 3))
        network.output_block.conv.conv.bias -= mean
    folder = tmp_path_factory.mktemp("models") / "by-chance"
    return write_bundle(folder, "by-chance", network, definition, ModelGrid(1.5, 4), CANONICAL, {})


@pytest.fixture(scope="session")
def an_onnx_bundle(a_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model, which needs no torch."""
    from CardiacSegLib.inference.onnx_export import add_onnx

    folder = tmp_path_factory.mktemp("onnx") / "by-chance"
    shutil.copytree(a_bundle.folder, folder)
    return add_onnx(Bundle.read(folder))


@pytest.fixture(scope="session")
def a_segmenter(a_bundle: Bundle) -> Segmenter:
    return Segmenter.load(a_bundle, "cpu")


@pytest.fixture
def a_models_folder(a_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The person's own folder of models, with ``by-chance`` in it."""
    monkeypatch.setenv("CARDIACSEG_MODELS", str(a_bundle.folder.parent))
    return a_bundle.folder.parent


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's own folder of models, which is not there yet."""
    folder = tmp_path / "own"
    monkeypatch.setenv("CARDIACSEG_MODELS", str(folder))
    return folder


@pytest.fixture
def a_sent_model(a_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that somebody sent, in a folder of its name."""
    return shutil.copytree(a_bundle.folder, tmp_path / "sent" / "gift")


@pytest.fixture(scope="session")
def a_phantom() -> Phantom:
    return make_phantom(PhantomOptions(frames=3, slices=5, seed=4, **COARSE))


@pytest.fixture(scope="session")
def a_phantom_image(a_phantom: Phantom) -> Image:
    """End-diastole alone."""
    return Image(a_phantom.image[..., 0], a_phantom.affine)


@pytest.fixture(scope="session")
def a_phantom_file(a_phantom_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom") / "heart.nii.gz"
    write_image(path, a_phantom_image)
    return path


@pytest.fixture(scope="session")
def a_phantom_cine_file(a_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom") / "cine.nii.gz"
    write_image(path, Image(a_phantom.image, a_phantom.affine))
    return path


@pytest.fixture(scope="session")
def an_acdc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patients of two groups in the layout of ACDC."""
    folder = tmp_path_factory.mktemp("acdc")
    for number in range(1, 11):
        write_acdc_patient(folder / f"patient{number:03d}", number, "NOR" if number % 2 else "DCM")
    return folder


@pytest.fixture(scope="session")
def a_small_config(an_acdc_folder: Path) -> TrainingConfig:
    """A network and a grid so small that an epoch takes a tenth of a second."""
    return TrainingConfig(
        dataset=str(an_acdc_folder),
        name="small",
        filters=(8, 16, 32),
        spacing=3.0,
        crop=64,
        window=96,
        learning_rate=1e-2,
        ema_decay=0.9,
        device="cpu",
        epochs=1,
    )


@pytest.fixture(scope="session")
def a_longer_config(a_small_config: TrainingConfig) -> TrainingConfig:
    """Forty-eight steps, validated and saved every fourth."""
    return replace(a_small_config, epochs=12, validations=12, seed=5)


@pytest.fixture
def longer_options(a_longer_config: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same for a command line, whose process then computes with as many threads."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    return [*a_longer_config.command(TrainingConfig()).split(), "--name", "small", "--device", "cpu"]


@pytest.fixture(scope="session")
def an_unbroken_run(a_longer_config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody disturbed; of no test to change."""
    from CardiacSegLib.training.run import train

    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    train(a_longer_config, folder, Listener())
    return folder
