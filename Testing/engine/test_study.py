"""A study measured as a whole: rows, hints, files; on the phantom, whose truth is known, and on real labels."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.clinical.body import Subject, dubois, mosteller
from CardiacSegLib.clinical.curves import cycle_ms, peak_rates, time_course_ml
from CardiacSegLib.clinical.ranges import all_ranges, read_ranges
from CardiacSegLib.clinical.study import StudyMeasures, measure_study
from CardiacSegLib.clinical.volumes import phase_curve_ml, slice_volumes_ml
from CardiacSegLib.datasets.acdc import find_cases, read_info
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.phantom import Phantom, PhantomOptions, make_phantom
from CardiacSegLib.phantom.heartbeat import end_systolic_frame

TIMES = 45.0 * np.arange(20)  # 20 frames of a heartbeat of 900 ms


@pytest.fixture(scope="module")
def a_cine() -> Phantom:
    return make_phantom(PhantomOptions(frames=20, noise_level=0.0))


@pytest.fixture(scope="module")
def a_study(a_cine: Phantom) -> StudyMeasures:
    """Of a man of 50 years, with everything known."""
    subject = Subject(height_cm=178, weight_kg=75, sex="male", age_years=50)
    return measure_study(a_cine.labels, a_cine.affine, frame_times=TIMES, subject=subject)


def _pair(phantom: Phantom) -> np.ndarray:
    """ED and ES alone, (I, J, K, 2)."""
    return phantom.labels[..., [phantom.ed_frame, phantom.es_frame]]


@pytest.mark.parametrize("orientation", ["short-axis", "slices-first", "ACDC"])
def test_the_phantoms_volumes_are_measured_within_two_percent(orientation: str) -> None:
    options = PhantomOptions(frames=8, orientation=orientation, noise_level=0.0, seed=1)
    phantom = make_phantom(options)
    study = measure_study(phantom.labels, phantom.affine)
    assert study.phases == {"ED": phantom.ed_frame, "ES": phantom.es_frame}
    for name, edv, esv in (
        ("LV", options.lv_edv_ml, options.lv_esv_ml),
        ("RV", options.rv_edv_ml, options.rv_esv_ml),
    ):
        assert study.value("EDV", name) == pytest.approx(edv, rel=0.02)
        assert study.value("ESV", name) == pytest.approx(esv, rel=0.02)
        assert study.value("SV", name) == pytest.approx(edv - esv, rel=0.02)
        assert study.value("EF", name) == pytest.approx(100 * (edv - esv) / edv, abs=1.0)
    assert study.value("Mass at ED", "MYO") == pytest.approx(options.lv_mass_g, rel=0.02)
    assert study.value("Mass at ES", "MYO") == pytest.approx(options.lv_mass_g, rel=0.02)


def test_a_gap_between_slices_belongs_to_the_volume(a_cine: Phantom) -> None:
    wider = a_cine.affine.copy()
    through = a_cine.labels.shape.index(10)
    wider[:3, through] *= 1.25
    study, without = (measure_study(_pair(a_cine), affine) for affine in (wider, a_cine.affine))
    assert study.value("EDV", "LV") == pytest.approx(1.25 * without.value("EDV", "LV"))
    assert (study.slice_step_mm, without.slice_step_mm) == pytest.approx((12.5, 10.0))


def test_the_slices_that_show_a_ventricle_are_counted(a_study: StudyMeasures, a_cine: Phantom) -> None:
    counted = {
        phase: [int((a_cine.labels[..., frame] == number).any(axis=(0, 1)).sum()) for number in (1, 3)]
        for phase, frame in (("ED", a_cine.ed_frame), ("ES", a_cine.es_frame))
    }
    assert {phase: [a_study.slices[name][phase] for name in ("LV", "RV")] for phase in counted} == counted
    assert a_study.slices_in_stack == 10


def test_cardiac_output_is_empty_without_a_heart_rate_and_never_zero(a_cine: Phantom) -> None:
    row = measure_study(a_cine.labels, a_cine.affine).row("Cardiac output", "LV")
    assert row.value is None
    assert "no heart rate" in row.note


def test_cardiac_output_is_stroke_volume_times_the_heart_rate(a_cine: Phantom, a_study: StudyMeasures) -> None:
    study = measure_study(_pair(a_cine), a_cine.affine, heart_rate=60)
    assert study.value("Cardiac output", "RV") == pytest.approx(0.06 * study.value("SV", "RV"))
    assert a_study.heart_rate == pytest.approx(60000 / 900)
    assert a_study.value("Cardiac output", "LV") == pytest.approx(a_study.value("SV", "LV") / 15)
    assert "from frame times" in a_study.row("Cardiac output", "LV").note


def test_times_of_two_phases_tell_no_heart_rate(a_cine: Phantom) -> None:
    study = measure_study(_pair(a_cine), a_cine.affine, frame_times=[0.0, 315.0])
    assert study.heart_rate is None
    assert study.value("Cardiac output", "LV") is None
    assert study.value("Peak filling rate", "LV") is None


def test_uneven_times_are_no_heartbeat() -> None:
    assert cycle_ms(TIMES) == pytest.approx(900.0)
    assert cycle_ms(TIMES + np.array([0.0] * 19 + [300.0])) is None


def test_peak_rates_are_those_of_the_phantoms_own_curve(a_study: StudyMeasures, a_cine: Phantom) -> None:
    """The phantom empties as a half cosine until ES and fills three quarters of it in half of diastole."""
    ejected, es = 135.0 - 54.0, end_systolic_frame(20) * 0.045
    assert a_study.value("Peak ejection rate", "LV") == pytest.approx(np.pi / 2 * ejected / es, rel=0.2)
    assert a_study.value("Peak filling rate", "LV") == pytest.approx(
        1.5 * 0.75 * ejected / (0.5 * (0.9 - es)), rel=0.25
    )
    true = peak_rates(a_cine.volumes_ml["LV"], 900.0, a_cine.ed_frame, a_cine.es_frame)
    assert true.ejection == pytest.approx(np.pi / 2 * ejected / es, rel=0.03)


def test_slices_that_leave_the_ventricle_make_no_steep_slope(a_cine: Phantom) -> None:
    slices = slice_volumes_ml(a_cine.labels, CANONICAL["LV"], a_cine.affine)
    total, (ed, es) = slices.sum(axis=0), (a_cine.ed_frame, a_cine.es_frame)
    course = time_course_ml(total, phase_curve_ml(slices), ed, es)
    assert (course[ed], course[es]) == pytest.approx((total[ed], total[es]))
    true = peak_rates(a_cine.volumes_ml["LV"], 900.0, ed, es).ejection
    errors = [abs(peak_rates(curve, 900.0, ed, es).ejection - true) for curve in (course, total)]
    assert errors[0] < 0.5 * errors[1]


@given(shift=st.integers(0, 19), scale=st.floats(0.5, 3.0))
def test_rates_do_not_depend_on_where_a_cine_begins_and_grow_with_the_volume(shift: int, scale: float) -> None:
    curve = 100 + 30 * np.cos(2 * np.pi * np.arange(20) / 20) + 5 * np.sin(4 * np.pi * np.arange(20) / 20)
    expected = peak_rates(curve, 900.0, 0, 10)
    found = peak_rates(np.roll(scale * curve, shift), 900.0, shift % 20, (10 + shift) % 20)
    assert found == pytest.approx((scale * expected.ejection, scale * expected.filling), rel=0.01)


def test_few_frames_have_no_rates_and_a_reason(a_cine: Phantom) -> None:
    study = measure_study(a_cine.labels[..., ::2], a_cine.affine, frame_times=TIMES[::2])
    row = study.row("Peak ejection rate", "LV")
    assert row.value is None
    assert "12 frames" in row.note


def test_the_right_ventricle_is_measured_at_its_own_extremes_beside(a_cine: Phantom) -> None:
    labels = a_cine.labels.copy()
    labels[..., a_cine.ed_frame][labels[..., a_cine.ed_frame] == 3] = 0
    study = measure_study(labels, a_cine.affine)
    assert study.value("EDV", "RV") is None
    assert "not seen at ED" in study.row("EDV", "RV").note
    assert study.value("Largest volume", "RV") == pytest.approx(study.function.volumes_ml["RV"].max())
    assert study.value("Smallest volume", "RV") == pytest.approx(study.value("ESV", "RV"))


def test_phases_chosen_by_hand_count(a_cine: Phantom) -> None:
    study = measure_study(a_cine.labels, a_cine.affine, frames=(1, 6))
    assert study.phases == {"ED": 1, "ES": 6}
    assert study.phases_given
    assert study.value("EDV", "LV") == pytest.approx(study.function.volumes_ml["LV"][1])


def test_body_surface_area_by_either_formula() -> None:
    assert mosteller(180, 80) == pytest.approx(2.0)
    assert dubois(180, 80) == pytest.approx(1.996, abs=0.001)
    assert Subject(180, 80).bsa_m2 == pytest.approx(2.0)
    assert Subject(180, 80, bsa_formula="dubois").bsa_m2 == pytest.approx(1.996, abs=0.001)
    assert Subject(height_cm=180).bsa_m2 is None


def test_volumes_masses_and_outputs_are_indexed_and_nothing_else(a_study: StudyMeasures, a_cine: Phantom) -> None:
    bsa = a_study.subject.bsa_m2
    indexed = [row for row in a_study.rows if row.indexed]
    assert {row.unit for row in indexed} == {"mL/m²", "g/m²", "L/min/m²"}
    for row in indexed:
        assert row.value == pytest.approx(a_study.value(row.measure, row.structure) / bsa)
    assert not any(row.indexed for row in measure_study(_pair(a_cine), a_cine.affine).rows)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("height_cm", 1.78, "height 1.78"), ("weight_kg", 0.0, "weight 0"), ("age_years", 1960, "age 1960")],
)
def test_a_measure_of_the_body_in_another_unit_is_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(CardiacSegError, match=message):
        Subject(**{field: value})
    with pytest.raises(CardiacSegError, match="sex 'm'"):
        Subject(sex="m")
    with pytest.raises(CardiacSegError, match="haycock"):
        Subject(bsa_formula="haycock")


def test_normal_ranges_stand_beside_a_measure_with_their_source(a_study: StudyMeasures) -> None:
    (found,) = a_study.row("EDV", "LV", indexed=True).ranges
    assert (found.source, found.table, found.sex, found.papillary) == ("Petersen 2017", "Table 2", "male", "volume")
    assert found.low < a_study.value("EDV", "LV", indexed=True) < found.high
    assert "19:18" in found.citation
    assert "abnormal low" in found.limits
    assert found.checked


@pytest.mark.parametrize(
    ("subject", "papillary", "sources"),
    [
        (Subject(), "volume", set()),
        (Subject(178, 75, sex="male"), "volume", {"Petersen 2017"}),
        (Subject(178, 75, sex="male"), "mass", set()),
        (Subject(178, 75, sex="male", age_years=25), "volume", {"Kawel-Boehm 2020"}),
        (Subject(178, 75, sex="male", age_years=25), "mass", {"Kawel-Boehm 2020"}),
        (Subject(178, 75, sex="female", age_years=25), "volume", set()),
        (Subject(178, 75, sex="female", age_years=74.9), "volume", {"Petersen 2017"}),
        (Subject(178, 75, sex="male", age_years=75), "volume", set()),
    ],
)
def test_only_ranges_for_that_sex_age_and_way_of_labeling_are_shown(
    a_cine: Phantom, subject: Subject, papillary: str, sources: set[str]
) -> None:
    study = measure_study(_pair(a_cine), a_cine.affine, subject=subject, papillary=papillary)
    found = [one for row in study.rows for one in row.ranges]
    assert {one.source for one in found} == sources
    assert {one.sex for one in found} <= {subject.sex}
    assert {one.papillary for one in found} <= {papillary}


def test_ranges_that_ship_have_the_units_of_the_rows_that_they_stand_beside(a_study: StudyMeasures) -> None:
    for found in all_ranges():
        row = a_study.row(found.measure, found.structure, indexed=found.indexed)
        assert row is not None and row.unit == found.unit
        assert found.low < found.high


def test_a_file_of_ranges_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"name": "Mine", "sets": [{"sex": "male"}]}', encoding="utf-8")
    with pytest.raises(CardiacSegError, match=r"mine\.json"):
        read_ranges(path)


def _without_base(labels: np.ndarray) -> np.ndarray:
    held = np.flatnonzero((labels[..., 0] == 1).any(axis=(0, 1)))
    return labels[:, :, : held[-1]]  # apex first


def _without_apex(labels: np.ndarray) -> np.ndarray:
    held = np.flatnonzero((labels[..., 0] == 1).any(axis=(0, 1)))
    return labels[:, :, held[0] + 2 :]


@pytest.mark.parametrize(("cut", "words"), [(_without_base, "mitral valve"), (_without_apex, "above the apex")])
def test_a_stack_that_ends_within_the_ventricle_is_said(
    a_cine: Phantom, cut: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    whole = _pair(a_cine)
    assert not measure_study(whole, a_cine.affine).warnings
    for order in (1, -1):
        affine = a_cine.affine.copy()
        affine[:3, 2] *= order
        (warning,) = measure_study(cut(whole)[:, :, ::order], affine).warnings
        assert words in warning


def test_what_cannot_be_is_hinted_at_and_not_graded(a_cine: Phantom) -> None:
    labels = _pair(a_cine)
    reversed_phases = measure_study(labels, a_cine.affine, frames=(1, 0))
    assert reversed_phases.value("EF", "LV") < 0
    assert any("cannot be" in warning for warning in reversed_phases.warnings)
    small = labels.copy()
    small[:, :, ::2, 1][labels[:, :, ::2, 0] == 3] = 3  # in every other slice the right ventricle does not contract
    (warning,) = measure_study(small, a_cine.affine).warnings
    assert "Stroke volumes differ" in warning


def test_a_heart_rate_that_does_not_fit_the_frame_times_is_hinted_at(a_cine: Phantom) -> None:
    study = measure_study(a_cine.labels, a_cine.affine, frame_times=TIMES, heart_rate=50)
    (warning,) = study.warnings
    assert "900 ms" in warning and "1200 ms" in warning


def test_a_single_volume_gives_what_it_can(a_cine: Phantom) -> None:
    study = measure_study(a_cine.labels[..., 0], a_cine.affine, subject=Subject(180, 80))
    assert study.value("Volume", "LV") == pytest.approx(135.0, rel=0.02)
    assert study.value("Volume", "LV", indexed=True) == pytest.approx(67.5, rel=0.02)
    assert study.value("Mass", "MYO") == pytest.approx(105.0, rel=0.02)
    assert study.value("Wall thickness, mean", "MYO") == pytest.approx(7.6, abs=0.4)
    assert study.row("EF", "LV") is None
    assert study.thickening_percent is None


def test_a_single_slice_gives_areas() -> None:
    labels = np.zeros((40, 40, 1, 2), np.uint8)
    labels[10:30, 10:30, 0, 0] = 1
    labels[10:20, 10:30, 0, 1] = 1
    study = measure_study(labels, np.diag([1.0, 1.0, 8.0, 1.0]))
    assert study.value("Area at ED", "LV") == pytest.approx(4.0)
    assert study.value("Area at ES", "LV") == pytest.approx(2.0)
    assert "single slice" in study.warnings[0]


def test_labels_without_a_heart_give_no_figures() -> None:
    study = measure_study(np.zeros((20, 20, 8, 3), np.uint8), np.diag([1.5, 1.5, 8.0, 1.0]))
    assert all(row.value is None for row in study.rows)
    assert study.warnings == ["No left ventricle was found in the labels"]


def test_a_cine_without_a_left_ventricle_has_no_volume_of_0_ml() -> None:
    labels = np.zeros((20, 20, 8, 3), np.uint8)
    labels[5:10, 5:10, 2:6, 1:] = CANONICAL["RV"]  # not seen in the first frame
    study = measure_study(labels, np.diag([1.5, 1.5, 8.0, 1.0]))
    assert (study.row("Volume", "RV").value, study.warnings) == (None, ["No left ventricle was found in the labels"])


def test_rows_have_their_ranges_and_every_segment_a_row(a_study: StudyMeasures) -> None:
    ejection = a_study.row("EF", "LV")
    assert ejection.value == pytest.approx(60.0, abs=1.0)
    assert (ejection.ranges[0].low, ejection.ranges[0].high) == (48, 68)
    assert "Petersen 2017" in ejection.ranges[0].origin
    assert len(a_study.segment_rows) == 48
    notes = {row.measure: row.note for row in a_study.segment_rows}
    assert notes["Wall thickness at ED, segment 7"] == "mid anterior"


def test_what_is_missing_is_null_in_json(a_cine: Phantom) -> None:
    labels = _pair(a_cine)
    labels[labels == 3] = 0
    study = measure_study(labels, a_cine.affine)
    found = json.loads(json.dumps(study.as_dict(), allow_nan=False))
    output = next(row for row in found["rows"] if row["measure"] == "Cardiac output")
    assert (output["value"], output["ranges"]) == (None, [])
    assert "no heart rate" in output["note"]
    assert found["segments"]["thickness_mm_ed"] == [None] * 16
    assert found["segments"]["thickening_percent"] == [None] * 16
    assert found["heart_rate"] is None


def test_the_json_holds_the_curves_and_where_the_ranges_are_from(a_study: StudyMeasures) -> None:
    found = json.loads(json.dumps(a_study.as_dict(), allow_nan=False))
    assert found["volumes_ml"]["LV"] == pytest.approx(a_study.function.volumes_ml["LV"])
    assert found["frame_times_ms"] == pytest.approx(TIMES)
    assert (found["ed_frame"], found["es_frame"]) == (0, 7)
    assert found["subject"]["bsa_m2"] == pytest.approx(1.926, abs=0.001)
    first = next(row for row in found["rows"] if row["measure"] == "EDV")
    assert first["ranges"][0]["table"] == "Table 2"
    assert found["research_use_only"] is True
    assert "pool" in found["papillary"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame_times": TIMES[:5]}, "5 for 2 frames"),
        ({"frame_times": [10.0, 0.0]}, "must rise"),
        ({"heart_rate": 0}, "heart rate 0"),
        ({"frames": (0, 5)}, "2 frames"),
        ({"papillary": "both"}, "papillary"),
    ],
)
def test_what_does_not_fit_together_is_refused(a_cine: Phantom, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(CardiacSegError, match=message):
        measure_study(_pair(a_cine), a_cine.affine, **arguments)


@pytest.mark.data
@pytest.mark.long
def test_acdc_groups_look_as_their_diagnoses_say(acdc_training: Path) -> None:
    """Reference labels of five patients of a group: dilated hearts eject little, hypertrophic ones have thick walls."""
    phases = defaultdict(dict)
    for case in find_cases(acdc_training):
        if int(case.patient[-3:]) % 20 in range(1, 6):  # groups come in twenties
            phases[case.group, case.patient][case.phase] = case
    found = defaultdict(list)
    for (group, patient), cases in phases.items():
        info = read_info(acdc_training / patient / "Info.cfg")
        image, ed = read_case(cases["ED"], CANONICAL)
        _, es = read_case(cases["ES"], CANONICAL)
        subject = Subject(height_cm=float(info["Height"]), weight_kg=float(info["Weight"]))
        study = measure_study(np.stack((ed, es), axis=-1), image.affine, subject=subject)
        assert study.phases == {"ED": 0, "ES": 1}
        assert np.isfinite(study.thickening_percent).all()
        assert 1.1 < subject.bsa_m2 < 2.6
        found[group].append(study)

    def mean(group: str, measure: str, structure: str) -> float:
        return float(np.mean([study.value(measure, structure) for study in found[group]]))

    assert set(found) == {"DCM", "HCM", "MINF", "NOR", "RV"}
    assert all(study.value("EF", "LV") < 40 for study in found["DCM"])
    assert all(50 < study.value("EF", "LV") < 75 for study in found["NOR"])
    assert all(study.value("EDV", "LV", indexed=True) > 100 for study in found["DCM"])
    assert mean("HCM", "Wall thickness at ED, mean", "MYO") > mean("NOR", "Wall thickness at ED, mean", "MYO") + 2
    assert all(study.value("Wall thickness at ED, largest", "MYO") > 12 for study in found["HCM"])
    assert mean("DCM", "Diameter at ED", "LV") > mean("NOR", "Diameter at ED", "LV") + 10
    assert mean("DCM", "Thickening, mean", "MYO") < 0.6 * mean("NOR", "Thickening, mean", "MYO")
    assert mean("RV", "EF", "RV") < mean("NOR", "EF", "RV") - 10
