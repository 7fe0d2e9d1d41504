"""One model that labels any volume on the volume's own grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from CardiacSegLib.anatomy import CANONICAL, LV, MYO, RV
from CardiacSegLib.bundles import Bundle, write_bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image
from CardiacSegLib.inference import devices
from CardiacSegLib.inference.devices import Device, Machine
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.runtime import CPU_RUNTIMES, load_runtime
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.torch_runtime import TorchRuntime

FLOAT32 = Device(torch.device("cpu"), torch.float32)


def in_float32(network: torch.nn.Module) -> TorchRuntime:
    return TorchRuntime(network, FLOAT32)


class Brightness(torch.nn.Module):
    """A network whose answer is known: bright is LV, less bright MYO, and dim background, as is what lies outside."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels = torch.tensor([0.0, 3.6, 1.6, 99.0]).view(1, 4, 1, 1)
        return -20 * (images - levels).abs()


@pytest.fixture
def a_segmenter_by_brightness() -> Segmenter:
    return Segmenter(in_float32(Brightness()), ModelGrid(1.5, 8), CANONICAL)


def a_heart(size: int = 48, slices: int = 5) -> np.ndarray:
    """A bright ball in a less bright one, off the center of every axis."""
    rows, columns, layers = np.meshgrid(np.arange(size), np.arange(size), np.arange(slices), indexing="ij")
    center, depth = size * 0.4, slices * 0.4
    radius = np.hypot(np.hypot(rows - center, columns - size * 0.55), 3 * (layers - depth))
    return np.select([radius < 6, radius < 11], [300.0, 150.0], 10.0).astype(np.float32)


def turned_copies(array: np.ndarray, affine: np.ndarray):
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            axes = [axis for axis in range(3) if flips[axis]]
            matrix = affine[:, [*order, 3]].copy()
            for axis in axes:
                matrix[:, 3] += matrix[:, axis] * (array.shape[order[axis]] - 1)
                matrix[:, axis] *= -1
            yield (lambda volume, o=order, a=axes: np.flip(volume.transpose(o), a)), matrix


class TestLabels:
    def test_have_the_shape_of_the_volume_and_every_structure(self, a_segmenter, a_phantom_image):
        labels = a_segmenter.segment(a_phantom_image.array, a_phantom_image.affine)
        assert labels.shape == a_phantom_image.array.shape
        assert labels.dtype == np.uint8
        assert labels.flags.c_contiguous
        assert set(np.unique(labels)) == {0, 1, 2, 3}

    def test_lie_where_the_image_is_bright_to_the_pixel(self, a_segmenter_by_brightness):
        """The same in-plane spacing as the model's: nothing is interpolated and nothing may move."""
        image = a_heart()
        labels = a_segmenter_by_brightness.segment(image, np.diag([1.5, 1.5, 8.0, 1.0]))
        np.testing.assert_array_equal(labels > 0, image > 100)

    @pytest.mark.parametrize("spacing", [0.9, 1.2, 2.0])
    def test_lie_where_the_image_is_bright_on_another_grid(self, a_segmenter_by_brightness, spacing):
        image = a_heart(size=64)
        labels = a_segmenter_by_brightness.segment(image, np.diag([spacing, spacing, 8.0, 1.0]))
        for axis in range(3):
            ours, theirs = (np.average(np.indices(m.shape)[axis], weights=m) for m in (labels > 0, image > 100))
            assert abs(ours - theirs) < 0.2  # a shift would be by half a pixel

    def test_turn_with_the_volume(self, a_segmenter, a_phantom_image):
        """The arrangement of the slices follows from space, so that not even a network by chance sees a difference."""
        expected = a_segmenter.segment(a_phantom_image.array, a_phantom_image.affine)
        for turn, affine in turned_copies(a_phantom_image.array, a_phantom_image.affine):
            labels = a_segmenter.segment(turn(a_phantom_image.array), affine)
            assert np.mean(labels != turn(expected)) < 0.002

    @pytest.mark.parametrize("slices_per_pass", [100, 10, 4])
    @pytest.mark.parametrize(("device", "turns"), [*((device, 1) for device in CPU_RUNTIMES), ("cpu:openvino", 8)])
    def test_of_a_cine_are_those_of_its_phases_one_by_one(
        self, an_onnx_bundle, a_phantom, device, turns, slices_per_pass
    ):
        """To the bit, whether all three phases, two or not even one go through the network at once."""
        runtime = load_runtime(an_onnx_bundle, device)
        runtime.pixels_per_pass = slices_per_pass * 128 * 128
        segmenter = Segmenter(runtime, an_onnx_bundle.grid, an_onnx_bundle.convention, turns)
        labels = segmenter.segment(a_phantom.image, a_phantom.affine)
        assert labels.shape == a_phantom.image.shape
        for phase in range(a_phantom.image.shape[3]):
            alone = segmenter.segment(a_phantom.image[..., phase], a_phantom.affine)
            np.testing.assert_array_equal(labels[..., phase], alone)
        assert (labels[..., 0] != labels[..., 1]).any()

    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.float16, np.float64, ">i2"])
    def test_do_not_depend_on_the_type_of_the_voxels(self, a_segmenter_by_brightness, dtype):
        image = np.rint(a_heart() / 3)
        affine = np.diag([1.5, 1.5, 8.0, 1.0])
        expected = a_segmenter_by_brightness.segment(image, affine)
        np.testing.assert_array_equal(a_segmenter_by_brightness.segment(image.astype(dtype), affine), expected)

    def test_are_found_in_a_mask(self, a_segmenter_by_brightness):
        mask = a_heart() > 100
        labels = a_segmenter_by_brightness.segment(mask, np.diag([1.5, 1.5, 8.0, 1.0]))
        np.testing.assert_array_equal(labels > 0, mask)

    def test_are_the_same_whether_slices_pass_together_or_apart(self, a_bundle, a_phantom_image):
        runtime = in_float32(a_bundle.load_network())
        segmenter = Segmenter(runtime, a_bundle.grid, a_bundle.convention)
        expected = segmenter.segment(a_phantom_image.array, a_phantom_image.affine)
        runtime.pixels_per_pass = 2 * 128 * 128
        apart = segmenter.segment(a_phantom_image.array, a_phantom_image.affine)
        assert np.mean(apart != expected) < 0.001

    def test_leave_the_image_as_it_was(self, a_segmenter, a_phantom_image):
        image = a_phantom_image.array.astype(np.float32)
        image.flags.writeable = False
        copy = image.copy()
        a_segmenter.segment(image, a_phantom_image.affine)
        np.testing.assert_array_equal(image, copy)


class TestNeighbors:
    def test_reach_the_network_in_the_order_of_the_stack_in_space(self):
        """A network that looks at the slice before: its labels lie one slice on, whichever way the array runs."""

        class OfTheSliceBefore(Brightness):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                assert images.shape[1] == 3
                return super().forward(images[:, :1])

        by_neighbor = Segmenter(in_float32(OfTheSliceBefore()), ModelGrid(1.5, 8, neighbors=1), CANONICAL)
        image, affine = a_heart(), np.diag([1.5, 1.5, 8.0, 1.0])
        expected = np.zeros(image.shape, bool)
        expected[..., :-1] = image[..., 1:] > 100  # towards the feet lies the apex, and there the stack ends
        for turn, matrix in turned_copies(image, affine):
            np.testing.assert_array_equal(by_neighbor.segment(turn(image), matrix) > 0, turn(expected))
        still = np.stack([image, image], axis=-1)  # where one phase ends no neighbor comes from the next
        np.testing.assert_array_equal(by_neighbor.segment(still, affine)[..., 1] > 0, expected)


class Recorder:
    """A network that remembers how many slices it saw at a time."""

    described = "by hand"
    machine = Machine("by hand", "cpu")

    def __init__(self, slices_per_pass: int) -> None:
        self.passes: list[int] = []
        self.pixels_per_pass = slices_per_pass * 48 * 48
        self._network = in_float32(Brightness())

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        self.passes.append(len(batch))
        return self._network.probabilities(batch)


class TestPasses:
    def test_take_slices_of_several_phases_together(self):
        recorder = Recorder(slices_per_pass=12)
        cine = np.stack([a_heart()] * 6, axis=-1)
        Segmenter(recorder, ModelGrid(1.5, 8), CANONICAL).segment(cine, np.diag([1.5, 1.5, 8.0, 1.0]))
        assert recorder.passes == [10, 10, 10]

    def test_of_a_large_volume_are_several_of_about_the_same_size(self):
        recorder = Recorder(slices_per_pass=4)
        volume = a_heart(slices=10)
        Segmenter(recorder, ModelGrid(1.5, 8), CANONICAL).segment(volume, np.diag([1.5, 1.5, 8.0, 1.0]))
        assert recorder.passes == [4, 3, 3]


class TestAPrediction:
    def test_has_the_labels_and_what_they_come_from(self, a_segmenter, a_phantom_image):
        raw = a_segmenter.with_options(cleanup=False)
        volume, affine = a_phantom_image.array, a_phantom_image.affine
        labels, probabilities = a_segmenter.predict(volume, affine)
        np.testing.assert_array_equal(labels, a_segmenter.segment(volume, affine))
        assert probabilities.shape == (4, *volume.shape)
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
        np.testing.assert_array_equal(probabilities.argmax(axis=0), raw.segment(volume, affine))
        assert (labels != raw.predict(volume, affine).labels).any(), "clean-up changes labels, not probabilities"

    def test_turns_with_the_volume(self, a_segmenter_by_brightness):
        image, affine = a_heart(), np.diag([1.5, 1.5, 8.0, 1.0])
        expected = a_segmenter_by_brightness.predict(image, affine).probabilities
        for turn, matrix in turned_copies(image, affine):
            found = a_segmenter_by_brightness.predict(turn(image), matrix).probabilities
            np.testing.assert_allclose(found, [turn(each) for each in expected], atol=1e-6)

    def test_is_of_one_phase(self, a_segmenter, a_phantom):
        with pytest.raises(CardiacSegError, match="has 4 dimensions; give a volume"):
            a_segmenter.predict(a_phantom.image, a_phantom.affine)


class TestProgress:
    def test_rises_to_one_with_the_phases(self, a_segmenter, a_phantom):
        seen: list[float] = []
        a_segmenter.segment(a_phantom.image, a_phantom.affine, seen.append)
        assert seen == sorted(seen)
        assert seen[0] == pytest.approx(1 / 3)
        assert seen[-1] == 1.0


class TestASegmenter:
    def test_names_its_structures_in_the_order_of_their_numbers(self, a_segmenter):
        assert list(a_segmenter.structures) == [LV, MYO, RV]

    def test_builds_its_network_once_for_any_number_of_volumes(self, a_bundle, a_phantom, monkeypatch):
        built = []
        original = Bundle.load_network
        monkeypatch.setattr(Bundle, "load_network", lambda bundle: built.append(bundle) or original(bundle))
        loaded = Segmenter.load(a_bundle.folder, "cpu:torch")
        for _ in range(2):
            loaded.segment(a_phantom.image, a_phantom.affine)
        assert len(built) == 1

    def test_gives_numbers_by_the_convention_of_its_model(self, a_bundle, a_phantom_image, tmp_path):
        """The same network under another order of labels draws the same shapes under other names."""
        other = {"RV": 1, "MYO": 2, "LV": 3}
        bundle = write_bundle(
            tmp_path / "other", "o", a_bundle.load_network(), a_bundle.network, a_bundle.grid, other, {}
        )
        ours = Segmenter.load(bundle.folder, "cpu")
        assert ours.convention == other
        assert [structure.name for structure in ours.structures] == ["RV", "MYO", "LV"]

    @pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4, 2, 2), (8,)])
    def test_refuses_what_is_neither_a_volume_nor_a_cine(self, a_segmenter, shape):
        with pytest.raises(CardiacSegError, match=f"has {len(shape)} dimensions; give a volume"):
            a_segmenter.segment(np.zeros(shape), np.eye(4))

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    @pytest.mark.parametrize("spacing", [60.0, 1e9, np.inf, np.nan, 0.0])
    def test_refuses_a_field_of_view_that_no_scanner_has(self, a_segmenter, spacing):
        affine = np.diag([spacing, spacing, 8.0, 1.0])
        image = np.random.default_rng(0).normal(size=(128, 128, 3))
        with pytest.raises(CardiacSegError, match="set the true spacing"):
            a_segmenter.segment(image, affine)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_refuses_voxels_that_are_no_numbers(self, a_segmenter, a_phantom_image, value):
        image = a_phantom_image.array.astype(np.float32)
        image[3, 3, 3] = value
        with pytest.raises(CardiacSegError, match="NaN or infinite"):
            a_segmenter.segment(image, a_phantom_image.affine)


class TestTheDevice:
    @pytest.mark.parametrize(
        ("instructions", "precision"),
        [
            ({"avx512_bf16": True}, torch.bfloat16),
            ({"amx_bf16": True}, torch.bfloat16),
            ({"avx512_f": True, "avx2": True}, torch.float32),
            ({}, torch.float32),
        ],
    )
    def test_uses_bfloat16_only_where_the_processor_has_it(self, monkeypatch, instructions, precision):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
        assert Device.choose("cpu").precision == precision

    def test_is_asked_the_same_of_an_older_torch(self, monkeypatch):
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
        assert Device.choose("cpu").precision == torch.float32
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        assert Device.choose("cpu").precision == torch.bfloat16

    def test_runs_the_network_in_its_precision(self, monkeypatch):
        for precision in (torch.bfloat16, torch.float32):
            with Device(torch.device("cpu"), precision).autocast():
                assert torch.nn.Conv2d(1, 1, 3)(torch.zeros(1, 1, 8, 8)).dtype == precision

    def test_is_the_best_there_is_where_none_is_named(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert Device.choose("auto").torch == torch.device("cpu")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
        assert Device.choose("auto").torch == torch.device("mps")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
        assert Device.choose("auto").torch == torch.device("cuda")
        with pytest.raises(CardiacSegError, match="use cuda:0"):
            Device.choose("cuda:3")

    @pytest.mark.parametrize("name", devices.DEVICES[1:])
    def test_is_one_that_the_command_line_names(self, name):
        try:
            assert Device.choose(name).torch.type == name
        except CardiacSegError as error:
            assert "--device cpu" in str(error)


def test_bfloat16_gives_nearly_the_labels_of_float32(a_bundle, a_phantom_image: Image):
    found = [
        Segmenter(TorchRuntime(a_bundle.load_network(), device), a_bundle.grid, a_bundle.convention)
        for device in (Device(torch.device("cpu"), torch.bfloat16), FLOAT32)
    ]
    labels = [one.segment(a_phantom_image.array, a_phantom_image.affine) for one in found]
    assert np.mean(labels[0] != labels[1]) < 0.05


@pytest.mark.parametrize(("turns", "flipped"), [(4, False), (8, False), (8, True)])
def test_the_mean_over_all_turns_does_not_depend_on_how_the_image_is_turned(a_bundle: Bundle, turns, flipped) -> None:
    parts = (in_float32(a_bundle.load_network()), a_bundle.grid, a_bundle.convention)
    all_turns, single = Segmenter(*parts, turns=turns), Segmenter(*parts)
    slices = np.random.default_rng(5).normal(size=(3, 32, 24)).astype(np.float32)
    step = -1 if flipped else 1
    turned = np.ascontiguousarray(np.rot90(slices, axes=(1, 2))[:, :, ::step])

    def back(probabilities: np.ndarray) -> np.ndarray:
        return np.rot90(probabilities[..., ::step], -1, axes=(2, 3))

    np.testing.assert_allclose(back(all_turns.probabilities(turned)), all_turns.probabilities(slices), atol=1e-5)
    assert np.abs(back(single.probabilities(turned)) - single.probabilities(slices)).max() > 1e-3


def test_two_turns_are_the_image_and_a_quarter_turn_of_it(a_bundle: Bundle) -> None:
    parts = (in_float32(a_bundle.load_network()), a_bundle.grid, a_bundle.convention)
    both, single = Segmenter(*parts, turns=2), Segmenter(*parts)
    slices = np.random.default_rng(5).normal(size=(3, 32, 24)).astype(np.float32)
    turned = single.probabilities(np.ascontiguousarray(np.rot90(slices, axes=(1, 2))))
    expected = (single.probabilities(slices) + np.rot90(turned, -1, axes=(2, 3))) / 2
    np.testing.assert_allclose(both.probabilities(slices), expected, atol=1e-5)


def test_other_numbers_of_turns_are_refused(a_bundle: Bundle) -> None:
    with pytest.raises(CardiacSegError, match="turns is 3; choose one of 1, 2, 4, 8"):
        Segmenter(in_float32(a_bundle.load_network()), a_bundle.grid, a_bundle.convention, turns=3)
