"""What runs a network: OpenVINO without torch on a CPU, torch elsewhere, the same labels, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib import bundles
from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import METADATA, ONNX, Bundle, sha256, write_bundle
from CardiacSegLib.cli import main
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, read_image
from CardiacSegLib.inference import onnx_export, runtime
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.client import WorkerClient

LIBRARY = Path(bundles.__file__).resolve().parents[2]
#: As in a Slicer that has only what labeling on a processor asks for.
WITHOUT_TORCH = "import sys; sys.modules.update(dict.fromkeys(['torch', 'monai', 'onnx', 'onnxscript'])); "


@pytest.fixture
def a_bundle_without_onnx(an_onnx_bundle: Bundle, tmp_path: Path) -> Bundle:
    """As an older CardiacSeg wrote it."""
    folder = Path(shutil.copytree(an_onnx_bundle.folder, tmp_path / "older"))
    (folder / ONNX).unlink()
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    del metadata["cardiacseg"]["onnx_sha256"]
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    return Bundle.read(folder)


def a_process(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class TestTheNetworkAsOnnx:
    def test_is_in_the_bundle_with_its_hash(self, an_onnx_bundle):
        assert an_onnx_bundle.onnx_hash == sha256(an_onnx_bundle.onnx_file())

    def test_is_no_larger_than_the_weights(self, an_onnx_bundle):
        weights = (an_onnx_bundle.folder / bundles.WEIGHTS).stat().st_size
        assert an_onnx_bundle.onnx_file().stat().st_size < weights + 50_000

    def test_holds_no_path_of_the_machine(self, an_onnx_bundle):
        content = an_onnx_bundle.onnx_file().read_bytes()
        assert str(LIBRARY).encode() not in content
        assert b"site-packages" not in content

    @pytest.mark.parametrize("shape", [(1, 1, 32, 32), (5, 1, 64, 16), (2, 1, 20, 44)])
    def test_gives_the_probabilities_of_torch_for_any_number_of_slices_of_any_size(self, an_onnx_bundle, shape):
        images = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
        ours, theirs = (
            runtime.load_runtime(an_onnx_bundle, name).probabilities(images) for name in runtime.CPU_RUNTIMES
        )
        assert ours.shape == theirs.shape == (shape[0], 4, *shape[2:])
        np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(ours, theirs, atol=0.1)
        assert np.abs(ours - theirs).mean() < 0.01

    def test_is_written_by_a_command(self, a_bundle_without_onnx, capsys):
        assert main(["models", "--onnx", str(a_bundle_without_onnx.folder)]) == 0
        assert str(a_bundle_without_onnx.folder / ONNX) in capsys.readouterr().out
        assert Bundle.read(a_bundle_without_onnx.folder).onnx_file().is_file()

    def test_is_left_out_where_it_computes_something_else(self, a_bundle_without_onnx, monkeypatch):
        monkeypatch.setattr(onnx_export, "_difference", lambda *_: 0.3)
        with pytest.raises(CardiacSegError, match=r"as ONNX its probabilities differ by 0\.3; it stays without"):
            onnx_export.add_onnx(a_bundle_without_onnx)
        assert not list((a_bundle_without_onnx.folder / "models").glob("*onnx*"))
        assert Bundle.read(a_bundle_without_onnx.folder) == a_bundle_without_onnx

    def test_is_left_out_of_a_new_bundle_with_a_word_where_it_cannot_be_written(self, a_bundle, tmp_path, monkeypatch):
        monkeypatch.delenv("CARDIACSEG_ONNX", raising=False)
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        told: list[str] = []
        parts = ("m", a_bundle.load_network(), a_bundle.network, a_bundle.grid, CANONICAL, {})
        bundle = write_bundle(tmp_path / "m", *parts, tell=told.append)
        assert bundle.onnx_hash == ""
        assert "onnxscript is not installed; pip install onnx onnxscript" in told[0]


class TestWithoutTorch:
    def test_a_volume_is_labeled_by_the_command_line(self, an_onnx_bundle, a_phantom_file, tmp_path):
        command = ["segment", a_phantom_file, "--model", an_onnx_bundle.folder, "-o", tmp_path / "labels.nii.gz"]
        run = a_process(WITHOUT_TORCH + "from CardiacSegLib.cli import main; sys.exit(main(sys.argv[1:]))", *command)
        assert run.returncode == 0, run.stderr
        assert set(np.unique(read_image(tmp_path / "labels.nii.gz").array)) == {0, 1, 2, 3}

    def test_the_worker_labels_too_and_says_by_what(self, an_onnx_bundle, a_phantom_image):
        script = WITHOUT_TORCH + "from CardiacSegLib.jobs.worker import main; main()"
        with WorkerClient(str(an_onnx_bundle.folder), "auto", [sys.executable, "-c", script]) as client:
            folder = client.submit(a_phantom_image.array, a_phantom_image.affine)
            labels = client.wait(120)
            result = json.loads((folder / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        assert result["how"].startswith("OpenVINO on ")

    def test_torch_is_not_even_imported_where_it_could_be(self, an_onnx_bundle, a_phantom_file, monkeypatch):
        script = """
            import sys
            from CardiacSegLib.images import read_image
            from CardiacSegLib.inference.segmenter import Segmenter
            image = read_image(sys.argv[1])
            Segmenter.load(sys.argv[2], "cpu").segment(image.array, image.affine)
            print(*{"torch", "monai", "onnx", "openvino_telemetry", "requests", "urllib3"} & set(sys.modules))
        """
        run = a_process(script, a_phantom_file, an_onnx_bundle.folder)
        assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr

    def test_a_model_without_onnx_says_what_to_do(self, a_bundle_without_onnx, a_phantom_file, tmp_path):
        command = ["segment", a_phantom_file, "--model", a_bundle_without_onnx.folder, "-o", tmp_path / "l.nii.gz"]
        run = a_process(WITHOUT_TORCH + "from CardiacSegLib.cli import main; sys.exit(main(sys.argv[1:]))", *command)
        assert run.returncode != 0
        assert "holds no ONNX; 'cardiacseg models --onnx older' writes it, or install torch" in run.stderr
        assert "Traceback" not in run.stderr


class TestWhatIsChosen:
    @pytest.fixture(autouse=True)
    def no_graphics_card(self, monkeypatch):
        monkeypatch.setattr(runtime, "_may_have_graphics_card", lambda: False)

    @pytest.mark.parametrize("device", ["auto", "cpu", "cpu:openvino"])
    def test_is_openvino_on_a_processor(self, an_onnx_bundle, device):
        assert Segmenter.load(an_onnx_bundle, device).how.startswith("OpenVINO on ")

    def test_is_torch_where_it_is_asked_for(self, an_onnx_bundle):
        how = Segmenter.load(an_onnx_bundle, "cpu:torch").how
        assert how.startswith("torch on ")
        assert how.endswith(", a single pass")

    def test_is_torch_for_an_older_model_and_the_reason_is_said(self, a_bundle_without_onnx):
        how = Segmenter.load(a_bundle_without_onnx).how
        assert how.startswith("torch on ")
        assert "(model older holds no ONNX)" in how

    def test_is_torch_where_openvino_is_missing(self, an_onnx_bundle, monkeypatch):
        monkeypatch.setattr(runtime, "_is_installed", lambda package: package != "openvino")
        assert "(OpenVINO is not installed)" in Segmenter.load(an_onnx_bundle).how

    def test_is_torch_where_the_onnx_is_damaged(self, an_onnx_bundle, tmp_path):
        folder = Path(shutil.copytree(an_onnx_bundle.folder, tmp_path / "damaged"))
        (folder / ONNX).write_bytes(b"nothing")
        assert "SHA-256 is not the one in" in Segmenter.load(folder).how
        with pytest.raises(CardiacSegError, match=r"model\.onnx: SHA-256 is not the one in .*; .* copy the model"):
            Segmenter.load(folder, "cpu:openvino")

    def test_is_torch_where_openvino_cannot_read_it(self, an_onnx_bundle, tmp_path):
        folder = Path(shutil.copytree(an_onnx_bundle.folder, tmp_path / "odd"))
        (folder / ONNX).write_bytes(b"nothing")
        bundle = bundles.note_onnx(Bundle.read(folder))
        assert "OpenVINO cannot run it" in Segmenter.load(bundle).how

    @pytest.mark.parametrize("device", ["gpu", "cpu:tensorflow", "cuda:x", "openvino"])
    def test_is_refused_where_nobody_knows_it(self, an_onnx_bundle, device):
        with pytest.raises(CardiacSegError, match=f"device '{device}' is not known; choose one of auto"):
            Segmenter.load(an_onnx_bundle, device)

    def test_is_a_graphics_card_only_where_torch_sees_one(self, an_onnx_bundle, monkeypatch):
        import torch

        monkeypatch.setattr(runtime, "_may_have_graphics_card", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert Segmenter.load(an_onnx_bundle).how.startswith("OpenVINO on ")


class TestBothRuntimes:
    @pytest.mark.parametrize("turns", [1, 8])
    def test_draw_the_same(self, an_onnx_bundle, a_phantom_image: Image, turns):
        """Weights by chance are unsure everywhere, so that low precision shows."""
        labels = [
            Segmenter.load(an_onnx_bundle, name, turns).segment(a_phantom_image.array, a_phantom_image.affine)
            for name in runtime.CPU_RUNTIMES
        ]
        assert np.mean(labels[0] != labels[1]) < 0.02

    def test_give_the_same_bits_each_time(self, an_onnx_bundle, a_phantom_image: Image):
        first, second = (Segmenter.load(an_onnx_bundle, "cpu:openvino") for _ in range(2))
        volume = (a_phantom_image.array, a_phantom_image.affine)
        expected = first.predict(*volume).probabilities
        np.testing.assert_array_equal(first.predict(*volume).probabilities, expected)
        np.testing.assert_array_equal(second.predict(*volume).probabilities, expected)
