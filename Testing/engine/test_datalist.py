"""Lists of cases in a json file: of the Decathlon, of MONAI, and the project's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CardiacSegLib.anatomy import ACDC, CANONICAL
from CardiacSegLib.datasets import datalist
from CardiacSegLib.datasets.cases import Case, read_case
from CardiacSegLib.datasets.datalist import write_datalist
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images import Image, write_image, write_labels

LABELS = (np.arange(6 * 5 * 3).reshape(6, 5, 3) % 4).astype(np.uint8)
NAMED = {"0": "background", "1": "RV", "2": "myocardium", "3": "left ventricle"}


def write_files(folder: Path, name: str) -> dict[str, str]:
    """An image and its labels as the Decathlon keeps them, and what a list says of them."""
    image = Image(np.arange(90).reshape(6, 5, 3).astype(np.int16), np.diag([1.5, 1.5, 8.0, 1.0]))
    entry = {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"}
    for place in entry.values():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
    write_image(folder / entry["image"], image)
    write_labels(folder / entry["label"], LABELS, image, ACDC)
    return entry


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, Any]]:
    return [write_files(tmp_path, name) for name in ("la_003", "la_004", "la_007")]


def write_list(folder: Path, **content: object) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class TestADatalist:
    def test_gives_the_cases_of_each_list_in_its_part(self, tmp_path, entries):
        first, second, third = entries
        path = write_list(tmp_path, labels=NAMED, training=[first], validation=[second], test=[third, "imagesTs/a.nii"])
        for place in (path, tmp_path):
            assert datalist.recognizes(place)
            cases = datalist.find_cases(place)
            assert [(case.name, case.part) for case in cases] == [
                ("la_003", "train"),
                ("la_004", "val"),
                ("la_007", "test"),
            ]
            assert cases[0].image == tmp_path / "imagesTr" / "la_003.nii.gz"

    def test_says_which_number_is_which_structure(self, tmp_path, entries):
        write_list(tmp_path, labels=NAMED, training=entries)
        _, labels = read_case(datalist.find_cases(tmp_path)[0], CANONICAL)
        np.testing.assert_array_equal(labels, np.array([0, 3, 2, 1])[LABELS])

    def test_lets_a_person_say_it(self, tmp_path, entries):
        write_list(tmp_path, training=entries)
        assert datalist.find_cases(tmp_path, ACDC)[0].convention == ACDC
        with pytest.raises(CardiacSegError, match=r'dataset\.json: nothing in it says which number .*--labels "1=LV'):
            datalist.find_cases(tmp_path)

    def test_names_patients_phases_and_folds(self, tmp_path, entries):
        said = [
            {"patient": "P1", "phase": "ED", "group": "DCM", "fold": 1},
            {"subject": "P1", "phase": "ES", "group": "DCM", "fold": 1},
            {"patient": 2, "fold": 0},
        ]
        write_list(tmp_path, labels=NAMED, training=[entry | more for entry, more in zip(entries, said)])
        cases = datalist.find_cases(tmp_path)
        assert [(case.name, case.group) for case in cases] == [("P1_ED", "DCM"), ("P1_ES", "DCM"), ("2", "")]
        assert datalist.read_splits(tmp_path) == [["2"], ["P1"]]

    def test_has_no_folds_where_it_says_none(self, tmp_path, entries):
        assert datalist.read_splits(write_list(tmp_path, labels=NAMED, training=entries)) == []

    def test_names_the_frame_of_a_cine(self, tmp_path, entries, a_phantom):
        write_image(tmp_path / "cine.nii.gz", Image(a_phantom.image, a_phantom.affine))
        write_image(tmp_path / "labels.nii.gz", Image(a_phantom.labels, a_phantom.affine))
        entry = {"image": "cine.nii.gz", "label": "labels.nii.gz", "frame": 2}
        write_list(tmp_path, labels={"LV": 1, "MYO": 2, "RV": 3}, training=[entry])
        image, labels = read_case(datalist.find_cases(tmp_path)[0], CANONICAL)
        np.testing.assert_array_equal(image.array, a_phantom.image[..., 2])
        np.testing.assert_array_equal(labels, a_phantom.labels[..., 2])

    def test_is_no_other_json_and_none_of_two(self, tmp_path, entries):
        (tmp_path / "events.json").write_text('{"training": 3, "test": ["a"]}')
        (tmp_path / "broken.json").write_text("{")
        assert not datalist.recognizes(tmp_path)
        write_list(tmp_path, labels=NAMED, training=entries)
        assert datalist.recognizes(tmp_path)
        (tmp_path / "other.json").write_text((tmp_path / "dataset.json").read_text())
        assert not datalist.recognizes(tmp_path)
        assert datalist.recognizes(tmp_path / "other.json")
        with pytest.raises(CardiacSegError, match=r"holds 2 lists of cases; name one of them, such as dataset\.json"):
            datalist.find_cases(tmp_path)

    def test_is_not_the_description_of_an_nnunet_data_set(self, tmp_path, entries):
        write_list(tmp_path, labels=NAMED, training=entries)
        for path in (tmp_path / "imagesTr").iterdir():
            path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))
        assert not datalist.recognizes(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"image": "imagesTr/la_999.nii.gz"}, r"dataset\.json: training\[1\]: .*la_999\.nii\.gz does not exist"),
            ({"label": "nowhere.nii.gz"}, r"training\[1\]: .*nowhere\.nii\.gz does not exist; check the path"),
            ({"label": ""}, r'training\[1\]: has no "label"; add its path'),
            ({"image": ["a.nii", "b.nii"]}, r'training\[1\]: "image" is no single value; CardiacSeg takes one image'),
            ({"frame": "first"}, r'training\[1\]: "frame" is no number counted from 0'),
            ({"labels": {"1": "aorta"}}, r'label 1 is called "aorta"; say what it is by --labels "1=\?"'),
            (
                {"image": "imagesTr/la_003.nii.gz"},
                'two cases are la_003; take one away, or give them a "phase" or "view',
            ),
        ],
    )
    def test_that_is_broken_says_where(self, tmp_path, entries, change, message):
        entries[1] |= change
        path = write_list(tmp_path, labels=NAMED, training=entries)
        with pytest.raises(CardiacSegError, match=message):
            datalist.find_cases(path)

    def test_with_an_image_to_train_on_and_no_labels_for_it_says_where(self, tmp_path, entries):
        del entries[1]["label"]
        with pytest.raises(CardiacSegError, match=r'training\[1\]: has no "label"; add its path'):
            datalist.find_cases(write_list(tmp_path, labels=NAMED, training=entries))

    def test_without_a_labeled_case_says_what_one_looks_like(self, tmp_path):
        with pytest.raises(CardiacSegError, match=r"lists no case with labels; give each"):
            datalist.find_cases(write_list(tmp_path, labels=NAMED, test=[{"image": "a.nii"}]))
        with pytest.raises(CardiacSegError, match=r"no json file lists cases as"):
            datalist.find_cases(tmp_path / "imagesTr")

    def test_with_a_patient_in_two_folds_is_refused(self, tmp_path, entries):
        entries[0] |= {"patient": "P1", "phase": "ED", "fold": 0}
        entries[1] |= {"patient": "P1", "phase": "ES", "fold": 1}
        with pytest.raises(CardiacSegError, match="patient P1 stands in two folds"):
            datalist.read_splits(write_list(tmp_path, labels=NAMED, training=entries))


class TestAListThatIsWritten:
    @pytest.fixture
    def some_cases(self, tmp_path, entries) -> list[Case]:
        files = [(tmp_path / entry["image"], tmp_path / entry["label"]) for entry in entries]
        return [
            Case("P1", "ED", *files[0], ACDC, group="DCM", part="train"),
            Case("P1", "ES", *files[1], ACDC, group="DCM", part="train", view="2CH"),
            Case("P2_ED", "", *files[2], ACDC, part="val"),
            Case("P3", "", *files[0], ACDC, part="test"),
            Case("P4", "", *files[0], ACDC, frame=0),
        ]

    def test_reads_back_as_equal_cases(self, tmp_path, some_cases):
        write_datalist(tmp_path / "list.json", some_cases)
        found = datalist.find_cases(tmp_path / "list.json")
        assert sorted(found, key=lambda case: (case.patient, case.phase)) == some_cases

    def test_keeps_the_convention_of_each_case(self, tmp_path, some_cases):
        mixed = [Case(*("P1", "ED"), some_cases[0].image, some_cases[0].labels, {"LV": 1}), some_cases[2]]
        write_datalist(tmp_path / "list.json", mixed)
        assert datalist.find_cases(tmp_path / "list.json") == mixed

    def test_can_be_moved_with_its_files(self, tmp_path):
        entry = write_files(tmp_path / "here", "P1")
        case = Case("P1", "", tmp_path / "here" / entry["image"], tmp_path / "here" / entry["label"], ACDC)
        write_datalist(tmp_path / "here" / "list.json", [case])
        (tmp_path / "here").rename(tmp_path / "there")
        assert datalist.find_cases(tmp_path / "there")[0].image == tmp_path / "there" / entry["image"]

    def test_names_files_elsewhere_in_full(self, tmp_path, some_cases):
        (tmp_path / "lists").mkdir()
        write_datalist(tmp_path / "lists" / "list.json", some_cases[:1])
        assert datalist.find_cases(tmp_path / "lists") == some_cases[:1]

    def test_is_one_that_monai_reads(self, tmp_path, some_cases):
        from monai.data import load_decathlon_datalist

        write_datalist(tmp_path / "list.json", some_cases)
        first, *_ = load_decathlon_datalist(tmp_path / "list.json", True, "training")
        assert (Path(first["image"]), Path(first["label"])) == (some_cases[0].image, some_cases[0].labels)

    def test_refuses_a_case_that_only_its_layout_can_read(self, tmp_path, some_cases):
        @dataclass(frozen=True)
        class ContouredCase(Case):
            pass

        case = ContouredCase("P1", "ED", some_cases[0].image, tmp_path, ACDC)
        with pytest.raises(CardiacSegError, match="only its own layout says how to read P1_ED; export it as images"):
            write_datalist(tmp_path / "list.json", [case])
        assert not (tmp_path / "list.json").exists()
