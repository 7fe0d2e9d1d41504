"""How sure a segmentation is: a volume, the Dice to be expected, slices to look at, and the command that writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.cli import main
from CardiacSegLib.images import Image, read_image, write_image
from CardiacSegLib.inference.doubt import Doubt, calibrate, doubt_of, read_calibration, segment_with_doubt
from CardiacSegLib.jobs.doubts import DOUBT, segment_with_doubt_into

SHAPE, AFFINE = (32, 32, 6), np.diag([1.5, 1.5, 8.0, 1.0])


def a_heart(radii: tuple[float, ...] = (9, 9, 8, 7, 6, 4), base_first: bool = True) -> np.ndarray:
    """Labels (I, J, K): a pool in a wall, smaller towards the apex, with a right ventricle beside it."""
    rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    slices = []
    for radius in radii:
        distance = np.hypot(rows - 16, columns - 18)
        image = np.select([distance < 0.6 * radius, distance < radius], [1, 2], 0)
        image[(np.hypot(rows - 16, columns - 6) < 0.4 * radius) & (image == 0)] = 3
        slices.append(image)
    labels = np.stack(slices, axis=-1).astype(np.uint8)
    return labels if base_first else labels[..., ::-1]


def probabilities_of(labels: np.ndarray, sure: float = 0.98) -> np.ndarray:
    """Probabilities (C, I, J, K) of a network that is this sure of its labels everywhere."""
    found = np.full((4, *labels.shape), (1 - sure) / 3, np.float32)
    np.put_along_axis(found, labels[None].astype(np.intp), sure, axis=0)
    return found


def doubt_with(change, labels: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> Doubt:
    """The doubt of a heart of which the network is sure, but for a change to its probabilities."""
    labels = a_heart() if labels is None else labels
    probabilities = probabilities_of(labels)
    change(probabilities)
    return doubt_of(labels, probabilities, affine, CANONICAL)


class TestTheVolume:
    def test_is_0_where_the_network_is_sure_and_1_where_all_classes_are_alike_to_it(self):
        labels = a_heart()
        probabilities = probabilities_of(labels, 1.0)
        probabilities[:, 3, 4, 5] = 0.25
        volume = doubt_of(labels, probabilities, AFFINE, CANONICAL).volume
        assert volume.shape == SHAPE
        assert volume.dtype == np.float32
        assert volume[3, 4, 5] == pytest.approx(1)
        volume[3, 4, 5] = 0
        assert not volume.any()


class TestTheExpectedDice:
    def test_is_high_where_the_network_is_sure_and_lower_for_the_structure_that_it_doubts(self):
        labels = a_heart()

        def doubt_rv(probabilities):
            probabilities[3][labels == 3], probabilities[0][labels == 3] = 0.5, 0.49

        sure, doubtful = doubt_with(lambda probabilities: None), doubt_with(doubt_rv)
        assert min(sure.dice.values()) > 0.8
        assert doubtful.dice["RV"] < sure.dice["RV"] - 0.15
        assert doubtful.dice["LV"] == sure.dice["LV"]

    def test_of_a_structure_that_was_not_found_is_not_told(self):
        labels = a_heart()
        labels[labels == 3] = 0
        assert doubt_with(lambda probabilities: None, labels).dice["RV"] is None

    def test_follows_the_line_that_cases_gave(self):
        labels = a_heart()
        expected = [0.99, 0.97, 0.95, 0.9]
        true = [0.95, 0.90, 0.86, 0.75]
        lines = calibrate({"LV": expected}, {"LV": true})
        assert read_calibration({"cardiacseg": {"doubt": lines}}) == lines
        plain = doubt_of(labels, probabilities_of(labels), AFFINE, CANONICAL).dice
        told = doubt_of(labels, probabilities_of(labels), AFFINE, CANONICAL, lines).dice
        assert told["LV"] < plain["LV"]
        assert told["MYO"] == plain["MYO"]

    def test_is_the_mean_where_cases_tell_nothing(self):
        (line,) = calibrate({"LV": [0.9, 0.95, 0.99]}, {"LV": [0.9, 0.8, 0.7]}).values()
        assert line[1] == 0

    @pytest.mark.parametrize("said", [None, 3, {"LV": "no"}, {"LV": [1]}, {"LV": [1, float("nan")]}])
    def test_is_not_led_astray_by_metadata(self, said):
        assert read_calibration({"cardiacseg": {"doubt": said}}) == {}


class TestSlicesToLookAt:
    def test_are_none_where_the_network_is_sure(self):
        labels = a_heart()
        assert doubt_of(labels, probabilities_of(labels, 0.999), AFFINE, CANONICAL).slices == []

    @pytest.mark.parametrize("base_first", [True, False])
    def test_are_counted_from_the_base_and_say_why(self, base_first):
        labels = a_heart(base_first=base_first)
        at = 1 if base_first else 4

        def doubt_heart(probabilities):
            here = labels[..., at] > 0
            probabilities[:, here, at] = np.float32([0.5, 0.2, 0.2, 0.1])[:, None]

        worst = doubt_with(doubt_heart, labels).slices[0]
        assert worst.number == 2
        assert worst.index == at
        assert worst.text.startswith("Slice 2 from the base: ")
        assert "may not be there" in worst.reason
        assert worst.center[2] == pytest.approx(8.0 * at)
        assert worst.center[:2] == pytest.approx((1.5 * 16, 1.5 * 16), abs=5)

    def test_name_a_structure_that_may_be_missing(self):
        labels = a_heart()
        hidden = labels == 3
        hidden[..., 1:] = False
        labels[hidden] = 0

        def suspect_rv(probabilities):
            probabilities[3][hidden], probabilities[0][hidden] = 0.45, 0.5

        worst = doubt_with(suspect_rv, labels).slices[0]
        assert (worst.number, worst.structure, worst.reason) == (1, "RV", "RV may be missing")

    def test_stay_the_same_when_the_array_is_turned_and_its_affine_with_it(self):
        labels = a_heart()

        def doubt_third(probabilities):
            probabilities[..., 2] = 0.25

        straight = doubt_with(doubt_third, labels).slices[0]
        turned = AFFINE[:, [2, 0, 1, 3]].copy()
        turned[:, 3] += 5 * turned[:, 0]
        turned[:, 0] *= -1
        probabilities = probabilities_of(labels)
        doubt_third(probabilities)
        found = doubt_of(
            labels.transpose(2, 0, 1)[::-1], probabilities.transpose(0, 3, 1, 2)[:, ::-1], turned, CANONICAL
        ).slices[0]
        assert (found.number, found.index, found.text) == (straight.number, 3, straight.text)
        np.testing.assert_allclose(found.center, straight.center, atol=1e-3)

    def test_are_not_told_of_an_image_of_one_slice(self):
        labels = a_heart()[..., :1]
        assert doubt_with(lambda probabilities: probabilities.fill(0.25), labels).slices == ()


class TestTheCommand:
    def test_writes_the_doubt_on_the_image_s_grid_and_tells_the_rest(self, a_bundle, a_phantom_file, tmp_path, capsys):
        files = {name: tmp_path / f"{name}" for name in ("l.nii.gz", "d.nii.gz", "m.json", "t.csv")}
        labels, doubt, measures, table = files.values()
        command = ["segment", str(a_phantom_file), "-o", str(labels), "--model", str(a_bundle.folder)]
        assert main([*command, "--doubt", str(doubt), "--json", str(measures), "--table", str(table)]) == 0
        said = capsys.readouterr().out
        assert "expected Dice: LV " in said
        image, found = read_image(a_phantom_file), read_image(doubt)
        assert found.array.shape == image.array.shape
        np.testing.assert_allclose(found.affine, image.affine, atol=1e-4)
        assert 0 <= found.array.min() < found.array.max() <= 1
        (told,) = json.loads(measures.read_text(encoding="utf-8"))["doubt"]
        assert set(told["predicted_dice"]) == set(CANONICAL)
        assert all(one["text"] in said for one in told["slices"])
        assert "Expected Dice,LV,0." in table.read_text(encoding="utf-8")

    def test_gives_the_labels_that_it_gives_without(self, a_bundle, a_phantom_file, tmp_path):
        for name, more in (("plain", []), ("doubt", ["--doubt", str(tmp_path / "d.nii.gz")])):
            output = ["-o", str(tmp_path / f"{name}.nii.gz"), "--model", str(a_bundle.folder)]
            assert main(["segment", str(a_phantom_file), *output, *more]) == 0
        plain, doubt = (read_image(tmp_path / f"{name}.nii.gz").array for name in ("plain", "doubt"))
        np.testing.assert_array_equal(plain, doubt)

    def test_writes_a_file_for_each_of_several_images_and_none_over_an_image(self, a_bundle, a_phantom_file, tmp_path):
        images = []
        for name in ("one", "two"):
            images.append(tmp_path / f"{name}.nii.gz")
            write_image(images[-1], read_image(a_phantom_file))
        before = images[0].read_bytes()
        command = ["segment", *map(str, images), "-o", str(tmp_path), "--doubt", str(tmp_path)]
        assert main([*command, "--model", str(a_bundle.folder)]) == 0
        assert sorted(path.name for path in tmp_path.glob("*_doubt.nii.gz")) == ["one_doubt.nii.gz", "two_doubt.nii.gz"]
        assert images[0].read_bytes() == before

    @pytest.mark.parametrize("name", ["doubt.png", "doubt"])
    def test_refuses_a_name_that_is_no_image_s(self, name, a_phantom_file, tmp_path, capsys):
        command = ["segment", str(a_phantom_file), "-o", str(tmp_path / "l.nii.gz"), "--doubt", str(tmp_path / name)]
        assert main(command) == 1
        assert f"{name}: give a name that ends in .nii.gz" in capsys.readouterr().err


def test_a_cine_has_the_doubt_of_each_frame(a_segmenter, a_phantom):
    done: list[float] = []
    labels, doubt, found = segment_with_doubt(a_segmenter, a_phantom.image, a_phantom.affine, done.append)
    assert labels.shape == doubt.shape == a_phantom.image.shape
    assert len(found) == 3
    assert done[-1] == 1
    np.testing.assert_array_equal(labels, a_segmenter.segment(a_phantom.image, a_phantom.affine))


def test_a_job_keeps_its_doubt_in_its_folder(a_segmenter, a_bundle, a_phantom_image: Image, tmp_path: Path):
    array, affine = a_phantom_image.array, a_phantom_image.affine
    labels, told = segment_with_doubt_into(
        tmp_path, a_segmenter, str(a_bundle.folder), array, affine, lambda done: None
    )
    assert labels.shape == array.shape
    assert told["file"] == DOUBT
    assert np.load(tmp_path / DOUBT, allow_pickle=False).shape == array.shape
    json.dumps(told)
