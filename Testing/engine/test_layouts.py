"""Layouts on disk: each is recognized, found whole, read in its own numbers, and its gaps are named."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import layouts_made as made
from CardiacSegLib.anatomy import ACDC, CAMUS, CANONICAL
from CardiacSegLib.datasets import camus, layouts, mnms, pairs
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, read_image, write_image

SPREAD = (0, 85, 170, 255)


def found(cases: list[Case], *attributes: str) -> list[tuple[str, ...]]:
    return [tuple(getattr(case, attribute) for attribute in attributes) for case in cases]


def assert_is_phase(case: Case, beat, phase: str, slices=slice(None)) -> None:
    """A case reads as that phase of a phantom."""
    image, labels = read_case(case, CANONICAL if case.convention != CAMUS else CAMUS)
    frame = made.phases(beat)[phase]
    np.testing.assert_array_equal(image.array, beat.image[:, :, slices, frame])
    np.testing.assert_array_equal(labels, beat.labels[:, :, slices, frame])


class TestAFolder:
    def test_is_recognized_by_the_names_in_it(self, an_acdc_folder, tmp_path):
        made.write_mnms_phases(tmp_path / "mnms", "A0S9V9")
        made.write_camus_patient(tmp_path / "camus", "patient0001")
        made.write_picture_pair(tmp_path / "flat" / "cmr1.png", tmp_path / "flat" / "cmr1_mask.png")
        made.write_picture_pair(tmp_path / "two" / "image" / "a1.png", tmp_path / "two" / "mask" / "a1.png")
        assert layouts.recognize(an_acdc_folder) == "acdc"
        assert [layouts.recognize(tmp_path / name) for name in ("mnms", "camus", "flat", "two")] == [
            *("mnms", "camus", "pairs", "pairs")
        ]

    def test_gives_its_cases_without_being_told_its_layout(self, an_acdc_folder):
        assert layouts.find_cases(an_acdc_folder) == layouts.find_cases(an_acdc_folder, "acdc", ACDC)

    def test_of_acdc_is_known_to_show_a_person_twice_and_no_other_is(self):
        assert layouts.same_images("acdc") == (("patient074", "patient076"),)
        assert not any(layouts.same_images(name) for name in layouts.LAYOUTS if name != "acdc")

    def test_without_a_layout_gets_the_list_of_those_there_are(self, tmp_path):
        (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
        with pytest.raises(CardiacSegError, match="no layout that is known; arrange it as one of them: acdc ") as error:
            layouts.recognize(tmp_path)
        assert all(f"{name} (" in str(error.value) for name in layouts.LAYOUTS)

    def test_one_too_high_says_which_to_give(self, an_acdc_folder, tmp_path):
        shutil.copytree(an_acdc_folder / "patient001", tmp_path / "training" / "patient001")
        with pytest.raises(CardiacSegError, match=r"training in it has one; give that folder"):
            layouts.find_cases(tmp_path)

    def test_that_does_not_exist_is_said(self, tmp_path):
        for layout in ("", "acdc"):
            with pytest.raises(CardiacSegError, match="none: does not exist"):
                layouts.find_cases(tmp_path / "none", layout)

    def test_with_a_layout_that_does_not_exist_is_said(self, tmp_path):
        with pytest.raises(CardiacSegError, match="layout 'adcd' is not known; choose from acdc, mnms"):
            layouts.find_cases(tmp_path, "adcd")

    @pytest.mark.parametrize("layout", ["acdc", "mnms", "camus", "pairs"])
    def test_without_the_layout_it_is_said_to_have_is_an_error(self, tmp_path, layout):
        with pytest.raises(CardiacSegError, match=f"{tmp_path.name}: no "):
            layouts.find_cases(tmp_path, layout)

    @pytest.mark.parametrize("layout", ["acdc", "mnms", "camus"])
    def test_whose_layout_fixes_the_labels_takes_no_others(self, tmp_path, layout):
        with pytest.raises(CardiacSegError, match=r"--labels 1=LA,2=LV: the labels of .* are 1="):
            layouts.find_cases(tmp_path, layout, {"LV": 2, "LA": 1})


class TestTheLayoutOfMandMs:
    @pytest.fixture
    def a_folder(self, tmp_path) -> Path:
        """Two patients as published, with the table two folders above the patients."""
        made.write_mnms_cine(tmp_path / "Training" / "Labeled", "B2F4K5", 1)
        made.write_mnms_cine(tmp_path / "Validation", "A0S9V9", 2)
        rows = [made.mnms_row("A0S9V9", 2, "B"), made.mnms_row("B2F4K5", 1, "A")]
        made.write_table(tmp_path / "M&Ms Dataset Information.csv", rows)
        return tmp_path

    def test_gives_the_frames_of_the_cine_that_the_table_names(self, a_folder):
        cases = mnms.find_cases(a_folder)
        assert found(cases, "patient", "phase", "group", "part") == [
            *(("A0S9V9", phase, "B", "val") for phase in ("ED", "ES")),
            *(("B2F4K5", phase, "A", "train") for phase in ("ED", "ES")),
        ]
        for case, seed in zip(cases, (2, 2, 1, 1)):
            assert_is_phase(case, made.a_beat(seed), case.phase)

    def test_finds_the_table_above_the_folder(self, a_folder):
        cases = mnms.find_cases(a_folder / "Training" / "Labeled")
        assert found(cases, "patient", "group", "vendor", "part") == [("B2F4K5", "A", "Some", "")] * 2

    def test_numbers_structures_otherwise_than_acdc(self, a_folder):
        case = mnms.find_cases(a_folder)[0]
        assert case.convention == CANONICAL
        _, labels = read_case(case, ACDC)
        np.testing.assert_array_equal(labels == ACDC["RV"], case.read()[1] == 3)

    def test_takes_phases_that_stand_in_files_of_their_own_rather_than_the_cine(self, tmp_path):
        made.write_mnms_cine(tmp_path, "A0S9V9")
        made.write_mnms_phases(tmp_path / "A0S9V9", "A0S9V9")
        cases = mnms.find_cases(tmp_path)
        assert [case.name for case in cases] == ["A0S9V9_ED", "A0S9V9_ES"]
        for case in cases:
            assert case.frame is None
            assert_is_phase(case, made.a_beat(), case.phase)

    def test_of_the_second_challenge_has_short_axes_only_and_numbers_without_zeros(self, tmp_path):
        patient = tmp_path / "dataset" / "001"
        for axis in ("SA", "LA"):
            made.write_mnms_phases(patient, "001", axis=axis)
        rows = [{"SUBJECT_CODE": 1, "DISEASE": "FALL", "SCANNER": "X"}]
        made.write_table(tmp_path / "dataset_information.csv", rows, delimiter=";")
        cases = mnms.find_cases(tmp_path)
        assert found(cases, "name", "group") == [("001_ED", "FALL"), ("001_ES", "FALL")]
        assert [case.image.name for case in cases] == ["001_SA_ED.nii.gz", "001_SA_ES.nii.gz"]

    def test_needs_no_table_where_all_files_lie_in_one_folder_by_phase(self, tmp_path):
        made.write_mnms_phases(tmp_path, "H1N8S6")
        assert found(mnms.find_cases(tmp_path), "name", "group") == [("H1N8S6_ED", ""), ("H1N8S6_ES", "")]

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda d: next(d.glob("*.csv")).unlink(), r"_sa_gt\.nii\.gz: is a cine, and no table with the columns"),
            (
                lambda d: made.write_table(next(d.glob("*.csv")), [made.mnms_row("B2F4K5")]),
                r"Information\.csv: gives no ED and ES frame for A0S9V9",
            ),
            (
                lambda d: made.write_table(next(d.glob("*.csv")), [{"External code": "A0S9V9", "ED": "", "ES": "9"}]),
                "gives no ED and ES frame for A0S9V9",
            ),
            (
                lambda d: (d / "Validation" / "A0S9V9" / "A0S9V9_sa.nii.gz").unlink(),
                r"A0S9V9_sa\.nii\.gz: missing, though its labels",
            ),
        ],
    )
    def test_that_is_broken_says_where(self, a_folder, spoil, message):
        spoil(a_folder)
        with pytest.raises(CardiacSegError, match=message):
            mnms.find_cases(a_folder)

    def test_names_the_file_whose_cine_is_too_short(self, a_folder):
        made.write_table(next(a_folder.glob("*.csv")), [made.mnms_row("B2F4K5") | {"ES": 30}, made.mnms_row("A0S9V9")])
        case = mnms.find_cases(a_folder)[-1]
        with pytest.raises(CardiacSegError, match=r"_sa\.nii\.gz: has 4 frames, but frame 30"):
            case.read()


class TestTheLayoutOfCamus:
    def test_gives_both_views_at_ed_and_es_under_names_of_their_own(self, tmp_path):
        made.write_camus_patient(tmp_path, "patient0001")
        cases = camus.find_cases(tmp_path)
        assert [case.name for case in cases] == [
            f"patient0001_{view}_{phase}" for view in ("2CH", "4CH") for phase in ("ED", "ES")
        ]
        assert {case.patient for case in cases} == {"patient0001"}
        for case, number in zip(cases, (0, 0, 1, 1)):
            assert case.convention == CAMUS
            assert_is_phase(case, made.a_beat(), case.phase, slice(made.MIDDLE + number, made.MIDDLE + number + 1))

    @pytest.mark.parametrize("reverse", [False, True])
    def test_takes_a_phase_without_a_file_from_the_half_sequence_whichever_way_it_runs(self, tmp_path, reverse):
        made.write_camus_sequence(tmp_path, "patient0001", reverse=reverse)
        cases = camus.find_cases(tmp_path)
        assert found(cases, "name", "group") == [("patient0001_2CH_ED", "Good"), ("patient0001_2CH_ES", "Good")]
        for case in cases:
            assert_is_phase(case, made.a_beat(), case.phase, slice(made.MIDDLE, made.MIDDLE + 1))

    def test_names_a_sequence_that_is_too_short(self, tmp_path):
        made.write_camus_sequence(tmp_path, "patient0001")
        (tmp_path / "patient0001" / "Info_2CH.cfg").write_text("ED: 1\nES: 31\n", encoding="utf-8")
        with pytest.raises(CardiacSegError, match=r"half_sequence\.nii\.gz: has \d frames, but ES is frame 31"):
            camus.find_cases(tmp_path)[1].read()

    def test_is_read_as_metaimage_too(self, tmp_path):
        made.write_camus_patient(tmp_path, "patient0001", views=("4CH",), extension=".mhd")
        cases = camus.find_cases(tmp_path)
        assert [case.image.suffix for case in cases] == [".mhd", ".mhd"]
        assert_is_phase(cases[1], made.a_beat(), "ES", slice(made.MIDDLE, made.MIDDLE + 1))

    @pytest.mark.parametrize(
        ("names", "place"),
        [
            (("train.txt", "val.txt", "test.txt"), "patients"),
            (("subgroup_training.txt", "subgroup_validation.txt", "subgroup_testing.txt"), "database_split"),
        ],
    )
    def test_takes_parts_from_lists_of_patients(self, tmp_path, names, place):
        for number in (1, 2, 3, 4):
            made.write_camus_patient(tmp_path / "patients", f"patient000{number}", views=("2CH",))
        (tmp_path / place).mkdir(exist_ok=True)
        for number, name in enumerate(names, start=1):
            (tmp_path / place / name).write_text(f"patient000{number}\n\n", encoding="utf-8")
        parts = {case.patient: case.part for case in camus.find_cases(tmp_path / "patients")}
        assert list(parts.values()) == ["train", "val", "test", ""]

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda d: (d / "patient0001_2CH_ES_gt.nii.gz").unlink(), r"2CH_ES_gt\.nii\.gz: missing, and there is no"),
            (lambda d: (d / "patient0001_4CH_ED.nii.gz").unlink(), r"4CH_ED\.nii\.gz: missing"),
            (lambda d: (d / "Info_2CH.cfg").write_text("ED: 1\n"), r"Info_2CH\.cfg: no frame number for ES"),
            (
                lambda d: [(d.parent / f"{part}.txt").write_text("patient0001\n") for part in ("train", "val")],
                "patient patient0001 stands on two sides",
            ),
        ],
    )
    def test_that_is_broken_says_where(self, tmp_path, spoil, message):
        made.write_camus_patient(tmp_path, "patient0001")
        spoil(tmp_path / "patient0001")
        with pytest.raises(CardiacSegError, match=message):
            camus.find_cases(tmp_path)


class TestImagesAndMasks:
    def test_are_pairs_by_name_side_by_side_whatever_else_lies_there(self, tmp_path):
        for number in (10, 2):
            made.write_picture_pair(tmp_path / f"cmr{number}.png", tmp_path / f"cmr{number}_mask.png")
        made.write_picture(tmp_path / "overview.png", np.zeros((9, 9), np.uint8))
        cases = pairs.find_cases(tmp_path, CANONICAL)
        assert found(cases, "name", "part") == [("cmr2", ""), ("cmr10", "")]

    @pytest.mark.parametrize("mask", ["mask/a1.png", "mask/a1_mask.png", "Labels/a1_seg.png", "masks/a1.tif"])
    def test_are_pairs_by_name_in_two_folders(self, tmp_path, mask):
        made.write_picture_pair(tmp_path / "images" / "a1.png", tmp_path / mask)
        (case,) = pairs.find_cases(tmp_path, CANONICAL)
        assert (case.image, case.labels) == (tmp_path / "images" / "a1.png", tmp_path / mask)

    @pytest.mark.parametrize("names", ["{part}/image/{stem}", "image/{part}/{stem}", "{part}/{stem}"])
    def test_have_the_parts_that_folders_say(self, tmp_path, names):
        for number, part in enumerate(("train", "val", "test")):
            path = tmp_path / names.format(part=part, stem=f"a{number}.png")
            mask = names.replace("image", "mask").format(part=part, stem=f"a{number}_mask.png")
            made.write_picture_pair(path, tmp_path / mask)
        cases = pairs.find_cases(tmp_path, CANONICAL)
        assert sorted(found(cases, "name", "part")) == [("a0", "train"), ("a1", "val"), ("a2", "test")]

    @pytest.mark.parametrize(
        ("grays", "labels"),
        [
            ((0, 1, 2, 3), CANONICAL),
            (SPREAD, CANONICAL),
            ((0, 127, 255, 0), {"LV": 1, "MYO": 2}),
            ((0, 128, 255, 0), {"LV": 1, "MYO": 2}),
            ((0, 255, 0, 0), {"LV": 1}),
            ((0, 7, 200, 85), {"LV": 7, "MYO": 200, "RV": 85}),
        ],
    )
    def test_are_read_whether_masks_hold_numbers_or_grays(self, tmp_path, grays, labels):
        made.write_picture_pair(tmp_path / "a1.png", tmp_path / "a1_mask.png", grays=grays)
        (case,) = pairs.find_cases(tmp_path, labels)
        image, read = read_case(case, CANONICAL)
        gray_values, truth = made.a_slice()
        np.testing.assert_array_equal(image.array[..., 0], gray_values)
        named = np.isin(truth, [CANONICAL[name] for name in labels])
        np.testing.assert_array_equal(read[..., 0], np.where(named, truth, 0))

    @pytest.mark.parametrize("grays", [(0, 1, 2, 4), (0, 85, 170, 254), (0, 1, 170, 255)])
    def test_whose_values_fit_no_numbering_name_the_mask(self, tmp_path, grays):
        made.write_picture_pair(tmp_path / "a1.png", tmp_path / "a1_mask.png", grays=grays)
        (case,) = pairs.find_cases(tmp_path, CANONICAL)
        shown = ", ".join(map(str, grays))
        with pytest.raises(CardiacSegError, match=rf"a1_mask\.png: holds {shown}, which are neither 0, 1, 2, 3 nor"):
            case.read()

    def test_may_be_volumes(self, tmp_path):
        beat = made.a_beat()
        image, labels = (cine[..., beat.ed_frame] for cine in (beat.image, beat.labels))
        made.write_volume(tmp_path / "patient7_ED.nii.gz", image, labels, beat.affine)
        (case,) = pairs.find_cases(tmp_path, CANONICAL)
        assert case.name == "patient7_ED"
        assert_is_phase(case, beat, "ED")

    @pytest.mark.parametrize(
        ("stem", "patient", "view", "phase"),
        [
            ("cmr12", "cmr12", "", ""),
            ("patient012_slice3_ED", "patient012", "slice3", "ED"),
            ("patient012_es_3", "patient012", "3", "ES"),
            ("SC-HF-I-1_12", "SC-HF-I-1", "12", ""),
            ("H1N8S6_sa_ED", "H1N8S6", "sa", "ED"),
            ("heart_left", "heart_left", "", ""),
            ("heart_ED", "heart", "", "ED"),
        ],
    )
    def test_have_the_patient_and_phase_that_their_name_says(self, tmp_path, stem, patient, view, phase):
        made.write_picture_pair(tmp_path / f"{stem}.png", tmp_path / f"{stem}_mask.png")
        assert found(pairs.find_cases(tmp_path, CANONICAL), "patient", "view", "phase") == [(patient, view, phase)]

    def test_without_labels_that_the_person_names_say_how_to(self, tmp_path):
        made.write_picture_pair(tmp_path / "a1.png", tmp_path / "a1_mask.png")
        with pytest.raises(CardiacSegError, match=r'which number is which structure; .* --labels "1=LV,2=MYO"'):
            pairs.find_cases(tmp_path)

    @pytest.mark.parametrize(
        ("write", "message"),
        [
            ("mask/b2.png", r"b2\.png: no image b2 for this mask in"),
            ("image/b2.png", r"b2\.png: no mask b2 or b2_mask for this image in"),
            ("image/a1.jpg", r"a1\.png: a1\.jpg has the same name"),
            ("mask/a1_mask.png", r"a1_mask\.png: a1\.png has the same name"),
        ],
    )
    def test_that_are_no_pairs_are_named(self, tmp_path, write, message):
        made.write_picture_pair(tmp_path / "image" / "a1.png", tmp_path / "mask" / "a1.png")
        made.write_picture(tmp_path / write, np.zeros((9, 9), np.uint8))
        with pytest.raises(CardiacSegError, match=message):
            pairs.find_cases(tmp_path, CANONICAL)


class TestAPicture:
    GRAYS = np.arange(35, dtype=np.uint8).reshape(7, 5)  # (I, J): 7 wide, 5 high

    @pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".TIFF"])
    def test_is_one_slice_that_does_not_know_its_spacing(self, tmp_path, extension):
        made.write_picture(tmp_path / f"a{extension}", self.GRAYS)
        image = read_image(tmp_path / f"a{extension}")
        np.testing.assert_array_equal(image.array, self.GRAYS[..., None])
        np.testing.assert_array_equal(image.affine, np.diag([-1.0, -1.0, 1.0, 1.0]))
        assert not image.spacing_known

    def test_lies_where_itk_and_so_slicer_places_it(self, tmp_path):
        import SimpleITK as sitk

        made.write_picture(tmp_path / "a.png", self.GRAYS)
        as_itk = sitk.ReadImage(str(tmp_path / "a.png"))
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[..., 0], sitk.GetArrayFromImage(as_itk).T)
        assert (as_itk.GetSpacing(), as_itk.GetOrigin()) == ((1, 1), (0, 0))

    def test_in_jpeg_is_read_to_within_its_loss(self, tmp_path):
        smooth = np.linspace(0, 255, 64).astype(np.uint8)[:, None].repeat(32, axis=1)
        made.write_picture(tmp_path / "a.jpg", smooth)
        assert np.abs(read_image(tmp_path / "a.jpg").array[..., 0].astype(int) - smooth).max() < 8

    def test_keeps_sixteen_bits(self, tmp_path):
        made.write_picture(tmp_path / "a.png", self.GRAYS.astype(np.uint16) * 1000)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[..., 0], self.GRAYS * np.uint16(1000))

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
    def test_with_gray_saved_as_color_is_gray(self, tmp_path, mode):
        PIL.Image.fromarray(self.GRAYS.T.copy()).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[..., 0], self.GRAYS)

    def test_with_a_palette_holds_its_indices_or_where_the_palette_is_gray_its_grays(self, tmp_path):
        indices = PIL.Image.fromarray((self.GRAYS.T % 2).copy(), "L").convert("P")
        for name, palette in (("colors", [0, 0, 0, 250, 0, 90]), ("grays", [0, 0, 0, 90, 90, 90])):
            indices.putpalette(palette)
            indices.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_image(tmp_path / "colors.png").array[..., 0], self.GRAYS % 2)
        np.testing.assert_array_equal(read_image(tmp_path / "grays.png").array[..., 0], self.GRAYS % 2 * 90)

    def test_with_colors_is_refused(self, tmp_path):
        PIL.Image.new("RGB", (4, 4), (200, 0, 0)).save(tmp_path / "a.png")
        with pytest.raises(CardiacSegError, match=r"a\.png: has colors; convert it to a grayscale image"):
            read_image(tmp_path / "a.png")

    def test_of_several_pages_is_refused(self, tmp_path):
        page = PIL.Image.fromarray(self.GRAYS)
        page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
        with pytest.raises(CardiacSegError, match=r"a\.tif: holds 2 pictures"):
            read_image(tmp_path / "a.tif")

    @pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".tif"])
    def test_that_is_cut_off_is_refused(self, tmp_path, extension):
        path = tmp_path / f"a{extension}"
        made.write_picture(path, np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(CardiacSegError, match=rf"a\{extension}: cannot be read, it is truncated, damaged"):
            read_image(path)

    def test_has_labels_in_nifti_on_its_grid(self, tmp_path):
        made.write_picture(tmp_path / "a.png", self.GRAYS)
        image = read_image(tmp_path / "a.png")
        write_image(tmp_path / "b.nii.gz", Image(image.array, image.affine))
        np.testing.assert_array_equal(read_image(tmp_path / "b.nii.gz").affine, image.affine)


@pytest.mark.data
class TestRealData:
    def folder(self, real_data: Path, *names: str) -> Path:
        folder = real_data.joinpath(*names)
        if not folder.is_dir():
            pytest.skip(f"no {folder.name} among the real cases")
        return folder

    def test_of_mandms_has_its_own_label_order(self, real_data):
        folder = self.folder(real_data, "mnms")
        assert layouts.recognize(folder) == "mnms"
        cases = mnms.find_cases(folder)
        assert [case.phase for case in cases] == ["ED", "ES"]
        volumes = [[np.count_nonzero(read_case(case, CANONICAL)[1] == number) for number in (1, 3)] for case in cases]
        assert all(ed > 1.2 * es for ed, es in zip(*volumes))

    def test_of_camus_has_three_hundred_and_fifty_patients_in_two_parts(self, real_data):
        folder = self.folder(real_data, "camus_2ch")
        assert layouts.recognize(folder) == "camus"
        cases = camus.find_cases(folder)
        assert Counter(case.part for case in cases) == {"train": 600, "val": 100}
        assert len({case.name for case in cases}) == 700
        image, labels = read_case(cases[0], CAMUS)
        assert image.array.shape == (224, 224, 1)
        assert set(np.unique(labels)) == {0, 1, 2, 3}

    def test_of_pictures_has_a_hundred_and_twenty_slices_in_two_parts(self, real_data):
        folder = self.folder(real_data, "png96")
        assert layouts.recognize(folder) == "pairs"
        cases = pairs.find_cases(folder, ACDC)
        assert Counter(case.part for case in cases) == {"train": 100, "val": 20}
        assert len({case.patient for case in cases}) == 120
        image, labels = read_case(cases[0], CANONICAL)
        assert image.array.shape == labels.shape == (96, 96, 1)
        assert not image.spacing_known
