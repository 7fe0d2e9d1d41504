"""A model against the labels of a data set: the command, its table and the files it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CardiacSegLib.cli import main
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.tables import FOLDERS, read_cases
from CardiacSegLib.images import read_image
from CardiacSegLib.jobs.events import read_events
from phantoms import write_acdc_patient


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for seed in (1, 2):
        write_acdc_patient(folder / f"patient{seed:03d}", seed=seed)
    return folder


@pytest.fixture
def evaluation(cases: Path, a_bundle, tmp_path: Path) -> Path:
    """What the command leaves of four cases, by a model whose weights are drawn by chance."""
    command = ["evaluate", "--dataset", str(cases), "--model", str(a_bundle.folder), "--output", str(tmp_path / "out")]
    assert main(command) == 0
    return tmp_path / "out"


def test_the_table_has_each_case_the_worst_first(evaluation):
    rows = read_cases(evaluation / "cases.csv")
    assert sorted(row.case for row in rows) == [f"patient{n:03d}_{phase}" for n in (1, 2) for phase in ("ED", "ES")]
    assert [row.mean for row in rows] == sorted(row.mean for row in rows)


def test_the_dice_is_that_of_the_files_beside_it(evaluation, a_bundle):
    for row in read_cases(evaluation / "cases.csv"):
        image, reference, labels = (read_image(evaluation / name / f"{row.case}.nii.gz") for name in FOLDERS)
        assert image.array.shape == reference.array.shape == labels.array.shape
        np.testing.assert_allclose(reference.affine, image.affine, atol=1e-4)
        dice = dice_scores(labels.array, reference.array, a_bundle.convention)
        assert row.dice == pytest.approx(dice, abs=1e-4)


def test_the_command_prints_the_means(cases, a_bundle, tmp_path, capsys):
    main(["evaluate", "--dataset", str(cases), "--model", str(a_bundle.folder), "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    mean = np.mean([row.mean for row in read_cases(tmp_path / "cases.csv")])
    assert float(printed.splitlines()[-1].split("|")[-2]) == pytest.approx(mean, abs=2e-4)


def test_events_carry_the_result(cases, a_bundle, tmp_path, capsys):
    command = ["evaluate", "--dataset", str(cases), "--model", str(a_bundle.folder), "--output", str(tmp_path)]
    main([*command, "--events"])
    (tmp_path / "events.jsonl").write_text(capsys.readouterr().out)
    events, _ = read_events(tmp_path / "events.jsonl")
    assert events[-1]["event"] == "result" and events[-1]["cases"] == 4
    assert [event["fraction"] for event in events if event["event"] == "progress"] == [0.25, 0.5, 0.75, 1.0]


def test_a_model_of_other_structures_is_refused(cases, tmp_path, capsys):
    command = ["evaluate", "--dataset", str(cases), "--model", "echo-2ch", "--output", str(tmp_path / "out")]
    assert main(command) == 1
    assert "LA" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_table_is_refused(tmp_path):
    (tmp_path / "cases.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CardiacSegError, match="evaluate again"):
        read_cases(tmp_path / "cases.csv")
