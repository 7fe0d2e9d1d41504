"""Raw data sets of nnU-Net: both forms of dataset.json, names that say the patient, and folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.datasets import nnunet
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.datasets.descriptions import CaseName, structure_named
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, write_image, write_labels
from CardiacSegLib.training.cases import find_run_cases
from CardiacSegLib.training.config import TrainingConfig

VERSION_2 = {
    "channel_names": {"0": "cineMRI"},
    "labels": {"background": 0, "RV": 1, "MLV": 2, "LVC": 3},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}
VERSION_1 = {
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "right ventricle", "2": "Myocardium", "3": "Left Ventricle"},
    "training": [{"image": "./imagesTr/P1_ED.nii.gz", "label": "./labelsTr/P1_ED.nii.gz"}],
}
NAMES = ("P1_ED", "P1_ES", "P2_frame01")
LABELS = np.arange(6 * 5 * 3).reshape(6, 5, 3) % 4


def write_case(folder: Path, name: str, suffix: str = "Tr", labels: np.ndarray | None = LABELS) -> None:
    image = Image(np.arange(90).reshape(6, 5, 3).astype(np.int16), np.diag([1.5, 1.5, 8.0, 1.0]))
    for kind in ("images", "labels"):
        (folder / f"{kind}{suffix}").mkdir(parents=True, exist_ok=True)
    write_image(folder / f"images{suffix}" / f"{name}_0000.nii.gz", image)
    if labels is not None:
        path = folder / f"labels{suffix}" / f"{name}.nii.gz"
        write_labels(path, labels.astype(np.uint8), image, CANONICAL)


def describe(folder: Path, content: object) -> None:
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def without(*keys: str) -> dict[str, object]:
    return {key: value for key, value in VERSION_2.items() if key not in keys}


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Two patients in three cases."""
    for name in NAMES:
        write_case(tmp_path, name)
    describe(tmp_path, VERSION_2)
    return tmp_path


class TestTheLayoutOfNnunet:
    @pytest.mark.parametrize("description", [VERSION_1, VERSION_2])
    def test_gives_every_labeled_case_with_its_patient_and_phase(self, a_folder, description):
        describe(a_folder, description)
        assert nnunet.recognizes(a_folder)
        cases = nnunet.find_cases(a_folder)
        assert [(case.patient, case.phase, case.name) for case in cases] == [
            ("P1", "ED", "P1_ED"),
            ("P1", "ES", "P1_ES"),
            ("P2", "", "P2_frame01"),
        ]
        assert {case.part for case in cases} == {"train"}
        assert cases[2].image.name == "P2_frame01_0000.nii.gz"

    @pytest.mark.parametrize("description", [VERSION_1, VERSION_2])
    def test_reads_labels_by_the_names_in_its_description(self, a_folder, description):
        describe(a_folder, description)
        _, labels = read_case(nnunet.find_cases(a_folder)[0], CANONICAL)
        np.testing.assert_array_equal(labels, np.array([0, 3, 2, 1])[LABELS])

    def test_has_no_case_where_an_image_to_test_on_has_no_labels(self, a_folder):
        write_case(a_folder, "P3_ED", "Ts", labels=None)
        assert len(nnunet.find_cases(a_folder)) == 3
        write_case(a_folder, "P4_ED", "Ts")
        assert [(case.name, case.part) for case in nnunet.find_cases(a_folder)][3:] == [("P4_ED", "test")]

    def test_takes_labels_that_a_person_names(self, a_folder):
        describe(a_folder, without("labels"))
        (case, *_) = nnunet.find_cases(a_folder, {"LA": 1, "LV": 2, "RV": 3})
        assert case.convention == {"LA": 1, "LV": 2, "RV": 3}

    def test_skips_what_a_mac_leaves_beside_files(self, a_folder):
        (a_folder / "labelsTr" / "._P1_ED.nii.gz").write_bytes(b"\0")
        assert len(nnunet.find_cases(a_folder)) == 3

    def test_is_not_that_of_a_folder_without_channels_in_the_names(self, a_folder):
        for path in (a_folder / "imagesTr").iterdir():
            path.rename(path.with_name(path.name.replace("_0000", "")))
        assert not nnunet.recognizes(a_folder)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda d: (d / "dataset.json").unlink(), r"dataset\.json: cannot be read as a description of cases"),
            (lambda d: (d / "dataset.json").write_text("{"), r"dataset\.json: cannot be read .* write it anew"),
            (lambda d: describe(d, []), r"dataset\.json: cannot be read .*no object in braces"),
            (lambda d: describe(d, without("labels")), r'dataset\.json: "labels" is missing or does not name'),
            (lambda d: describe(d, VERSION_2 | {"labels": {"background": 0}}), '"labels" is missing or does not name'),
            (lambda d: describe(d, VERSION_2 | {"labels": {"heart": [1, 2]}}), '"labels" is missing or does not name'),
            (lambda d: describe(d, VERSION_2 | {"labels": {"LV": 1, "RV": 1}}), '"labels" is missing or does not name'),
            (
                lambda d: describe(d, VERSION_2 | {"labels": {"background": 0, "LV": 1, "Scar": 2}}),
                r'label 2 is called "Scar"; say what it is by --labels "1=LV,2=\?", each with one of LV, MYO, RV, LA',
            ),
            (
                lambda d: describe(d, VERSION_2 | {"labels": {"LV": 1, "left ventricle": 2}}),
                r"labels 1 and 2 both mean LV; say what it is by --labels",
            ),
            (lambda d: describe(d, VERSION_2 | {"channel_names": {"0": "T1", "1": "T2"}}), "each case has 2 channels"),
            (
                lambda d: (d / "imagesTr" / "P1_ES_0000.nii.gz").unlink(),
                r"imagesTr/P1_ES_0000\.nii\.gz: missing; copy it there, or take the other files of P1_ES away",
            ),
            (lambda d: (d / "labelsTr" / "P1_ES.nii.gz").unlink(), r"labelsTr/P1_ES\.nii\.gz: missing; copy it there"),
            (lambda d: describe(d, VERSION_2 | {"file_ending": ".nrrd"}), r"no labelsTr/CASE\.nrrd in it; give the"),
        ],
    )
    def test_that_is_broken_says_where(self, a_folder: Path, spoil: Callable[[Path], object], message: str):
        spoil(a_folder)
        with pytest.raises(CardiacSegError, match=message):
            nnunet.find_cases(a_folder)

    def test_with_a_number_that_has_no_name_says_in_which_file(self, a_folder):
        write_case(a_folder, "P1_ED", labels=LABELS + 1)
        with pytest.raises(CardiacSegError, match=r"P1_ED\.nii\.gz: label values \[4\] are not in the convention"):
            read_case(nnunet.find_cases(a_folder)[0], CANONICAL)


class TestFoldsOfNnunet:
    def write(self, folder: Path, *held_out: list[str]) -> None:
        folds = [{"train": [name for name in NAMES if name not in names], "val": names} for names in held_out]
        (folder / "splits_final.json").write_text(json.dumps(folds), encoding="utf-8")

    def test_hold_out_patients(self, a_folder):
        assert nnunet.read_splits(a_folder) == []
        self.write(a_folder, ["P1_ES", "P1_ED"], ["P2_frame01"])
        assert nnunet.read_splits(a_folder) == [["P1"], ["P2"]]

    def test_are_those_of_a_run(self, a_folder, tmp_path_factory):
        self.write(a_folder, ["P2_frame01"])
        cases = find_run_cases(TrainingConfig(str(a_folder)), tmp_path_factory.mktemp("run"))
        assert {case.patient for case in cases.validation} == {"P2"}
        assert {case.patient for case in cases.training} == {"P1"}

    def test_that_divide_a_patient_are_refused(self, a_folder):
        self.write(a_folder, ["P1_ED"], ["P1_ES", "P2_frame01"])
        with pytest.raises(CardiacSegError, match="patient P1 stands in two folds; put all of a patient's"):
            nnunet.read_splits(a_folder)

    @pytest.mark.parametrize("content", ["{}x", '[{"train": []}]', '{"folds": [["P1"]]}', "[[1]]"])
    def test_that_are_something_else_are_refused(self, a_folder, content):
        (a_folder / "splits_final.json").write_text(content)
        with pytest.raises(CardiacSegError, match=r"splits_final\.json: not the folds of nnU-Net"):
            nnunet.read_splits(a_folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("patient001", ("patient001", "", "")),
        ("patient001_frame01", ("patient001", "", "frame01")),
        ("A0S9V9_ED", ("A0S9V9", "ED", "")),
        ("A0S9V9_es", ("A0S9V9", "ES", "")),
        ("heart_7_ES_2CH", ("heart_7", "ES", "2CH")),
        ("heart_7_frame12_ES", ("heart_7", "ES", "frame12")),
        ("heart_ph03", ("heart", "", "ph03")),
        ("ED_01", ("ED_01", "", "")),
        ("media_phantom_edge", ("media_phantom_edge", "", "")),
    ],
)
def test_the_name_of_a_case_says_its_patient_and_phase(name, expected):
    assert CaseName.parse(name) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *[("lv", "LV"), ("Left-Ventricle", "LV"), ("LV blood_pool", "LV"), ("Left ventricular blood pool", "LV")],
        *[("MYO", "MYO"), ("Left Ventricular Myocardium", "MYO"), ("right ventricle", "RV"), ("Left atrium", "LA")],
        *[("right atrium", None), ("LV wall thickness", None), ("", None), ("1", None)],
    ],
)
def test_a_structure_is_known_by_its_usual_names_and_no_others(text, name):
    assert structure_named(text) == name
