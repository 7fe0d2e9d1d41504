"""Sunnybrook: a DICOM cine and contours in text files become volumes with labels, in every arrangement they come in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid
from scipy.ndimage import gaussian_filter, map_coordinates

import dicoms_made
from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.datasets import sunnybrook
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.sunnybrook import fill_contour, read_contour
from CardiacSegLib.dicom.headers import read_headers
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.geometry import voxel_spacing
from CardiacSegLib.phantom import Phantom
from dicoms_made import SERIES, a_scan, write_contours, write_image_file

FRAMES, SLICES = 6, 5
NAME = "SC-HF-NI-7"


def number_of(level: int, frame: int) -> int:
    return level * FRAMES + frame + 1


def write_cine(folder: Path, phantom: Phantom, name: str = "{number}.dcm", **fields: object) -> None:
    """Write the phases of a slice one after the other; each slice has a heartbeat of its own."""
    dicoms_made.write_cine(folder, phantom, lambda level, frame: name.format(number=number_of(level, frame)), **fields)


@pytest.fixture(scope="session")
def the_phantom() -> Phantom:
    return a_scan(FRAMES, SLICES)


@pytest.fixture(scope="session")
def a_sunnybrook_folder(the_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient, contours beside the images."""
    folder = tmp_path_factory.mktemp("sunnybrook")
    write_cine(folder / NAME / "DICOM", the_phantom)
    write_contours(folder / NAME / "i-contours", folder / NAME / "o-contours", the_phantom)
    return folder


@pytest.fixture
def a_patient(a_sunnybrook_folder: Path, tmp_path: Path) -> Path:
    """A patient that a test may spoil."""
    return Path(shutil.copytree(a_sunnybrook_folder / NAME, tmp_path / NAME))


def contour_of(patient: Path, level: int, frame: int, kind: str = "i") -> Path:
    return patient / f"{kind}-contours" / f"IM-0001-{number_of(level, frame):04d}-{kind}contour-manual.txt"


def expected_labels(phantom: Phantom, frame: int, *names: str) -> np.ndarray:
    labels = phantom.labels[..., frame]
    return np.where(np.isin(labels, [CANONICAL[name] for name in names]), labels, 0)


class TestThePatient:
    def test_has_a_case_for_each_contoured_phase_ed_first(self, a_sunnybrook_folder, the_phantom):
        assert sunnybrook.recognizes(a_sunnybrook_folder)
        cases = sunnybrook.find_cases(a_sunnybrook_folder)
        assert [(case.name, case.frame, case.group) for case in cases] == [
            (f"{NAME}_ED", the_phantom.ed_frame, "HF-NI"),
            (f"{NAME}_ES", the_phantom.es_frame, "HF-NI"),
        ]
        assert cases[0].image == a_sunnybrook_folder / NAME / "DICOM"
        assert cases[0].labels == a_sunnybrook_folder / NAME

    def test_has_the_structures_that_are_drawn(self, a_sunnybrook_folder):
        assert [set(case.convention) for case in sunnybrook.find_cases(a_sunnybrook_folder)] == [{"LV", "MYO"}, {"LV"}]

    def test_reads_as_the_volumes_that_were_imaged(self, a_sunnybrook_folder, the_phantom):
        for case, names in zip(sunnybrook.find_cases(a_sunnybrook_folder), (("LV", "MYO"), ("LV",))):
            image, labels = read_case(case, CANONICAL)
            np.testing.assert_array_equal(image.array, the_phantom.image[..., case.frame])
            np.testing.assert_allclose(image.affine, the_phantom.affine, atol=1e-4)
            np.testing.assert_array_equal(labels, expected_labels(the_phantom, case.frame, *names))

    def test_has_no_heart_where_nothing_is_drawn(self, a_patient, the_phantom):
        contour_of(a_patient, 2, the_phantom.es_frame).unlink()
        _, labels = read_case(sunnybrook.find_cases(a_patient.parent)[1], CANONICAL)
        expected = expected_labels(the_phantom, the_phantom.es_frame, "LV")
        assert expected[..., 2].any()
        expected[..., 2] = 0
        np.testing.assert_array_equal(labels, expected)

    def test_is_of_the_lv_alone_where_an_outer_contour_lacks(self, a_patient, the_phantom):
        contour_of(a_patient, 2, the_phantom.ed_frame, "o").unlink()
        ed, _ = sunnybrook.find_cases(a_patient.parent)
        assert set(ed.convention) == {"LV"}
        _, labels = read_case(ed, CANONICAL)
        np.testing.assert_array_equal(labels, expected_labels(the_phantom, the_phantom.ed_frame, "LV"))

    def test_is_at_ed_where_the_cavity_is_largest_not_where_numbers_are_lowest(self, tmp_path, the_phantom):
        images, labels = the_phantom.image[..., ::-1], the_phantom.labels[..., ::-1]
        frames = {"ed_frame": FRAMES - 1 - the_phantom.ed_frame, "es_frame": FRAMES - 1 - the_phantom.es_frame}
        late = replace(the_phantom, image=images, labels=labels, **frames)
        write_cine(tmp_path / NAME / "DICOM", late)
        write_contours(tmp_path / NAME, tmp_path / NAME, late)
        cases = sunnybrook.find_cases(tmp_path)
        assert [(case.phase, case.frame) for case in cases] == [("ED", late.ed_frame), ("ES", late.es_frame)]

    def test_has_no_phase_where_there_is_nothing_to_compare(self, a_patient, the_phantom):
        for level in range(SLICES):
            contour_of(a_patient, level, the_phantom.es_frame).unlink(missing_ok=True)
        (case,) = sunnybrook.find_cases(a_patient.parent)
        assert (case.phase, case.name) == ("", NAME)

    def test_may_be_given_alone(self, a_patient):
        assert [case.patient for case in sunnybrook.find_cases(a_patient)] == [NAME, NAME]


class TestTheImages:
    def test_are_sorted_by_place_and_time_not_by_number(self, tmp_path, the_phantom):
        """A left-handed grid, slices counted from the other end: read, it is right-handed, its labels with it."""
        images, labels = the_phantom.image[:, :, ::-1], the_phantom.labels[:, :, ::-1]
        affine = the_phantom.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, SLICES - 1], [0, 0, 0, 1]])
        turned = replace(the_phantom, image=images, labels=labels, affine=affine)
        write_cine(tmp_path / NAME / "DICOM", turned)
        write_contours(tmp_path / NAME, tmp_path / NAME, turned)
        image, labels = read_case(sunnybrook.find_cases(tmp_path)[0], CANONICAL)
        np.testing.assert_array_equal(image.array, the_phantom.image[..., the_phantom.ed_frame])
        np.testing.assert_allclose(image.affine, the_phantom.affine, atol=1e-4)
        np.testing.assert_array_equal(labels, expected_labels(the_phantom, the_phantom.ed_frame, "LV", "MYO"))

    @pytest.mark.filterwarnings("error")
    def test_may_have_identifiers_with_leading_zeros(self, a_sunnybrook_folder):
        assert read_headers(sorted(a_sunnybrook_folder.rglob("*.dcm")))[0].series == SERIES
        read_case(sunnybrook.find_cases(a_sunnybrook_folder)[0], CANONICAL)

    def test_may_be_there_twice(self, a_patient):
        before = sunnybrook.find_cases(a_patient.parent)
        shutil.copy(a_patient / "DICOM" / "3.dcm", a_patient / "DICOM" / "copy.dcm")
        assert sunnybrook.find_cases(a_patient.parent) == before

    def test_of_other_series_are_left_out(self, a_patient, the_phantom):
        """Localizers, long axes and a perfusion series have images of the same numbers."""
        before = sunnybrook.find_cases(a_patient.parent)
        flipped = the_phantom.affine[:, [0, 2, 1, 3]]
        for number in range(1, FRAMES * SLICES + 1):
            pixels, path = the_phantom.image[:, :, 0, 0], a_patient / "DICOM" / f"other-{number}.dcm"
            moved = the_phantom.affine + np.outer(the_phantom.affine[:, 2], [0, 0, 0, number % 3])
            alike = {"number": number, "TriggerTime": number}
            write_image_file(path, pixels, moved, **alike, SeriesInstanceUID=generate_uid())
            write_image_file(path.with_name(f"perfusion-{number}.dcm"), pixels, moved, **alike, SeriesInstanceUID="1.2")
            if number < 9:
                long = path.with_name(f"long-{number}.dcm")
                write_image_file(long, pixels, flipped, number=number, SeriesInstanceUID="1.3")
        assert sunnybrook.find_cases(a_patient.parent) == before

    def test_that_lack_in_a_slice_do_not_move_the_others_in_time(self, a_patient, the_phantom):
        """Slice 2 lacks a phase before ES, slice 0 that of ES itself, which then shows its nearest."""
        early, es = 1, the_phantom.es_frame
        assert early < es
        contour_of(a_patient, 0, es).unlink(missing_ok=True)
        for level, frame in ((2, early), (0, es)):
            (a_patient / "DICOM" / f"{number_of(level, frame)}.dcm").unlink()
        ed, es_case = sunnybrook.find_cases(a_patient.parent)
        assert (ed.frame, es_case.frame) == (the_phantom.ed_frame, es)
        image, labels = read_case(es_case, CANONICAL)
        np.testing.assert_array_equal(image.array[..., 1:], the_phantom.image[:, :, 1:, es])
        np.testing.assert_array_equal(image.array[..., 0], the_phantom.image[:, :, 0, es - 1])
        np.testing.assert_array_equal(labels[..., 1:], expected_labels(the_phantom, es, "LV")[..., 1:])


def challenge(patient: Path) -> None:
    """The arrangement of 2009: images and contours in trees of their own, numbers of patients padded in one."""
    root = patient.parent
    (root / "challenge_training" / NAME).mkdir(parents=True)
    for path in (patient / "DICOM").iterdir():
        path.rename(root / "challenge_training" / NAME / f"IM-0523-{int(path.stem):04d}.dcm")
    experts = root / "ContoursPart3" / "TrainingDataContours" / "SC-HF-NI-07" / "contours-manual" / "IRCCI-expert"
    experts.mkdir(parents=True)
    for path in patient.glob("?-contours/*"):
        path.rename(experts / path.name)
    shutil.rmtree(patient)


def linked(patient: Path) -> None:
    """The arrangement with a table that links images to contours."""
    root = patient.parent
    (root / "link.csv").write_text(f"patient_id,original_id\nSCD0000101,SC-N-1\nSCD0001501,{NAME}\n")
    (root / "dicoms").mkdir()
    (patient / "DICOM").rename(root / "dicoms" / "SCD0001501")
    (root / "contourfiles").mkdir()
    patient.rename(root / "contourfiles" / NAME)


def atlas(patient: Path) -> None:
    """The arrangement of the Cardiac Atlas Project: series in folders, a table of patients with a byte order mark."""
    challenge(patient)
    root = patient.parent
    (root / "scd_patientdata.csv").write_text(f"\ufeffPatientID,OriginalID,Age\nSCD0001501,{NAME},60\n", "utf-8")
    (root / "SCD_IMAGES_02").mkdir()
    (root / "challenge_training" / NAME).rename(root / "SCD_IMAGES_02" / "CINESAX_300")
    (root / "SCD_IMAGES_02" / "SCD0001501").mkdir()
    (root / "SCD_IMAGES_02" / "CINESAX_300").rename(root / "SCD_IMAGES_02" / "SCD0001501" / "CINESAX_300")


@pytest.mark.parametrize("arrange", [challenge, linked, atlas])
def test_every_arrangement_gives_the_same_cases(a_patient, the_phantom, arrange):
    root = a_patient.parent
    arrange(a_patient)
    cases = sunnybrook.find_cases(root)
    assert [(case.name, case.frame) for case in cases] == [
        (f"{NAME}_ED", the_phantom.ed_frame),
        (f"{NAME}_ES", the_phantom.es_frame),
    ]
    _, labels = read_case(cases[0], CANONICAL)
    np.testing.assert_array_equal(labels, expected_labels(the_phantom, the_phantom.ed_frame, "LV", "MYO"))


def spoil_contour(text: str) -> Callable[[Path, Phantom], object]:
    return lambda patient, phantom: contour_of(patient, 2, phantom.ed_frame).write_text(text)


def lose_image(patient: Path, phantom: Phantom) -> None:
    (patient / "DICOM" / f"{number_of(2, phantom.ed_frame)}.dcm").unlink()


def lose_images(patient: Path, phantom: Phantom) -> None:
    shutil.rmtree(patient / "DICOM")


def lose_contours(patient: Path, phantom: Phantom) -> None:
    for path in patient.glob("?-contours/*"):
        path.unlink()


def lose_inner_contours(patient: Path, phantom: Phantom) -> None:
    shutil.rmtree(patient / "i-contours")


def draw_at_a_third_phase(patient: Path, phantom: Phantom) -> None:
    other = ({*range(FRAMES)} - {phantom.ed_frame, phantom.es_frame}).pop()
    shutil.copy(contour_of(patient, 2, phantom.es_frame), contour_of(patient, 2, other))


def draw_twice(patient: Path, phantom: Phantom) -> None:
    (patient / "contours-manual").mkdir()
    shutil.copy(contour_of(patient, 2, phantom.ed_frame), patient / "contours-manual")


def pad_a_copy(patient: Path, phantom: Phantom) -> None:
    shutil.copytree(patient / "i-contours", patient.parent / "SC-HF-NI-007" / "i-contours")


def number_twice(patient: Path, phantom: Phantom) -> None:
    write_image_file(patient / "DICOM" / "other.dcm", phantom.image[:, :, 0, 0], phantom.affine, number=3)


def copy_series(patient: Path, phantom: Phantom) -> None:
    write_cine(patient / "DICOM", phantom, "again-{number}.dcm", SeriesInstanceUID="1.2.3")


def add_text(patient: Path, phantom: Phantom) -> None:
    (patient / "DICOM" / "readme.dcm").write_text("not an image")


def break_table(patient: Path, phantom: Phantom) -> None:
    (patient.parent / "link.csv").write_text("from,to\na,b\n")


class TestAFolderThatIsBroken:
    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (spoil_contour("1.0 two\n3 4\n5 6\n"), r"icontour-manual\.txt: is no contour .*two numbers a line"),
            (spoil_contour("1 2 3\n4 5 6\n7 8 9\n"), r"icontour-manual\.txt: is no contour \(numbers of shape"),
            (spoil_contour("1 2\n3\n5 6\n"), r"icontour-manual\.txt: is no contour"),
            (spoil_contour("1 2\n3 4\n"), r"icontour-manual\.txt: is no contour"),
            (spoil_contour("nan 2\n3 4\n5 6\n"), r"icontour-manual\.txt: is no contour"),
            (spoil_contour(""), r"icontour-manual\.txt: is no contour"),
            (lose_image, r"contour-manual\.txt: no image number 13 in a series .* of SC-HF-NI-7; copy it there"),
            (lose_images, r"no DICOM files \(\.dcm\) of SC-HF-NI-7, which has contours; put them .* link\.csv"),
            (lose_contours, r"no IM-0001-0048-icontour-manual\.txt or such in it; give the folder with both"),
            (lose_inner_contours, "frame 0 of the cine has outer contours only; add inner ones"),
            (
                draw_at_a_third_phase,
                r"contours at more than two phases of the cine \(frames .*; leave those of end-dia",
            ),
            (draw_twice, r"contour-manual\.txt: the same contour is in .*; leave one of them"),
            (pad_a_copy, "SC-HF-NI-7 has contours in .*; leave one"),
            (number_twice, r"\.dcm: is image 3, as .*\.dcm is; take one away"),
            (copy_series, r"its contours fit the series of .* as well as that of .*; leave the short-axis cine"),
            (add_text, r"readme\.dcm: cannot be read as DICOM .*; copy it again, or take it away"),
            (break_table, r"link\.csv: is no table of patients .* columns patient_id and original_id"),
        ],
    )
    def test_says_where(self, a_patient, the_phantom, spoil, message):
        spoil(a_patient, the_phantom)
        with pytest.raises(CardiacSegError, match=message):
            sunnybrook.find_cases(a_patient.parent)

    def test_takes_no_other_labels(self, a_sunnybrook_folder):
        with pytest.raises(CardiacSegError, match="--labels 1=RV: the labels of Sunnybrook are 1=LV,2=MYO"):
            sunnybrook.find_cases(a_sunnybrook_folder, {"RV": 1})

    def test_is_not_one_that_holds_none(self, an_acdc_folder):
        assert not sunnybrook.recognizes(an_acdc_folder)


class TestACaseThatIsBroken:
    @pytest.fixture
    def a_case(self, a_patient: Path) -> Case:
        return sunnybrook.find_cases(a_patient.parent)[0]

    def refused(self, case: Case, message: str) -> None:
        with pytest.raises(CardiacSegError, match=message):
            case.read()

    def test_by_a_truncated_image_names_it(self, a_case):
        path, _ = a_case.slices[1]
        path.write_bytes(path.read_bytes()[:-500])
        self.refused(a_case, rf"{path.name}: cannot be read as DICOM")

    def test_by_a_contour_that_leaves_its_image_names_it(self, a_case):
        _, contours = a_case.slices[2]
        contours.inner.write_text("1 2\n90 2\n90 90\n")
        self.refused(a_case, r"icontour-manual\.txt: leaves its image of 64 x 64 pixels; it belongs to another one")

    def test_by_a_slice_that_lacks_names_its_neighbor(self, a_case):
        case = replace(a_case, slices=a_case.slices[:1] + a_case.slices[2:])
        self.refused(case, r"\.dcm: its slice and the other 3 make no even stack \(6\.7 mm off\); copy the missing")


class TestFilling:
    def test_takes_the_pixels_whose_center_is_inside(self):
        square = np.array([[1.2, 2.2], [4.8, 2.2], [4.8, 4.8], [1.2, 4.8]])
        filled = fill_contour(square, (8, 7))
        assert sorted(zip(*np.nonzero(filled))) == [(x, y) for x in (1, 2, 3, 4) for y in (2, 3, 4)]

    @pytest.mark.parametrize("corner", [(1.5, 2.5), (1.0, 2.0), (1.5, 2.0)])
    def test_keeps_the_area_of_a_contour_through_centers(self, corner):
        square = np.add(corner, [[0, 0], [4, 0], [4, 3], [0, 3]])
        assert np.count_nonzero(fill_contour(square, (9, 9))) == 12

    @pytest.mark.parametrize(("step", "moved"), [(0.0, 0.02), (0.5, 0.27)])
    def test_keeps_area_and_place_of_an_ellipse(self, step, moved):
        """Drawn exactly, and on the grid of half pixels on which the experts drew."""
        angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
        errors = []
        for center in np.random.default_rng(0).uniform(28, 36, (20, 2)):
            points = center + np.stack([14 * np.cos(angles), 9 * np.sin(angles)], axis=1)
            filled = fill_contour(np.round(points / step) * step if step else points, (64, 64))
            centers = np.argwhere(filled) + 0.5
            errors.append([len(centers) / (np.pi * 14 * 9) - 1, *(centers.mean(axis=0) - center)])
        area, *shift = np.mean(errors, axis=0)
        assert abs(area) < 0.005
        assert np.abs(shift).max() < moved


@pytest.fixture(scope="session")
def real_sunnybrook(real_data: Path) -> Path:
    folder = real_data / "sunnybrook"
    if not folder.is_dir():
        pytest.skip("no Sunnybrook patients among the real cases")
    return folder


@pytest.fixture(scope="session")
def the_real_cases(real_sunnybrook: Path) -> list[Case]:
    return sunnybrook.find_cases(real_sunnybrook)


@pytest.mark.data
class TestRealPatients:
    def test_have_the_phases_that_were_contoured(self, the_real_cases):
        assert [(case.name, case.frame, set(case.convention)) for case in the_real_cases] == [
            ("SC-HF-I-1_ED", 18, {"LV", "MYO"}),
            ("SC-HF-I-1_ES", 7, {"LV"}),
            ("SC-HF-I-2_ED", 19, {"LV", "MYO"}),
            ("SC-HF-I-2_ES", 6, {"LV"}),
        ]

    def test_have_true_spacing_and_plausible_volumes(self, the_real_cases):
        for ed, es in zip(the_real_cases[::2], the_real_cases[1::2]):
            volumes = []
            for case in (ed, es):
                image, labels = read_case(case, CANONICAL)
                assert image.array.shape[:2] == (256, 256)
                np.testing.assert_allclose(voxel_spacing(image.affine), (1.367188, 1.367188, 10.0), atol=2e-3)
                volumes.append(
                    np.count_nonzero(labels == CANONICAL["LV"]) * np.prod(voxel_spacing(image.affine)) / 1000
                )
            assert 150 < volumes[0] < 450, "mL, of patients whose hearts fail"
            assert 0.05 < 1 - volumes[1] / volumes[0] < 0.4, "ejection fraction"

    def test_lose_no_area_when_contours_are_filled(self, real_sunnybrook):
        paths = sorted(real_sunnybrook.rglob("*contour-manual.txt"))
        points = [read_contour(path) for path in paths]
        areas = np.array([sunnybrook._area(contour) for contour in points])
        filled = np.array([np.count_nonzero(fill_contour(contour, (256, 256))) for contour in points])
        assert np.abs((filled - areas) / areas).max() < 0.02
        assert abs((filled - areas).mean()) < 2

    def test_show_that_contours_count_from_the_corner_of_the_image(self, the_real_cases):
        """Moved by half a pixel toward the first one, contours fit the borders of the blood best.

        Where along its normal the blood ends says for each point how far off the contour is there. A shift of the
        whole contour, apart from drawing it too wide or too narrow, is what is common to all points.
        """
        shifts = np.array([shift_to_the_border(*pair) for pair in inner_contours(the_real_cases)])
        assert len(shifts) == 36
        np.testing.assert_allclose(shifts.mean(axis=0), -0.5, atol=0.3)
        assert shifts.mean() == pytest.approx(-0.5, abs=0.15)


def inner_contours(cases: list[Case]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image (columns, rows) and inner contour of every slice that has one."""
    for case in cases:
        image, _ = case.read()
        for level, (_, contours) in enumerate(case.slices):
            if contours.inner:
                yield image.array[..., level].astype(float), read_contour(contours.inner)


def shift_to_the_border(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """By how many columns and rows a contour, read as indices of pixels, would have to move to lie on the border."""
    points = gaussian_filter(points, (3, 0), mode="wrap")
    tangents = np.roll(points, -2, axis=0) - np.roll(points, 2, axis=0)
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1) / np.linalg.norm(tangents, axis=1, keepdims=True)
    normals *= np.sign(np.sum((points - points.mean(axis=0)) * normals))
    distances = np.arange(-4, 4.01, 0.125)
    places = points + distances[:, None, None] * normals
    fall = -np.gradient(map_coordinates(gaussian_filter(pixels, 0.7), places.transpose(2, 0, 1), order=1), axis=0)
    steep = fall.max(axis=0) > 0.5 * np.median(fall.max(axis=0))
    errors = distances[fall.argmax(axis=0)][steep]
    unknowns = np.column_stack([np.ones(len(errors)), normals[steep]])
    weights = np.ones(len(errors))
    for _ in range(30):  # least absolute errors: papillary muscles make some large ones
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(unknowns * root[:, None], errors * root, rcond=None)[0]
        weights = 1 / np.maximum(0.2, np.abs(errors - unknowns @ solution))
    return solution[1:]
