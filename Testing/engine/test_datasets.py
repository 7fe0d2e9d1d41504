"""Labeled cases on disk, and splits that keep every patient on one side."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.anatomy import ACDC, CAMUS, CANONICAL, LABEL_CONVENTIONS, labels_text, parse_labels
from CardiacSegLib.datasets import acdc
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.splits import (
    PARTS,
    cases_of_parts,
    dominant_structures,
    groups_or_structures,
    layout_parts,
    make_folds,
    make_parts,
    read_folds,
    read_part_lists,
    split_cases,
    write_folds,
)
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, read_image, write_image, write_labels
from CardiacSegLib.resources import resource_folder


def some_cases(**group_of: str) -> list[Case]:
    """Two cases of each patient, without files."""
    return [
        Case(patient, phase, Path("i.nii"), Path("l.nii"), ACDC, group)
        for patient, group in group_of.items()
        for phase in ("ED", "ES")
    ]


@pytest.fixture
def a_hundred_patients() -> list[Case]:
    """Five groups of twenty, as in ACDC."""
    return some_cases(**{f"patient{number:03d}": f"group{number % 5}" for number in range(1, 101)})


@pytest.fixture
def a_patient(an_acdc_folder: Path, tmp_path: Path) -> Path:
    """A data set of one patient that a test may spoil."""
    shutil.copytree(an_acdc_folder / "patient001", tmp_path / "patient001")
    return tmp_path / "patient001"


class TestTheLayoutOfAcdc:
    def test_gives_the_ed_and_es_frame_of_every_patient(self, an_acdc_folder):
        cases = acdc.find_cases(an_acdc_folder)
        assert [(case.patient, case.phase) for case in cases] == [
            (f"patient{number:03d}", phase) for number in range(1, 11) for phase in ("ED", "ES")
        ]
        assert {case.group for case in cases} == {"NOR", "DCM"}
        assert all(case.image.is_file() and case.labels.is_file() for case in cases)
        assert cases[0].name == "patient001_ED"

    def test_names_the_frames_that_info_cfg_names(self, an_acdc_folder):
        ed, es = acdc.find_cases(an_acdc_folder)[:2]
        assert ed.image.name == "patient001_frame01.nii.gz"
        assert es.image.name != ed.image.name
        volumes = [np.count_nonzero(read_image(case.labels).array == ACDC["LV"]) for case in (ed, es)]
        assert volumes[0] > 1.5 * volumes[1]

    def test_is_read_unpacked_too(self, a_patient):
        for path in a_patient.glob("*.nii.gz"):
            image = read_image(path)
            write_image(path.with_name(path.name[:-3]), image)
            path.unlink()
        assert [case.image.suffix for case in acdc.find_cases(a_patient.parent)] == [".nii", ".nii"]

    def test_gives_labels_in_the_convention_asked_for(self, an_acdc_folder):
        case = acdc.find_cases(an_acdc_folder)[0]
        image, labels = read_case(case, CANONICAL)
        raw = read_image(case.labels).array
        assert image.array.shape == labels.shape
        for name in CANONICAL:
            np.testing.assert_array_equal(labels == CANONICAL[name], raw == ACDC[name])

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda d: (d / "Info.cfg").unlink(), r"no patientNNN/Info\.cfg in it; give the folder that holds"),
            (
                lambda d: (d / "Info.cfg").write_text("ES: 2\n"),
                r"Info\.cfg: no frame number for ED; add a line 'ED: <num",
            ),
            (lambda d: (d / "Info.cfg").write_text("ED: one\nES: 2\n"), "no frame number for ED"),
            (lambda d: (d / "Info.cfg").write_bytes(b"\xff\xfe\x00"), r"Info\.cfg: cannot be read"),
            (lambda d: (d / "Info.cfg").write_text("ED: 1\nES: 9\n"), r"frame09\.nii\.gz: missing, though Info\.cfg"),
            (
                lambda d: (d / "patient001_frame01_gt.nii.gz").unlink(),
                r"frame01_gt\.nii\.gz: missing, though Info\.cfg",
            ),
        ],
    )
    def test_that_is_broken_says_where(self, a_patient, spoil, message):
        spoil(a_patient)
        with pytest.raises(CardiacSegError, match=message):
            acdc.find_cases(a_patient.parent)


class TestLabelsThatAPersonNames:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1=LV,2=MYO", {"LV": 1, "MYO": 2}),
            (" 3 = lv , 85=Rv", {"LV": 3, "RV": 85}),
            ("500=LV", {"LV": 500}),
            ("acdc", ACDC),
            ("CAMUS", CAMUS),
            ("canonical", CANONICAL),
        ],
    )
    def test_are_numbers_with_structures_or_a_name(self, text, expected):
        assert parse_labels(text) == expected

    @pytest.mark.parametrize("convention", LABEL_CONVENTIONS.values())
    def test_are_shown_as_they_are_written(self, convention):
        assert parse_labels(labels_text(convention)) == convention

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "'' is no NUMBER=STRUCTURE; write them as 1=LV,2=MYO, or canonical, acdc, camus"),
            ("1=LV,", "'' is no NUMBER=STRUCTURE"),
            ("LV", "'LV' is no NUMBER=STRUCTURE"),
            ("LV=1", "'LV' is no number from 1 to 65535"),
            ("0=LV", "'0' is no number from 1 to 65535; 0 is always the background"),
            ("70000=LV", "'70000' is no number"),
            ("1.5=LV", "'1.5' is no number"),
            ("1=LV,2=AORTA", "structure 'AORTA' is not known; choose from LV, MYO, RV, LA"),
            ("1=LV,1=RV", "the number 1 stands twice"),
            ("1=LV,2=lv", "the structure LV stands twice"),
        ],
    )
    def test_that_mean_nothing_are_refused(self, text, message):
        with pytest.raises(CardiacSegError, match=message):
            parse_labels(text)


class TestReadingACase:
    def relabeled(self, folder: Path, change) -> Case:
        case = acdc.find_cases(folder.parent)[0]
        labels = read_image(case.labels)
        array, affine = change(labels.array.copy(), labels.affine.copy())
        write_labels(case.labels, array, Image(array, affine), ACDC)
        return case

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda array, affine: (array[:-1], affine), r"gt\.nii\.gz: its shape .* is not that of its image"),
            (lambda array, affine: (array, affine @ np.diag([1, 1, 1.1, 1])), r"gt\.nii\.gz: lies elsewhere in space"),
            (
                lambda array, affine: (array * 2, affine),
                r"gt\.nii\.gz: label values \[4, 6\] are not in the convention",
            ),
        ],
    )
    def test_whose_labels_do_not_fit_names_their_file(self, a_patient, change, message):
        case = self.relabeled(a_patient, change)
        with pytest.raises(CardiacSegError, match=message):
            read_case(case, CANONICAL)

    def test_that_is_a_cine_is_refused(self, a_phantom, tmp_path):
        write_image(tmp_path / "i.nii.gz", Image(a_phantom.image, a_phantom.affine))
        write_image(tmp_path / "l.nii.gz", Image(a_phantom.labels, a_phantom.affine))
        with pytest.raises(CardiacSegError, match=r"i\.nii\.gz: is a cine; give a file for each phase"):
            read_case(Case("p", "", tmp_path / "i.nii.gz", tmp_path / "l.nii.gz", CANONICAL), CANONICAL)


class TestFolds:
    def test_hold_every_patient_once(self, a_hundred_patients):
        folds = make_folds(a_hundred_patients)
        assert len(folds) == 5
        assert sorted(patient for fold in folds for patient in fold) == sorted({c.patient for c in a_hundred_patients})

    def test_are_balanced_by_group(self, a_hundred_patients):
        group_of = {case.patient: case.group for case in a_hundred_patients}
        for fold in make_folds(a_hundred_patients):
            assert Counter(group_of[patient] for patient in fold) == {f"group{number}": 4 for number in range(5)}

    def test_keep_the_same_person_together(self, a_hundred_patients):
        for seed in range(10):
            folds = make_folds(a_hundred_patients, together=acdc.SAME_IMAGES, seed=seed)
            assert any({"patient074", "patient076"} <= set(fold) for fold in folds)

    def test_depend_on_the_seed_and_on_nothing_else(self, a_hundred_patients):
        folds = make_folds(a_hundred_patients, seed=3)
        assert folds == make_folds(a_hundred_patients[::-1], seed=3)
        assert folds != make_folds(a_hundred_patients, seed=4)

    @pytest.mark.filterwarnings("error")
    def test_are_made_of_patients_whose_groups_are_too_small_to_balance(self):
        folds = make_folds(some_cases(a="x", b="y", c="z", d="", e="x"))
        assert sorted(len(fold) for fold in folds) == [1] * 5

    def test_of_fewer_patients_than_folds_are_refused(self):
        with pytest.raises(CardiacSegError, match="3 patients do not make 5 folds; give a split file"):
            make_folds(some_cases(a="x", b="x", c="x"))
        with pytest.raises(CardiacSegError, match="1 patients do not make 2 folds"):
            make_folds(some_cases(a="x", b="x"), 2, together=[("a", "b")])

    def test_are_read_as_they_were_written(self, a_hundred_patients, tmp_path):
        folds = make_folds(a_hundred_patients)
        write_folds(tmp_path / "folds.json", folds)
        assert read_folds(tmp_path / "folds.json") == folds

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "not a split file"),
            ("[]", "not a split file"),
            ('{"splits": []}', "not a split file"),
            ('{"folds": 5}', "not a split file"),
            ('{"folds": ["patient001"]}', "not a split file"),
            ('{"folds": [[1, 2], [3]]}', "not a split file"),
            ('{"folds": [["a", "b"], ["b"]]}', "a patient stands in two folds"),
        ],
    )
    def test_that_are_none_name_the_file(self, tmp_path, content, message):
        (tmp_path / "folds.json").write_text(content, encoding="utf-8")
        with pytest.raises(CardiacSegError, match=rf"folds\.json: {message}"):
            read_folds(tmp_path / "folds.json")

    def test_that_are_missing_name_the_file(self, tmp_path):
        with pytest.raises(CardiacSegError, match=r"folds\.json: not a split file"):
            read_folds(tmp_path / "folds.json")


class TestParts:
    @pytest.fixture
    def the_parts(self, a_hundred_patients) -> dict[str, list[str]]:
        return make_parts(a_hundred_patients, (0.6, 0.2, 0.2))

    def test_hold_every_patient_once(self, the_parts, a_hundred_patients):
        assert list(the_parts) == list(PARTS)
        patients = [patient for part in the_parts.values() for patient in part]
        assert sorted(patients) == sorted({case.patient for case in a_hundred_patients})

    def test_have_the_fractions_asked_for_in_every_group(self, the_parts, a_hundred_patients):
        group_of = {case.patient: case.group for case in a_hundred_patients}
        for part, size in (("train", 12), ("val", 4), ("test", 4)):
            assert Counter(group_of[patient] for patient in the_parts[part]) == dict.fromkeys(
                set(group_of.values()), size
            )

    def test_depend_on_the_seed_and_on_nothing_else(self, a_hundred_patients):
        assert make_parts(a_hundred_patients, seed=3) == make_parts(a_hundred_patients[::-1], seed=3)
        assert make_parts(a_hundred_patients, seed=3) != make_parts(a_hundred_patients, seed=4)

    def test_keep_the_same_person_together(self, a_hundred_patients):
        for seed in range(10):
            parts = make_parts(a_hundred_patients, seed=seed, together=acdc.SAME_IMAGES)
            assert any({"patient074", "patient076"} <= set(patients) for patients in parts.values())

    def test_are_made_of_groups_too_small_to_balance(self):
        parts = make_parts(some_cases(a="x", b="y", c="z", d="", e="x", f="v"), (0.5, 0.5, 0))
        assert [len(patients) for patients in parts.values()] == [3, 3, 0]

    @pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.2, 0.2)])
    def test_of_fractions_that_are_none_are_refused(self, a_hundred_patients, fractions):
        with pytest.raises(CardiacSegError, match="are not three shares of 1; give for example"):
            make_parts(a_hundred_patients, fractions)

    def test_of_too_few_patients_are_refused(self):
        with pytest.raises(CardiacSegError, match="2 patients leave the test part empty"):
            make_parts(some_cases(a="x", b="x"), (0.5, 0.3, 0.2))

    def test_that_the_layout_makes_are_taken_over(self):
        cases = [replace(case, part="train" if case.patient == "a" else "val") for case in some_cases(a="x", b="x")]
        assert layout_parts(cases) == {"train": ["a"], "val": ["b"], "test": []}
        assert layout_parts(some_cases(a="x")) == {}

    def test_of_a_layout_that_tears_a_patient_apart_are_refused(self):
        cases = [replace(case, part="train" if case.phase == "ED" else "val") for case in some_cases(a="x", b="x")]
        with pytest.raises(CardiacSegError, match="the data set itself: patient a stands on two sides"):
            layout_parts(cases)

    def test_are_read_from_lists_of_patients(self, tmp_path):
        assert read_part_lists(tmp_path) == {}
        (tmp_path / "train.txt").write_text("a\n b \n\n", encoding="utf-8")
        (tmp_path / "val.txt").write_text("c", encoding="utf-8")
        assert read_part_lists(tmp_path) == {"train": ["a", "b"], "val": ["c"], "test": []}

    def test_whose_lists_share_a_patient_or_cannot_be_read_are_refused(self, tmp_path):
        (tmp_path / "train.txt").write_text("a\nb\n", encoding="utf-8")
        (tmp_path / "test.txt").write_text("b\n", encoding="utf-8")
        with pytest.raises(CardiacSegError, match="patient b stands on two sides"):
            read_part_lists(tmp_path)
        (tmp_path / "test.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(CardiacSegError, match=r"test\.txt: not a list of patients"):
            read_part_lists(tmp_path)

    def test_divide_the_cases_and_leave_out_who_is_in_none(self):
        cases = some_cases(a="x", b="x", c="x", d="x")
        found = cases_of_parts(cases, {"train": ["a"], "val": ["c"], "test": ["b"]})
        assert {part: {case.patient for case in side} for part, side in found.items()} == {
            **{"train": {"a"}, "val": {"c"}, "test": {"b"}}
        }
        assert sum(map(len, found.values())) == 6

    @pytest.mark.parametrize(
        ("parts", "together", "message"),
        [
            ({"train": ["a"], "val": ["a", "b"]}, (), "the split: patient a stands on two sides"),
            ({"train": ["a"], "val": ["b"]}, [("a", "b")], "a and b are the same images; put both on one side"),
            ({"train": ["a"], "val": ["z"]}, (), "leaves no case to validate on; name patients of this data for 'val'"),
            ({"val": ["a"]}, (), "leaves no case to train on"),
        ],
    )
    def test_that_cannot_be_trained_on_say_why(self, parts, together, message):
        with pytest.raises(CardiacSegError, match=message):
            cases_of_parts(some_cases(a="x", b="x"), parts, together=together)


class TestWhatASplitBalances:
    @pytest.fixture
    def labeled_cases(self, tmp_path) -> list[Case]:
        """Four patients without a group; LV fills most of a and b, MYO of c, and d has no labels."""
        counts = {"a": (5, 1), "b": (9, 8), "c": (2, 3), "d": (0, 0)}
        cases = []
        for patient, (lv, myo) in counts.items():
            labels = np.zeros(30, np.uint8)
            labels[:lv], labels[lv : lv + myo] = ACDC["LV"], ACDC["MYO"]
            path = tmp_path / f"{patient}.nii"
            write_image(path, Image(labels.reshape(5, 3, 2), np.eye(4)))
            cases.append(Case(patient, "", path, path, ACDC))
        return cases

    def test_is_the_structure_with_most_voxels_where_no_group_is_known(self, labeled_cases):
        expected = {"a": "LV", "b": "LV", "c": "MYO", "d": ""}
        assert dominant_structures(labeled_cases) == expected
        assert groups_or_structures(labeled_cases) == expected

    def test_counts_all_cases_of_a_patient(self, labeled_cases):
        cases = [replace(case, patient="one") for case in labeled_cases[:2]] + [labeled_cases[2]]
        assert dominant_structures([*cases, replace(cases[2], patient="one")])["one"] == "LV"

    def test_is_the_group_where_one_is_known_and_no_label_is_read(self):
        assert groups_or_structures(some_cases(a="x", b="")) == {"a": "x", "b": ""}

    def test_is_balanced_in_folds_and_parts(self, labeled_cases):
        cases = [replace(case, patient=f"{case.patient}{copy}") for case in labeled_cases[1:3] for copy in range(2)]
        assert all({patient[0] for patient in fold} == {"b", "c"} for fold in make_folds(cases, 2))
        halves = make_parts(cases, (0.5, 0.5, 0))
        assert all({patient[0] for patient in halves[part]} == {"b", "c"} for part in ("train", "val"))


class TestASplit:
    def test_that_shows_one_person_on_two_sides_is_refused(self):
        with pytest.raises(CardiacSegError, match="a and b are the same images"):
            split_cases(some_cases(a="x", b="x"), [["a"], ["b"]], 0, together=[("a", "b")])

    def test_holds_one_fold_out_and_puts_no_patient_on_two_sides(self, a_hundred_patients):
        folds = make_folds(a_hundred_patients)
        for number, fold in enumerate(folds):
            training, validation = split_cases(a_hundred_patients, folds, number)
            assert {case.patient for case in validation} == set(fold)
            assert len(training) + len(validation) == 200
            assert not {case.patient for case in training} & set(fold)

    @pytest.mark.parametrize(
        ("folds", "fold", "message"),
        [
            ([["a"], ["b"]], 2, "fold 2 does not exist; choose 0 to 1"),
            ([["a"], ["b"]], -1, "fold -1 does not exist"),
            ([["a"], ["c"]], 0, "patient b is in no fold of the split"),
            ([["a", "b"], ["c"]], 0, "fold 0 leaves no case to train on"),
            ([["a", "b"], ["c"]], 1, "fold 1 leaves no case to validate on"),
        ],
    )
    def test_that_is_impossible_says_why(self, folds, fold, message):
        with pytest.raises(CardiacSegError, match=message):
            split_cases(some_cases(a="x", b="x"), folds, fold)


class TestTheSplitThatShips:
    @pytest.fixture
    def the_folds(self) -> list[list[str]]:
        return read_folds(resource_folder() / "Splits" / "acdc.json")

    def test_has_five_folds_of_the_training_patients(self, the_folds):
        patients = {patient for fold in the_folds for patient in fold}
        assert len(the_folds) == 5
        assert max(map(len, the_folds)) - min(map(len, the_folds)) <= 1
        assert {f"patient{number:03d}" for number in range(1, 101)} >= patients

    def test_holds_no_patient_of_the_official_test(self, the_folds):
        numbers = [int(patient.removeprefix("patient")) for fold in the_folds for patient in fold]
        assert not [number for number in numbers if number > 100]

    def test_keeps_the_two_that_are_the_same_images_together(self, the_folds):
        assert any({"patient074", "patient076"} <= set(fold) for fold in the_folds)

    @pytest.mark.data
    def test_holds_exactly_the_patients_there_are_and_is_what_is_made_from_them(self, the_folds, acdc_training):
        cases = acdc.find_cases(acdc_training)
        assert sorted(patient for fold in the_folds for patient in fold) == sorted({case.patient for case in cases})
        assert the_folds == make_folds(cases, together=acdc.SAME_IMAGES)


@pytest.mark.data
def test_real_acdc_patients_are_found_with_their_groups(acdc_training):
    cases = acdc.find_cases(acdc_training)
    assert {case.group for case in cases} == {"NOR", "DCM", "HCM", "MINF", "RV"}
    _, labels = read_case(cases[0], CANONICAL)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
