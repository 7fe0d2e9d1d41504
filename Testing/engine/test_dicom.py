"""DICOM folders as hospitals export them: the short-axis cine is found in them, placed in space and time, and said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from CardiacSegLib.dicom.series import DicomFolder, DicomSeries
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, read_dicom_cine, read_image, write_image
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from dicoms_made import (
    SERIES,
    STEP,
    STUDY,
    a_scan,
    one_series_a_slice,
    slice_affine,
    trigger_time,
    turned_about,
    write_cine,
    write_enhanced,
    write_image_file,
    write_localizer,
    write_long_axis,
    write_report,
    write_stack,
)
from phantoms import COARSE

FRAMES, SLICES = 6, 5


@pytest.fixture(scope="session")
def the_phantom() -> Phantom:
    return a_scan(FRAMES, SLICES)


@pytest.fixture(scope="session")
def a_folder(the_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cine and nothing else; of no test to spoil."""
    folder = tmp_path_factory.mktemp("dicom")
    write_cine(folder, the_phantom)
    return folder


@pytest.fixture
def a_copy(a_folder: Path, tmp_path: Path) -> Path:
    """The same folder, for a test to spoil."""
    return Path(shutil.copytree(a_folder, tmp_path / "study"))


def assert_is_the_phantom(image: Image, phantom: Phantom) -> None:
    np.testing.assert_array_equal(image.array, phantom.image)
    np.testing.assert_allclose(image.affine, phantom.affine, atol=1e-4)


def kinds(folder: Path) -> list[str]:
    return [series.kind for series in DicomFolder.read(folder).series]


def said(image: Image) -> str:
    return "\n".join(image.notes)


class TestACine:
    def test_is_read_as_it_was_imaged(self, a_folder, the_phantom):
        image = read_image(a_folder)
        assert_is_the_phantom(image, the_phantom)
        assert image.array.dtype == np.int16
        assert (image.path, image.notes, image.spacing_known) == (a_folder, (), True)

    def test_has_the_usual_time_of_its_phases_and_the_heart_rate(self, a_folder):
        image = read_image(a_folder)
        np.testing.assert_allclose(image.frame_times, [trigger_time(2, frame) for frame in range(FRAMES)])
        assert image.heart_rate == pytest.approx(60_000 / ((STEP + 2) * FRAMES), abs=0.05)

    @pytest.mark.parametrize("fields", [{"HeartRate": 75, "NominalInterval": None}, {"HeartRate": 75}])
    def test_has_the_heart_rate_that_is_said(self, tmp_path, the_phantom, fields):
        write_cine(tmp_path, the_phantom, **fields)
        assert read_image(tmp_path).heart_rate == 75

    @pytest.mark.parametrize("fields", [{"NominalInterval": None}, {"HeartRate": 0, "NominalInterval": 0}])
    def test_has_no_heart_rate_where_none_is_said(self, tmp_path, the_phantom, fields):
        write_cine(tmp_path, the_phantom, **fields)
        assert read_image(tmp_path).heart_rate is None

    def test_may_be_one_series_for_each_slice(self, tmp_path, the_phantom):
        write_cine(tmp_path, the_phantom, fields=one_series_a_slice)
        (series,) = DicomFolder.read(tmp_path).series
        assert (series.kind, series.slices, series.phases, series.sources) == (
            "short-axis cine",
            SLICES,
            FRAMES,
            SLICES,
        )
        assert_is_the_phantom(read_image(tmp_path), the_phantom)

    def test_may_be_numbered_phase_by_phase_in_files_of_any_name_and_folder(self, tmp_path, the_phantom):
        def name(level: int, frame: int) -> str:
            return f"A{(7 * frame + 3 * level) % 4}/B{(level + frame) % 3}/I{(13 * level + 29 * frame) % 1009:05d}"

        write_cine(tmp_path, the_phantom, name, lambda level, frame: {"number": frame * SLICES + SLICES - level})
        assert_is_the_phantom(read_image(tmp_path), the_phantom)

    @pytest.mark.parametrize("turn", [[2, 0, 1], [1, 2, 0]])
    def test_is_sorted_by_place_whatever_the_direction_of_its_axes(self, tmp_path, the_phantom, turn):
        """The heart's place in the patient stays, the scanner counts rows and columns the other way."""
        other = make_phantom(PhantomOptions(frames=FRAMES, slices=SLICES, seed=3, orientation="flipped", **COARSE))
        order = np.argsort(np.array([*turn, 4, 3]))
        write_cine(tmp_path, other, fields=lambda level, frame: {"number": int(order[level]) * FRAMES + frame + 1})
        image = read_image(tmp_path)
        corner = image.affine @ [3, 5, 1, 1]
        i, j, k, _ = np.rint(np.linalg.inv(the_phantom.affine) @ corner).astype(int)
        np.testing.assert_array_equal(image.array[3, 5, 1], the_phantom.image[i, j, k])
        assert np.linalg.det(image.affine) > 0

    @pytest.mark.filterwarnings("error")
    def test_may_have_identifiers_with_leading_zeros(self, tmp_path, the_phantom):
        def identifiers(level: int, frame: int) -> dict[str, str]:
            return {"SeriesInstanceUID": "1.02.003", "SOPInstanceUID": f"1.02.0{level}.00{frame}"}

        write_cine(tmp_path, the_phantom, fields=identifiers)
        assert_is_the_phantom(read_image(tmp_path), the_phantom)

    def test_without_trigger_times_is_sorted_by_its_phases(self, tmp_path, the_phantom):
        write_cine(
            *(tmp_path, the_phantom),
            fields=lambda level, frame: {"number": 500 - frame, "TemporalPositionIdentifier": frame + 1},
            TriggerTime=None,
        )
        image = read_image(tmp_path)
        assert_is_the_phantom(image, the_phantom)
        assert image.frame_times is None

    @pytest.mark.parametrize("fields", [{"TriggerTime": None}, {"TriggerTime": 0}])
    def test_without_any_time_is_sorted_by_its_numbers(self, tmp_path, the_phantom, fields):
        write_cine(tmp_path, the_phantom, **fields)
        image = read_image(tmp_path)
        assert_is_the_phantom(image, the_phantom)
        assert image.frame_times is None

    def test_may_be_one_file_of_many_images(self, tmp_path, the_phantom):
        write_enhanced(tmp_path / "MR.1", the_phantom)
        for place in (tmp_path, tmp_path / "MR.1"):
            image = read_image(place)
            assert_is_the_phantom(image, the_phantom)
            np.testing.assert_allclose(image.frame_times, [trigger_time(2, frame) for frame in range(FRAMES)])
            assert image.heart_rate == pytest.approx(82, abs=0.05)

    def test_of_one_file_may_say_nothing_but_the_time_between_images(self, tmp_path, the_phantom):
        write_enhanced(tmp_path / "MR.1", the_phantom, triggered=False, FrameTime="42.5")
        image = read_image(tmp_path)
        assert_is_the_phantom(image, the_phantom)
        np.testing.assert_allclose(image.frame_times, 42.5 * np.arange(FRAMES))
        assert image.heart_rate is None

    def test_has_the_intensities_that_its_files_scale_to(self, tmp_path, the_phantom):
        write_cine(tmp_path, the_phantom, RescaleSlope="0.5", RescaleIntercept="-3")
        image = read_image(tmp_path)
        assert image.array.dtype == np.float32
        np.testing.assert_allclose(image.array, the_phantom.image / 2 - 3)

    def test_may_be_compressed(self, a_copy, the_phantom):
        """By pydicom itself, and in a way that pydicom alone does not know: JPEG 2000, without loss."""
        files = sorted(a_copy.iterdir())
        for path in files[::2]:
            dataset = pydicom.dcmread(path)
            dataset.compress(RLELossless)
            dataset.save_as(path)
        for path in files[1::2]:
            recompress(path)
        syntaxes = {pydicom.dcmread(path).file_meta.TransferSyntaxUID.name for path in files}
        assert syntaxes == {"RLE Lossless", "JPEG 2000 Image Compression (Lossless Only)"}
        assert_is_the_phantom(read_image(a_copy), the_phantom)

    def test_may_lack_the_mark_that_newer_files_begin_with(self, a_copy, the_phantom):
        for path in a_copy.iterdir():
            dataset = pydicom.dcmread(path)
            del dataset.file_meta
            dataset.preamble = None
            with pydicom.config.disable_value_validation():
                dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
            assert b"DICM" not in path.read_bytes()
        assert_is_the_phantom(read_image(a_copy), the_phantom)

    def test_of_one_phase_is_a_volume(self, tmp_path, the_phantom):
        write_cine(
            tmp_path, the_phantom, skip=[(level, frame) for level in range(SLICES) for frame in range(1, FRAMES)]
        )
        assert kinds(tmp_path) == ["short-axis stack"]
        image = read_image(tmp_path)
        np.testing.assert_array_equal(image.array, the_phantom.image[..., 0])
        assert image.frame_times is None
        assert "is no short-axis cine by its phases" in said(image)

    def test_of_one_slice_is_as_thick_as_it_says(self, tmp_path, the_phantom):
        lacking = [(level, frame) for level in range(1, SLICES) for frame in range(FRAMES)]
        write_cine(tmp_path, the_phantom, skip=lacking)
        image = read_image(tmp_path)
        assert image.array.shape == (64, 64, 1, FRAMES)
        assert np.linalg.norm(image.affine[:3, 2]) == pytest.approx(8.0)


def recompress(path: Path) -> None:
    """Compress a file by ITK, and give it back what ITK does not keep."""
    before = pydicom.dcmread(path)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG2000")
    writer.Execute(sitk.ReadImage(str(path)))
    compressed = pydicom.dcmread(path)
    before.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    before.PixelData = compressed.PixelData
    before["PixelData"].is_undefined_length = True
    before.save_as(path)


class TestTheSameCineAmongOthers:
    def test_is_chosen_and_what_is_left_out_said(self, a_copy, the_phantom):
        write_localizer(a_copy / "loc", the_phantom)
        write_long_axis(a_copy / "la", the_phantom)
        assert sorted(kinds(a_copy)) == ["localizer", "long-axis cine", "long-axis cine", "short-axis cine"]
        image = read_image(a_copy)
        assert_is_the_phantom(image, the_phantom)
        assert image.notes == (
            "left out: localizer: series 1 (9 slices x 1 phase)",
            "left out: long-axis cine: series 3 (1 slice x 6 phases), series 4 (1 slice x 6 phases)",
        )

    @pytest.mark.parametrize("which", ["axial", "four-chamber"])
    def test_is_chosen_before_a_larger_stack_of_another_direction(self, a_copy, the_phantom, which):
        axial = np.diag([-3.0, -3.0, 8.0, 1.0])
        along = turned_about(the_phantom.affine, 0)
        along[:3, 2] *= 8 / np.linalg.norm(along[:3, 2])
        write_stack(a_copy, the_phantom, {"axial": axial, "four-chamber": along}[which], which, levels=9)
        image = read_image(a_copy)
        assert_is_the_phantom(image, the_phantom)
        assert "9 slices x 6 phases" in said(image)

    def test_is_chosen_before_perfusion_of_more_images(self, a_copy, the_phantom):
        """Perfusion has images of the same slices from one beat to the next, all at the same delay."""
        for beat in range(40):
            for level in range(3):
                write_image_file(
                    *(
                        a_copy / f"perf-{level}-{beat}",
                        the_phantom.image[..., level, 0],
                        slice_affine(the_phantom, level),
                    ),
                    **{"number": 3 * beat + level + 1, "TriggerTime": 100 + 200 * level, "SeriesNumber": 9},
                    SeriesInstanceUID=f"{SERIES}.9",
                )
        assert kinds(a_copy) == ["short-axis cine", "short-axis stack"]
        assert_is_the_phantom(read_image(a_copy), the_phantom)

    def test_is_the_one_with_more_images_of_two(self, a_copy, the_phantom):
        other = the_phantom.affine.copy()
        other[:3, 3] += 0.5 * other[:3, 2]
        write_stack(a_copy, the_phantom, other, "again", levels=4, SeriesDescription="sa again", SeriesNumber=7)
        image = read_image(a_copy)
        assert_is_the_phantom(image, the_phantom)
        assert "left out: short-axis cine: series 2 (4 slices x 6 phases)" in image.notes

    def test_is_not_mixed_with_that_of_another_study(self, tmp_path, the_phantom):
        for study in (1, 2):
            skip = [] if study == 1 else [(0, frame) for frame in range(FRAMES)]
            write_cine(
                *(tmp_path / str(study), the_phantom),
                fields=lambda level, frame, study=study: {
                    **one_series_a_slice(level, frame),
                    "SeriesInstanceUID": f"{SERIES}.{study}.{level + 1}",
                    "StudyInstanceUID": f"{STUDY}.{study}",
                },
                skip=skip,
            )
        assert [series.slices for series in DicomFolder.read(tmp_path).series] == [SLICES, SLICES - 1]
        image = read_image(tmp_path)
        assert_is_the_phantom(image, the_phantom)
        assert "2 studies, perhaps of several patients" in said(image)

    def test_takes_the_later_of_slices_that_were_measured_twice(self, tmp_path, the_phantom):
        write_cine(tmp_path, the_phantom, fields=one_series_a_slice)
        for frame in range(FRAMES):
            early = {"SeriesInstanceUID": f"{SERIES}.99", "SeriesNumber": 2, "TriggerTime": trigger_time(1, frame)}
            pixels = the_phantom.image[:, :, 1, frame] // 2
            write_image_file(tmp_path / f"x{frame}", pixels, slice_affine(the_phantom, 1), number=frame + 1, **early)
        image = read_image(tmp_path)
        assert_is_the_phantom(image, the_phantom)
        assert "left out: short-axis cine: series 1 (1 slice x 6 phases)" in image.notes

    def test_does_not_take_phase_images_for_phases(self, a_copy, the_phantom):
        """Some scanners write magnitude and velocity under one series."""
        write_cine(a_copy / "v", the_phantom, ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
        assert_is_the_phantom(read_image(a_copy), the_phantom)

    def test_leaves_out_files_that_are_no_images_and_says_how_many(self, a_copy, the_phantom):
        write_report(a_copy / "SR0001")
        (a_copy / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"rubbish")
        (a_copy / "README.txt").write_text("about this CD")
        (a_copy / "broken").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
        write_image(a_copy / "other.nii.gz", Image(the_phantom.image[..., 0], the_phantom.affine))
        shutil.copytree(a_copy, a_copy / "again", ignore=lambda *_: ["again", "SR0001", "broken"])
        image = read_image(a_copy)
        assert_is_the_phantom(image, the_phantom)
        assert set(image.notes) == {
            f"left out: {SLICES * FRAMES} DICOM files copied a second time",
            "left out: 1 DICOM file without an image that has a place in space",
            "left out: 1 DICOM file damaged, such as broken (its elements are damaged); copy again",
        }

    def test_is_found_from_the_dicomdir_that_lists_it(self, a_copy, the_phantom):
        (a_copy / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
        assert_is_the_phantom(read_image(a_copy / "DICOMDIR"), the_phantom)

    def test_may_be_named_instead_of_chosen(self, a_copy, the_phantom):
        write_long_axis(a_copy / "la", the_phantom)
        long_axis = next(series for series in DicomFolder.read(a_copy).series if series.kind == "long-axis cine")
        image = read_dicom_cine(long_axis)
        assert image.array.shape == (64, 64, 1, FRAMES)
        np.testing.assert_array_equal(image.array[:, :, 0], the_phantom.image[:, :, 0])


class TestAStackOfStraightSlices:
    """As of headers that an anonymization took the directions from."""

    AFFINE = np.diag([-3.0, -3.0, 8.0, 1.0])

    def test_is_a_short_axis_cine_where_it_is_called_so(self, tmp_path, the_phantom):
        write_stack(tmp_path, the_phantom, self.AFFINE, "one", SeriesDescription="tfisp_SA_stack")
        assert kinds(tmp_path) == ["short-axis cine"]
        assert not read_image(tmp_path).notes

    @pytest.mark.parametrize("description", ["cine_ax", "msa sagittal", "Sandra"])
    def test_is_taken_with_a_word_where_nothing_fits_better(self, tmp_path, the_phantom, description):
        write_stack(tmp_path, the_phantom, self.AFFINE, "one", SeriesDescription=description)
        assert kinds(tmp_path) == ["other"]
        assert "is no short-axis cine by its directions; taken because nothing fits better" in said(
            read_image(tmp_path)
        )


def test_a_heart_that_points_to_the_right_is_known_by_its_name(tmp_path, the_phantom):
    mirrored = np.diag([-1.0, 1.0, 1.0, 1.0]) @ the_phantom.affine
    write_stack(tmp_path / "a", the_phantom, mirrored, "one", SeriesDescription="Cine short axis")
    write_stack(tmp_path / "b", the_phantom, mirrored, "one", SeriesDescription="4ch stack")
    assert [kinds(tmp_path / name) for name in "ab"] == [["short-axis cine"], ["long-axis cine"]]


class TestASliceThatHasOtherPhases:
    @pytest.mark.parametrize(("frame", "nearest"), [(0, 1), (2, 1), (FRAMES - 1, FRAMES - 2)])
    def test_because_files_lack_shows_the_nearest(self, tmp_path, the_phantom, frame, nearest):
        write_cine(tmp_path, the_phantom, skip=[(2, frame)])
        image = read_image(tmp_path)
        expected = the_phantom.image.copy()
        expected[:, :, 2, frame] = expected[:, :, 2, nearest]
        np.testing.assert_array_equal(image.array, expected)
        assert image.notes == (f"slice 3 of {SLICES} has 5 of 6 phases: each phase shows its nearest in time",)

    def test_because_files_lack_is_filled_without_times_too(self, tmp_path, the_phantom):
        write_cine(tmp_path, the_phantom, skip=[(3, 2)], TriggerTime=None)
        image = read_image(tmp_path)
        np.testing.assert_array_equal(image.array[:, :, 3, 3:], the_phantom.image[:, :, 3, 3:])
        np.testing.assert_array_equal(image.array[:, :, 3, :2], the_phantom.image[:, :, 3, :2])

    @pytest.mark.parametrize("count", [4, 9])
    def test_by_its_protocol_is_resampled_over_the_same_heartbeat(self, tmp_path, the_phantom, count):
        write_cine(tmp_path, the_phantom, skip=[(2, frame) for frame in range(FRAMES)])
        interval = STEP * FRAMES
        for phase in range(count):
            share = (phase + 0.5) / count
            pixels = np.full((64, 64), round(1000 * share), np.int16)
            fields = {"TriggerTime": f"{share * interval:.2f}", "SeriesInstanceUID": SERIES, "SliceThickness": 8}
            write_image_file(tmp_path / f"x{phase}", pixels, slice_affine(the_phantom, 2), number=900 + phase, **fields)
        image = read_image(tmp_path)
        assert image.array.shape[3] == FRAMES
        shares = image.array[0, 0, 2] / 1000
        assert np.abs(shares - (np.arange(FRAMES) + 0.5) / FRAMES).max() <= 0.5 / count + 1e-3
        np.testing.assert_array_equal(np.delete(image.array, 2, axis=2), np.delete(the_phantom.image, 2, axis=2))
        assert f"slice 3 of {SLICES} has {count} of 6 phases" in said(image)

    def test_at_the_end_of_the_stack_is_left_out_where_it_has_next_to_none(self, tmp_path, the_phantom):
        write_cine(tmp_path, the_phantom, skip=[(0, frame) for frame in range(1, FRAMES)])
        image = read_image(tmp_path)
        np.testing.assert_array_equal(image.array, the_phantom.image[:, :, 1:])
        np.testing.assert_allclose(image.affine, slice_affine(the_phantom, 1), atol=1e-4)
        assert f"left out: slice 1 of {SLICES} has 1 of 6 phases" in image.notes


class TestASeries:
    def test_is_described(self, a_folder):
        (series,) = DicomFolder.read(a_folder).series
        assert isinstance(series, DicomSeries)
        assert (series.number, series.kind, series.slices, series.phases) == (1, "short-axis cine", SLICES, FRAMES)
        assert series.spacing == pytest.approx((3.0, 3.0, 10.0), abs=1e-3)
        assert series.gap == pytest.approx(2.0, abs=1e-3)
        assert series.reason == "5 parallel slices, 6 phases, oblique, across the heart's usual axis"

    def test_leaves_out_the_slice_that_lies_off_the_others(self, a_copy, the_phantom):
        """A single slice measured in between, in the series of the stack."""
        affine = slice_affine(the_phantom, 1)
        affine[:3, 3] += 0.4 * affine[:3, 2]
        for frame in range(FRAMES):
            fields = {"TriggerTime": trigger_time(1, frame), "SliceThickness": 8}
            write_image_file(
                a_copy / f"x{frame}", the_phantom.image[..., 1, frame], affine, number=90 + frame, **fields
            )
        (series,) = DicomFolder.read(a_copy).series
        assert series.notes == ["left out: 1 slice off the even spacing of the other 5"]
        image = read_image(a_copy)
        assert_is_the_phantom(image, the_phantom)
        assert series.notes[0] in image.notes


class TestAFolderThatIsBroken:
    def refused(self, folder: Path, message: str) -> None:
        with pytest.raises(CardiacSegError, match=message) as caught:
            read_image(folder)
        assert "\n" not in str(caught.value)

    def test_by_a_truncated_image_names_it(self, a_copy):
        path = a_copy / "03-02.dcm"
        path.write_bytes(path.read_bytes()[:-500])
        self.refused(a_copy, r"03-02\.dcm: cannot be read as DICOM .*copy it again")

    def test_by_a_slice_that_lacks_says_so(self, a_copy):
        for path in a_copy.glob("02-*"):
            path.unlink()
        self.refused(a_copy, r"make no even stack \(\d\.\d mm off\); copy the missing slices")

    def test_holds_no_short_axis_says_what_it_holds(self, tmp_path, the_phantom):
        write_long_axis(tmp_path, the_phantom)
        self.refused(tmp_path, r"no short-axis cine among 2 series \(long-axis cine\); list them by `cardiacseg dicom")

    def test_holds_directions_that_make_no_volume_says_so(self, tmp_path, the_phantom):
        write_localizer(tmp_path, the_phantom)
        (series,) = DicomFolder.read(tmp_path).series
        with pytest.raises(CardiacSegError, match=r"series 1 .*: its slices are not parallel; choose another series"):
            read_dicom_cine(series)

    def test_holds_reports_alone_says_so(self, tmp_path):
        write_report(tmp_path / "SR1")
        self.refused(tmp_path, "no DICOM image with a place in space in it .*1 DICOM file without an image")

    def test_holds_no_dicom_is_no_image(self, tmp_path):
        (tmp_path / "a.txt").write_text("a")
        self.refused(tmp_path, "is a folder; name an image in it")
        with pytest.raises(CardiacSegError, match=r"no DICOM files.*choose another folder"):
            DicomFolder.read(tmp_path)

    def test_is_one_slice_asks_for_the_folder(self, a_folder):
        self.refused(a_folder / "00-00.dcm", "is one image of a DICOM series; give the folder with all of them")


def points_of(image: sitk.Image, indices: list[tuple[int, ...]]) -> np.ndarray:
    """Where ITK, and so Slicer, places voxels: LPS millimeters."""
    return np.array([image.TransformIndexToPhysicalPoint([int(i) for i in index])[:3] for index in indices])


def itk_series(paths: list[Path]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    return reader.Execute()


def assert_lies_as_itk_puts_it(image: sitk.Image, volume: np.ndarray, path: Path) -> None:
    """A NIfTI cine has the voxels of a volume that ITK reads from DICOM where that has them."""
    written = sitk.ReadImage(str(path))
    corners = list(np.ndindex(2, 2, 2))
    last = np.array(image.GetSize()) - 1
    ours = points_of(written, [(*np.multiply(corner, last), 0) for corner in corners])
    theirs = points_of(image, [tuple(np.multiply(corner, last)) for corner in corners])
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    np.testing.assert_array_equal(volume, sitk.GetArrayFromImage(image).T)


def test_a_cine_written_as_nifti_lies_where_itk_puts_the_dicom_files(a_folder, tmp_path):
    image = read_image(a_folder)
    write_image(tmp_path / "cine.nii.gz", image)
    for frame in (0, FRAMES - 1):
        files = [a_folder / f"{level:02d}-{frame:02d}.dcm" for level in range(SLICES)]
        assert_lies_as_itk_puts_it(itk_series(files), image.array[..., frame], tmp_path / "cine.nii.gz")
    found = read_image(tmp_path / "cine.nii.gz")
    np.testing.assert_allclose(found.frame_times, image.frame_times, atol=0.01)
    assert found.heart_rate == image.heart_rate


@pytest.mark.data
class TestRealPatients:
    @pytest.fixture(params=[("SC-HF-I-1", 12, 79), ("SC-HF-I-2", 13, 86)], ids=lambda each: each[0])
    def a_patient(self, request: pytest.FixtureRequest, real_data: Path) -> tuple[Path, int, int, Image]:
        name, slices, heart_rate = request.param
        folder = real_data / "sunnybrook" / name
        if not folder.is_dir():
            pytest.skip("no Sunnybrook patients among the real cases")
        return folder, slices, heart_rate, read_image(folder)

    def test_are_short_axis_cines(self, a_patient):
        folder, slices, _, image = a_patient
        (series,) = DicomFolder.read(folder).series
        assert (series.kind, series.slices, series.phases, series.gap) == ("short-axis cine", slices, 20, 0)
        assert image.array.shape == (256, 256, slices, 20)
        assert not image.notes

    def test_have_times_and_heart_rates(self, a_patient):
        _, _, heart_rate, image = a_patient
        assert image.heart_rate == pytest.approx(heart_rate, abs=0.5)
        beat = 60_000 / image.heart_rate
        np.testing.assert_allclose(image.frame_times / beat, (np.arange(20) + 0.5) / 20, atol=0.002)

    def test_lie_as_nifti_where_itk_puts_their_files(self, a_patient, tmp_path):
        folder, slices, _, image = a_patient
        headers = [(pydicom.dcmread(path, stop_before_pixels=True), path) for path in folder.rglob("*.dcm")]
        normal = np.linalg.inv(image.affine)[2, :3] * [-1, -1, 1]
        first = [each for each in headers if float(each[0].TriggerTime) < 25]
        files = [path for _, path in sorted(first, key=lambda each: np.dot(normal, each[0].ImagePositionPatient))]
        assert len(files) == slices
        write_image(tmp_path / "cine.nii", image)
        assert_lies_as_itk_puts_it(itk_series(files), image.array[..., 0], tmp_path / "cine.nii")
