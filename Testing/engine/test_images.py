"""Files in and out: nothing moves in space, not by a bit, and nothing is left half written."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from CardiacSegLib.anatomy import ACDC, CANONICAL, relabel
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.images import Image, read_image, write_image, write_labels

GEOMETRY_FIELDS = (
    *("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "xyzt_units", "toffset"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def an_affine(directions: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (-37.1, 12.25, 101.7)
    return affine


OBLIQUE = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
OBLIQUE = OBLIQUE * np.sign(np.linalg.det(OBLIQUE))

#: Shape and affine of volumes as scanners and data sets make them.
GEOMETRIES = {
    "straight": ((9, 8, 4), np.eye(4)),
    "oblique": ((9, 8, 4), an_affine(OBLIQUE, (1.3671875, 1.3671875, 8.0))),
    "flipped": ((9, 8, 4), an_affine(np.diag([-1.0, -1.0, 1.0]), (1.5625, 1.5625, 10.0))),
    "left-handed": ((9, 8, 4), an_affine(OBLIQUE @ np.diag([1.0, 1.0, -1.0]), (1.4, 1.4, 9.6))),
    "axis-permuted": ((4, 9, 8), an_affine(OBLIQUE[:, [2, 0, 1]], (8.0, 1.25, 1.25))),
    "anisotropic": ((9, 8, 4), an_affine(OBLIQUE, (0.7, 1.9, 10.0))),
    "single-slice": ((9, 8, 1), an_affine(OBLIQUE, (1.5, 1.5, 8.0))),
}


@pytest.fixture(params=GEOMETRIES)
def a_volume(request: pytest.FixtureRequest) -> Image:
    shape, affine = GEOMETRIES[request.param]
    return Image(np.random.default_rng(1).integers(-5, 900, shape).astype(np.int16), affine)


def labels_for(image: Image) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 4, image.array.shape).astype(np.uint8)


def header_of(path: Path) -> nibabel.Nifti1Header:
    return nibabel.load(path).header


def nifti_file(path: Path, array: np.ndarray, sform: np.ndarray | None, qform: np.ndarray | None, codes=(1, 1)) -> Path:
    nifti = nibabel.Nifti1Image(array, None)
    nifti.header.set_zooms((1.25, 1.5, 8.0, 0.05)[: array.ndim])
    nifti.header.set_xyzt_units("mm", "sec")
    if sform is not None:
        nifti.header.set_sform(sform, codes[0])
    if qform is not None:
        nifti.header.set_qform(qform, codes[1])
    nifti._affine = None  # or nibabel would tidy the header up
    nibabel.save(nifti, path)
    return path


class TestAnImageOfAnyGeometry:
    @pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd"])
    def test_is_read_as_it_was_written(self, a_volume, tmp_path, extension):
        write_image(tmp_path / f"heart{extension}", a_volume)
        found = read_image(tmp_path / f"heart{extension}")
        np.testing.assert_array_equal(found.array, a_volume.array)
        assert found.array.dtype == np.int16
        np.testing.assert_allclose(found.affine, a_volume.affine, atol=1e-5)

    @pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
    def test_gives_its_nifti_labels_every_field_of_its_geometry(self, a_volume, tmp_path, extension):
        write_image(tmp_path / "heart.nii.gz", a_volume)
        image = read_image(tmp_path / "heart.nii.gz")
        write_labels(tmp_path / f"labels{extension}", labels_for(image), image, CANONICAL)
        ours, theirs = header_of(tmp_path / f"labels{extension}"), header_of(tmp_path / "heart.nii.gz")
        for name in GEOMETRY_FIELDS:
            assert ours[name].tobytes() == theirs[name].tobytes(), name
        found = read_image(tmp_path / f"labels{extension}")
        np.testing.assert_array_equal(found.array, labels_for(image))
        assert found.array.dtype == np.uint8
        np.testing.assert_array_equal(found.affine, image.affine)

    @pytest.mark.parametrize("extension", [".nrrd", ".seg.nrrd"])
    def test_gives_its_nrrd_labels_the_same_directions_and_origin(self, a_volume, tmp_path, extension):
        write_image(tmp_path / "heart.nrrd", a_volume)
        image = read_image(tmp_path / "heart.nrrd")
        write_labels(tmp_path / f"labels{extension}", labels_for(image), image, CANONICAL)
        lines = [(tmp_path / name).read_bytes().split(b"\n\n")[0] for name in ("heart.nrrd", f"labels{extension}")]
        fields = [{line for line in header.splitlines() if line.startswith(b"space")} for header in lines]
        assert fields[0] == fields[1]
        assert len(fields[0]) == 3
        np.testing.assert_array_equal(read_image(tmp_path / f"labels{extension}").affine, image.affine)

    @pytest.mark.parametrize(("source", "target"), [(".nrrd", ".nii.gz"), (".nii.gz", ".nrrd"), (".mha", ".nrrd")])
    def test_keeps_its_place_in_labels_of_another_format(self, a_volume, tmp_path, source, target):
        if source == ".mha":
            lps = np.diag([-1, -1, 1, 1]) @ a_volume.affine
            spacing = np.linalg.norm(lps[:3, :3], axis=0)
            itk = sitk.GetImageFromArray(a_volume.array.T)
            itk.SetSpacing(spacing.tolist())
            itk.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
            itk.SetOrigin(lps[:3, 3].tolist())
            sitk.WriteImage(itk, str(tmp_path / "heart.mha"))
        else:
            write_image(tmp_path / f"heart{source}", a_volume)
        image = read_image(tmp_path / f"heart{source}")
        np.testing.assert_array_equal(image.array, a_volume.array)
        np.testing.assert_allclose(image.affine, a_volume.affine, atol=1e-5)
        write_labels(tmp_path / f"labels{target}", labels_for(image), image, CANONICAL)
        found = read_image(tmp_path / f"labels{target}")
        np.testing.assert_array_equal(found.array, labels_for(image))
        np.testing.assert_allclose(found.affine, image.affine, atol=1e-5)


class TestANiftiHeader:
    OTHER = an_affine(np.eye(3), (1.25, 1.5, 8.0))

    @pytest.mark.parametrize(
        ("sform", "qform"),
        [(True, True), (True, False), (False, True), (False, False)],
        ids=["both", "sform", "qform", "neither"],
    )
    def test_is_kept_to_the_bit_whichever_forms_it_has(self, tmp_path, sform, qform):
        place = an_affine(OBLIQUE, (1.25, 1.5, 8.0))
        array = np.random.default_rng(0).integers(0, 99, (9, 8, 4)).astype(np.int16)
        source = nifti_file(tmp_path / "heart.nii", array, place if sform else None, place if qform else None)
        image = read_image(source)
        expected = place if sform or qform else np.diag([-1.25, -1.5, 8.0, 1.0])
        np.testing.assert_allclose(image.affine[:3, :3], expected[:3, :3], atol=1e-5)
        write_labels(tmp_path / "labels.nii.gz", labels_for(image), image, CANONICAL)
        for name in GEOMETRY_FIELDS:
            assert header_of(tmp_path / "labels.nii.gz")[name].tobytes() == header_of(source)[name].tobytes(), name

    def test_whose_forms_disagree_places_image_and_labels_alike(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 99, (9, 8, 4)).astype(np.int16)
        image = read_image(nifti_file(tmp_path / "heart.nii", array, an_affine(OBLIQUE, (1.25, 1.5, 8.0)), self.OTHER))
        write_labels(tmp_path / "labels.nii.gz", labels_for(image), image, CANONICAL)
        np.testing.assert_array_equal(read_image(tmp_path / "labels.nii.gz").affine, image.affine)
        np.testing.assert_allclose(np.linalg.norm(image.affine[:3, :3], axis=0), (1.25, 1.5, 8.0), rtol=1e-5)

    def test_of_acdc_gives_the_true_spacing(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 99, (9, 8, 4)).astype(np.int16)
        source = nifti_file(tmp_path / "heart.nii.gz", array, np.diag([-1.0, -1.0, 1.0, 1.0]), None, (2, 0))
        assert abs(np.linalg.det(nibabel.load(source).affine)) == 1
        image = read_image(source)
        assert abs(np.linalg.det(image.affine)) == pytest.approx(1.25 * 1.5 * 8.0)
        write_labels(tmp_path / "labels.nii.gz", labels_for(image), image, ACDC)
        np.testing.assert_array_equal(read_image(tmp_path / "labels.nii.gz").affine, image.affine)

    def test_of_a_cine_keeps_the_time_between_phases(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 99, (9, 8, 4, 3)).astype(np.int16)
        image = read_image(nifti_file(tmp_path / "cine.nii", array, self.OTHER, self.OTHER))
        assert image.array.shape == (9, 8, 4, 3)
        write_labels(tmp_path / "labels.nii.gz", labels_for(image), image, CANONICAL)
        header = header_of(tmp_path / "labels.nii.gz")
        assert header["pixdim"][4] == np.float32(0.05)
        assert header.get_xyzt_units() == ("mm", "sec")
        assert nibabel.load(tmp_path / "labels.nii.gz").shape == (9, 8, 4, 3)

    def test_of_the_other_byte_order_means_the_same(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 999, (9, 8, 4)).astype(np.int16)
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(np.int16)
        big = nibabel.Nifti1Image(array, self.OTHER, header)
        nibabel.save(big, tmp_path / "big.nii")
        assert (tmp_path / "big.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
        image = read_image(tmp_path / "big.nii")
        np.testing.assert_array_equal(image.array, array)
        write_labels(tmp_path / "labels.nii", labels_for(image), image, CANONICAL)
        np.testing.assert_array_equal(read_image(tmp_path / "labels.nii").affine, image.affine)

    def test_with_a_scale_gives_the_true_intensities(self, tmp_path):
        nifti = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), self.OTHER)
        nifti.header.set_slope_inter(0.5, 10)
        nibabel.save(nifti, tmp_path / "scaled.nii")
        assert read_image(tmp_path / "scaled.nii").array.max() == pytest.approx(
            nibabel.load(tmp_path / "scaled.nii").get_fdata().max()
        )


def cine_file(path: Path, step: float, unit: int, offset: float = 0.0, frames: int = 3) -> Path:
    """A cine whose header says that time between its phases in that unit of NIfTI (8 s, 16 ms, 24 us, 0 unknown)."""
    nifti_file(path, np.zeros((9, 8, 4, frames), np.int16), np.diag([1.25, 1.5, 8.0, 1.0]), None)
    content = bytearray(path.read_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    header["pixdim"][4], header["xyzt_units"], header["toffset"] = step, 2 + unit, offset
    content[:348] = header.binaryblock
    path.write_bytes(content)
    return path


class TestTheTimesOfACine:
    @pytest.mark.parametrize(("step", "unit"), [(0.035, 8), (35.0, 16), (35000.0, 24), (35.0, 0), (0.035, 0)])
    def test_are_milliseconds_whatever_the_unit_in_the_file(self, tmp_path, step, unit):
        image = read_image(cine_file(tmp_path / "cine.nii", step, unit))
        np.testing.assert_allclose(image.frame_times, [0, 35, 70], rtol=1e-5)

    @pytest.mark.parametrize(
        ("step", "unit"), [(0, 8), (1, 8), (0, 0), (1, 0), (1, 16), (-35, 16), (np.nan, 16), (np.inf, 8), (35, 32)]
    )
    def test_are_unknown_where_the_file_says_nothing_that_a_heart_does(self, tmp_path, step, unit):
        image = read_image(cine_file(tmp_path / "cine.nii", step, unit))
        assert image.frame_times is None
        assert image.heart_rate is None

    def test_begin_where_the_file_says(self, tmp_path):
        image = read_image(cine_file(tmp_path / "cine.nii", 35.0, 16, offset=17.5))
        np.testing.assert_allclose(image.frame_times, [17.5, 52.5, 87.5])

    @pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
    def test_come_back_from_a_file_with_the_heart_rate(self, tmp_path, extension):
        times = 18.75 + 37.5 * np.arange(20)
        cine = Image(np.zeros((5, 4, 3, 20), np.int16), np.eye(4), frame_times=times, heart_rate=79.5)
        write_image(tmp_path / f"cine{extension}", cine)
        found = read_image(tmp_path / f"cine{extension}")
        np.testing.assert_allclose(found.frame_times, times, rtol=1e-6)
        assert found.heart_rate == 79.5
        header = header_of(tmp_path / f"cine{extension}")
        assert (header["pixdim"][4], header.get_xyzt_units()) == (37.5, ("mm", "msec"))

    def test_go_with_the_labels(self, tmp_path):
        cine = Image(np.zeros((5, 4, 3, 2), np.int16), np.eye(4), frame_times=np.array([10.0, 45.0]), heart_rate=60.0)
        write_labels(tmp_path / "labels.nii.gz", np.zeros((5, 4, 3, 2), np.uint8), cine, CANONICAL)
        found = read_image(tmp_path / "labels.nii.gz")
        np.testing.assert_allclose(found.frame_times, [10, 45])
        assert found.heart_rate == 60

    def test_stay_unknown_where_they_were(self, tmp_path):
        write_image(tmp_path / "cine.nii", Image(np.zeros((5, 4, 3, 2), np.int16), np.eye(4)))
        found = read_image(tmp_path / "cine.nii")
        assert found.frame_times is None
        assert found.heart_rate is None

    def test_are_those_of_the_image_where_its_header_says_others(self, tmp_path):
        image = read_image(cine_file(tmp_path / "cine.nii", 35.0, 16))
        write_image(tmp_path / "other.nii", replace(image, frame_times=np.array([0.0, 40.0, 80.0])))
        np.testing.assert_allclose(read_image(tmp_path / "other.nii").frame_times, [0, 40, 80])

    def test_do_not_move_the_image(self, tmp_path):
        image = read_image(cine_file(tmp_path / "cine.nii", 35.0, 16, offset=17.5))
        np.testing.assert_array_equal(image.affine, np.diag([1.25, 1.5, 8.0, 1.0]))
        assert sitk.ReadImage(str(tmp_path / "cine.nii")).GetSpacing()[:3] == (1.25, 1.5, 8.0)


class TestAnImageOfTwoDimensions:
    @pytest.mark.parametrize("affine", [np.diag([-1.3, -1.5, 8.0, 1.0]), an_affine(OBLIQUE, (1.3, 1.5, 8.0))])
    def test_is_a_stack_of_one_slice_and_gets_labels_of_two_dimensions(self, tmp_path, affine):
        nibabel.save(nibabel.Nifti1Image(np.arange(30, dtype=np.int16).reshape(6, 5), affine), tmp_path / "flat.nii.gz")
        image = read_image(tmp_path / "flat.nii.gz")
        assert image.array.shape == (6, 5, 1)
        write_labels(tmp_path / "labels.nii.gz", labels_for(image), image, CANONICAL)
        assert nibabel.load(tmp_path / "labels.nii.gz").shape == (6, 5)
        found = read_image(tmp_path / "labels.nii.gz")
        np.testing.assert_array_equal(found.array, labels_for(image))
        np.testing.assert_array_equal(found.affine, image.affine)

    def test_may_be_a_nrrd_file_with_nothing_but_a_spacing(self, tmp_path):
        nrrd.write(str(tmp_path / "flat.nrrd"), np.arange(30, dtype=np.int16).reshape(6, 5), {"spacings": [1.3, 1.5]})
        image = read_image(tmp_path / "flat.nrrd")
        assert image.array.shape == (6, 5, 1)
        np.testing.assert_array_equal(image.affine, np.diag([-1.3, -1.5, 1.0, 1.0]))


@pytest.mark.parametrize("space", ["right-anterior-superior", "left-anterior-superior", "left-posterior-superior"])
def test_a_nrrd_file_may_say_its_place_in_any_of_the_three_usual_spaces(tmp_path, space):
    signs = {"r": 1, "l": -1, "a": 1, "p": -1, "s": 1}
    to_ras = np.diag([signs[word[0]] for word in space.split("-")])
    place = an_affine(OBLIQUE, (1.3, 1.4, 8.0))
    directions, origin = (to_ras @ place[:3, :3]).T, to_ras @ place[:3, 3]
    header = {"space": space, "space directions": directions, "space origin": origin}
    nrrd.write(str(tmp_path / "heart.nrrd"), np.zeros((5, 4, 3), np.int16), header)
    image = read_image(tmp_path / "heart.nrrd")
    np.testing.assert_allclose(image.affine, place, atol=1e-12)
    write_labels(tmp_path / "labels.nrrd", np.zeros((5, 4, 3), np.uint8), image, CANONICAL)
    assert nrrd.read_header(str(tmp_path / "labels.nrrd"))["space"] == space
    np.testing.assert_array_equal(read_image(tmp_path / "labels.nrrd").affine, image.affine)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_voxels_of_every_usual_type_are_read_as_they_are(tmp_path, dtype):
    array = np.arange(60).reshape(5, 4, 3).astype(dtype)
    for name in ("a.nii.gz", "a.nrrd"):
        write_image(tmp_path / name, Image(array, np.eye(4)))
        found = read_image(tmp_path / name).array
        np.testing.assert_array_equal(found, array)
        assert found.dtype == dtype


class TestASegmentationFile:
    def test_names_colors_and_codes_its_segments(self, a_phantom_image, tmp_path):
        write_labels(tmp_path / "heart.seg.nrrd", labels_for(a_phantom_image), a_phantom_image, ACDC)
        _, header = nrrd.read(str(tmp_path / "heart.seg.nrrd"))
        segments = {header[f"Segment{index}_ID"]: index for index in range(3)}
        assert {name: int(header[f"Segment{index}_LabelValue"]) for name, index in segments.items()} == ACDC
        assert "SCT^87878005^Left cardiac ventricular structure" in header[f"Segment{segments['LV']}_Tags"]

    def test_of_a_cine_is_refused_and_leaves_nothing(self, a_phantom, tmp_path):
        cine = Image(a_phantom.image, a_phantom.affine)
        with pytest.raises(CardiacSegError, match=r"cine cannot be written as \.seg\.nrrd; give .*\.nii\.gz"):
            write_labels(tmp_path / "heart.seg.nrrd", a_phantom.labels, cine, CANONICAL)
        assert not list(tmp_path.iterdir())

    def test_of_a_cine_with_one_phase_is_that_of_a_volume(self, a_phantom, tmp_path):
        cine = Image(a_phantom.image[..., :1], a_phantom.affine)
        write_labels(tmp_path / "heart.seg.nrrd", a_phantom.labels[..., :1], cine, CANONICAL)
        np.testing.assert_array_equal(read_image(tmp_path / "heart.seg.nrrd").array, a_phantom.labels[..., 0])


class TestWritingAFile:
    def test_leaves_the_old_one_as_it_was_where_it_fails(self, tmp_path):
        old = tmp_path / "labels.nii.gz"
        old.write_bytes(b"old")
        for failure in (RuntimeError, OSError, KeyboardInterrupt):
            with pytest.raises((failure, CardiacSegError)), replacing(old) as temporary:
                temporary.write_bytes(b"half")
                raise failure
        assert old.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [old]

    def test_leaves_nothing_where_there_was_none(self, tmp_path):
        with pytest.raises(CardiacSegError, match="disk is full"), replacing(tmp_path / "labels.nii.gz") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(28, "disk is full")
        assert not list(tmp_path.iterdir())

    def test_gives_it_the_permissions_of_any_other_new_file(self, tmp_path):
        (tmp_path / "usual").touch()
        with replacing(tmp_path / "ours") as temporary:
            temporary.touch()
        assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_into_a_folder_that_is_a_file_says_so(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(CardiacSegError, match=r"labels\.nii\.gz: cannot be written .*choose another folder"):
            write_image(tmp_path / "file" / "labels.nii.gz", Image(np.zeros((2, 2, 2), np.int16), np.eye(4)))
        with pytest.raises(CardiacSegError, match="cannot be made"):
            make_folder(tmp_path / "file" / "folder")

    @pytest.mark.parametrize("name", ["labels.png", "labels", "labels.nii.bz2"])
    def test_of_an_unknown_format_names_the_known_ones(self, tmp_path, name):
        with pytest.raises(CardiacSegError, match=r"\.nii\.gz"):
            write_labels(
                tmp_path / name, np.zeros((2, 2, 2), np.uint8), Image(np.zeros((2, 2, 2)), np.eye(4)), CANONICAL
            )
        with pytest.raises(CardiacSegError, match=r"\.nii\.gz"):
            write_image(tmp_path / name, Image(np.zeros((2, 2, 2)), np.eye(4)))

    def test_as_nii_gz_compresses_it(self, tmp_path):
        write_image(tmp_path / "a.nii.gz", Image(np.zeros((64, 64, 8), np.int16), np.eye(4)))
        assert len(gzip.decompress((tmp_path / "a.nii.gz").read_bytes())) > 64 * 64 * 8 * 2


class TestRenumberingLabels:
    def test_from_one_convention_to_another_keeps_the_structures(self):
        np.testing.assert_array_equal(relabel(np.array([0, 1, 2, 3]), CANONICAL, ACDC), [0, 3, 2, 1])
        np.testing.assert_array_equal(relabel(np.array([0.0, 1.0, 3.0]), ACDC, CANONICAL), [0, 3, 1])

    def test_drops_what_the_target_does_not_know(self):
        np.testing.assert_array_equal(relabel(np.array([1, 2, 3]), CANONICAL, {"LV": 7}), [7, 0, 0])

    @pytest.mark.parametrize("value", [4, -1, 255, 1.5])
    def test_refuses_a_number_without_a_meaning(self, value):
        with pytest.raises(CardiacSegError, match=f"label values .*{value}.* are not in the convention"):
            relabel(np.array([0, 1, value]), CANONICAL, ACDC)


@pytest.mark.data
def test_a_real_acdc_file_has_its_true_spacing_and_gives_it_to_its_labels(acdc_training, tmp_path):
    source = sorted((acdc_training / "patient001").glob("*_frame*_gt.nii.gz"))[0]
    image = read_image(source)
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, header_of(source)["pixdim"][1:4], rtol=1e-6)
    assert spacing[2] > 4
    write_labels(tmp_path / "labels.nii.gz", image.array.astype(np.uint8), image, ACDC)
    for name in GEOMETRY_FIELDS:
        assert header_of(tmp_path / "labels.nii.gz")[name].tobytes() == header_of(source)[name].tobytes(), name
