"""What stands in the page about one evaluation: its tables, figures and pictures, ready for the template."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.evaluation import figures, wording
from CardiacSegLib.evaluation.animation import ANIMATION, write_animation
from CardiacSegLib.evaluation.case_pictures import DIFFERENCES, case_picture, legend_picture
from CardiacSegLib.evaluation.results import EvaluatedCase, Evaluation
from CardiacSegLib.evaluation.tables import StructureRow
from CardiacSegLib.evaluation.wording import (
    HEADLINES,
    MEAN,
    MEASURES,
    NOTHING,
    Metric,
    counted,
    interval,
    number,
    with_mean,
)
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.pages import picture_uri

#: Measures that get a plot, two in a line.
_PLOTTED = ("LVEDV", "RVEDV", "LVESV", "RVESV", "LVEF", "RVEF", "LVM")
#: Fewer patients than this make no distribution and no plot of agreement.
_ENOUGH = 3


class Cell(NamedTuple):
    """A metric in a table: the mean, below it the spread; ``few`` says so where some patients have no value."""

    mean: str
    spread: str = ""
    few: str = ""


class Card(NamedTuple):
    """One headline figure."""

    name: str
    value: str
    unit: str
    detail: str


class CasePicture(NamedTuple):
    """One case as the page shows it."""

    name: str
    facts: str
    scores: str
    picture: str
    description: str


def parts(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that ``evaluation.html`` names; the animation is also written beside it."""
    summary = evaluation.summary
    metrics = wording.metrics_in(summary["length_unit"])
    return {
        "model": summary["model"],
        "dataset": summary.get("dataset", ""),
        "subject": _subject(evaluation),
        "warnings": summary["warnings"],
        "cards": _cards(summary, metrics),
        "scores": _score_table(evaluation, metrics),
        "distribution": _distribution(evaluation, metrics),
        "agreement": _agreement(evaluation),
        "goals": summary.get("goals", []),
        "groups": list(_groups(evaluation, metrics)),
        "confusion": _confusion(summary),
        "roc": _roc(summary),
        "extremes": list(_extremes(evaluation, metrics)),
        "colors": {name: f"rgb{STRUCTURES[name].color}" for name in evaluation.structures},
        "legend": _legend(evaluation.structures),
        "animation": _animation(evaluation),
        "cases": _case_table(evaluation, metrics),
        "definitions": list(_definitions(summary, metrics)),
        "made": _made(summary),
    }


def _subject(evaluation: Evaluation) -> str:
    """What was evaluated, in one line."""
    summary = evaluation.summary
    found = [f"{counted(summary['cases'], 'case')} of {counted(summary['patients'], 'patient')}"]
    found += [" and ".join(evaluation.phases)] if evaluation.phases else []
    return " · ".join([*found, ", ".join(map(wording.titled, evaluation.structures))])


def _cards(summary: Mapping[str, Any], metrics: Mapping[str, Metric]) -> list[Card]:
    """The headline figures: overlap and distance, then volumes and function."""
    cards = []
    for name in ("dice", "hd95_mm"):
        metric, entry = metrics[name], summary["scores"]["all"][MEAN].get(name, {})
        if entry.get("count"):
            median = f"median {number(entry['median'], metric.digits)}"
            cards.append(Card(f"Mean {metric.title}", number(entry["mean"], metric.digits), metric.unit, median))
    for measure in HEADLINES:
        entry = summary["agreement"].get(measure)
        if entry:
            bias = f"bias {number(entry['bias'], 1, signed=True)} {entry['unit']}"
            cards.append(Card(f"{measure} MAE", number(entry["mae"], 1), entry["unit"], bias))
    return cards


def _score_table(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Columns, and for each phase its rows of cells."""
    scores = evaluation.summary["scores"]
    shown = {name: metrics[name] for name in _defined(scores["all"]) if name in metrics}
    sections = []
    for phase, title in _sections(evaluation):
        patients = max(entry["count"] for row in scores[phase].values() for entry in row.values())
        rows = {
            name: [_cell(scores[phase][name].get(key), metric, patients) for key, metric in shown.items()]
            for name in with_mean(evaluation.structures)
            if name in scores[phase]
        }
        sections.append({"title": title, "patients": counted(patients, "patient"), "rows": rows})
    return {"columns": list(shown.values()), "sections": sections}


def _sections(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Phases with their titles, then all; where there is one phase, or none is known, all is the only section."""
    phases = {name: title for name, title in wording.PHASES.items() if name in evaluation.summary["scores"]}
    if len(phases) > 1:
        return [*phases.items(), ("all", "All phases")]
    one_phase = len({row.phase for row in evaluation.scores}) == 1
    return [("all", next(iter(phases.values()), "All cases") if one_phase else "All cases")]


def _defined(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Metrics that some patient has a value of, in the order of the tables."""
    return list(dict.fromkeys(name for row in rows.values() for name, entry in row.items() if entry["count"]))


def _cell(entry: Mapping[str, Any] | None, metric: Metric, patients: int) -> Cell:
    if not entry or not entry["count"]:
        return Cell(NOTHING)
    mean, sd, median = (number(entry[name], metric.digits) for name in ("mean", "sd", "median"))
    few = f"n = {entry['count']}" if entry["count"] < patients else ""
    return Cell(mean, f"± {sd} · {median}" if entry["count"] > 1 else "", few)


def _distribution(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> str:
    defined = _defined(evaluation.summary["scores"]["all"])
    shown = {name: metrics[name] for name in ("dice", "hd95_mm") if name in defined}
    if not shown or evaluation.summary["patients"] < _ENOUGH:
        return ""
    figure = figures.distribution_figure(evaluation.scores, evaluation.structures, evaluation.phases, shown)
    return picture_uri(figure)


def _agreement(evaluation: Evaluation) -> dict[str, Any]:
    """Rows of the table of agreement, and a figure for each measure with enough patients."""
    facts = evaluation.summary["agreement"]
    rows = [(name, title, _agreement_cells(facts[name])) for name, title in MEASURES.items() if name in facts]
    plots = []
    for name in (name for name in _PLOTTED if name in facts):
        known = [row for row in evaluation.volumes if row.measure == name and None not in (row.value, row.reference)]
        if len(known) >= _ENOUGH:
            figure = figures.agreement_figure(known, name, facts[name])
            plots.append((f"{MEASURES[name]}: model over reference, and Bland-Altman plot", picture_uri(figure)))
    return {"rows": rows, "plots": plots}


def _agreement_cells(entry: Mapping[str, Any]) -> list[str]:
    missing = f" ({entry['missing']} not found)" if entry.get("missing") else ""
    return [
        entry["unit"],
        f"{entry['n']}{missing}",
        number(entry["mae"], 1),
        number(entry["bias"], 1, signed=True),
        number(entry["sd"], 1),
        interval(*(entry["limits"] or (None, None)), 1),
        number(entry["r"], 3),
    ]


def _groups(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> Iterator[dict[str, Any]]:
    """Patient groups, vendors and folds, where there are several: tables, and a figure where cases tell which."""
    shown = with_mean(evaluation.structures)
    for field, title, key in (
        ("group", "patient group", "groups"),
        ("vendor", "vendor", "vendors"),
        ("", "fold", "folds"),
    ):
        table = evaluation.summary.get(key, {})
        if len(table) < 2:
            continue
        agreement = evaluation.summary.get(f"agreement_by_{field}", {})
        measures = [name for name in HEADLINES if any(name in entry for entry in agreement.values())]
        yield {
            "title": title,
            "figure": _group_figure(evaluation, list(table), field, metrics) if field else "",
            "structures": shown,
            "metrics": [metrics[name] for name in ("hd95_mm", "asd_mm")],
            "rows": {name: _group_cells(scores, shown, metrics) for name, scores in table.items()},
            "measures": measures,
            "agreement": {name: _group_agreement(agreement.get(name, {}), measures) for name in table if measures},
        }


def _group_figure(evaluation: Evaluation, groups: list[str], field: str, metrics: Mapping[str, Metric]) -> str:
    metric = ("dice", metrics["dice"])
    return picture_uri(figures.group_figure(evaluation.scores, evaluation.structures, groups, field, metric))


def _group_cells(
    scores: Mapping[str, Mapping[str, Any]], shown: Sequence[str], metrics: Mapping[str, Metric]
) -> list[str]:
    """Patients, the mean Dice of each structure and of all, and the mean distances of all."""
    patients = max((entry["count"] for row in scores.values() for entry in row.values()), default=0)
    wanted = [(name, "dice") for name in shown] + [(shown[-1], name) for name in ("hd95_mm", "asd_mm")]
    means = [scores.get(structure, {}).get(name, {}).get("mean") for structure, name in wanted]
    return [str(patients), *(number(mean, metrics[name].digits) for mean, (_, name) in zip(means, wanted))]


def _group_agreement(facts: Mapping[str, Mapping[str, Any]], measures: Sequence[str]) -> list[str]:
    """Patients, and for each measure the mean absolute error and the bias."""
    cells = [str(max((entry["n"] for entry in facts.values()), default=0))]
    for entry in (facts.get(name) for name in measures):
        cells.append(f"{number(entry['mae'], 1)} ({number(entry['bias'], 1, signed=True)})" if entry else NOTHING)
    return cells


def _confusion(summary: Mapping[str, Any]) -> dict[str, str] | None:
    confusion = summary.get("confusion")
    if not confusion or not np.any(confusion["counts"]):
        return None
    figure = figures.confusion_figure(confusion["labels"], confusion["counts"])
    accuracy, iou = number(summary["pixel_accuracy"], 4), number(summary["mean_iou"], 3)
    return {"figure": picture_uri(figure), "accuracy": accuracy, "iou": iou}


def _roc(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    curves = summary.get("roc")
    if not curves:
        return None
    areas = ", ".join(f"{name} {number(curve['auc'], 4)}" for name, curve in curves.items())
    return {"figure": picture_uri(figures.roc_figure(curves)), "areas": areas}


def _extremes(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> Iterator[dict[str, Any]]:
    """The worst cases, then the best, those whose images are there; of few cases none is shown twice."""
    worst, best = evaluation.summary["worst"], evaluation.summary["best"]
    more = [name for name in best if name not in worst]
    for title, names in (("Worst cases" if more else "Cases, the worst first", worst), ("Best cases", more)):
        cases = [case for case in map(evaluation.case, names) if case is not None]
        if cases:
            pictures = [_case_picture(case, evaluation.rows_of(case.name), metrics["dice"]) for case in cases]
            yield {"title": title, "pictures": pictures, "stacks": any(1 not in case.image.shape for case in cases)}


def _case_picture(case: EvaluatedCase, rows: Sequence[StructureRow], dice: Metric) -> CasePicture:
    picture, slices = case_picture(case)
    scores = "Dice " + ", ".join(f"{row.structure} {number(row.dice, dice.digits)}" for row in rows)
    numbers = ", ".join(map(str, slices))
    description = f"{case.name}: image, reference, prediction and difference in slice {numbers}; {scores}"
    return CasePicture(case.name, _facts(rows[0]), scores, picture_uri(picture), description)


def _legend(structures: Sequence[str]) -> dict[str, str]:
    """The swatches of the differences that this number of structures allows."""
    kinds = [kind for kind in DIFFERENCES if len(structures) > 1 or kind != "another structure"]
    return {kind: picture_uri(legend_picture(kind)) for kind in kinds}


def _facts(row: StructureRow) -> str:
    return " · ".join(filter(None, (row.group, row.vendor)))


def _animation(evaluation: Evaluation) -> dict[str, str] | None:
    """The case whose mean Dice is nearest to the median of all: a usual one, neither the best nor the worst."""
    scores = evaluation.case_means("dice")
    median = float(np.median(list(scores.values()))) if scores else math.nan
    name = min(scores, key=lambda name: (abs(scores[name] - median), name), default="")
    case = evaluation.case(name)
    (evaluation.folder / ANIMATION).unlink(missing_ok=True)  # that of an earlier evaluation would be of another case
    if case is None or (case.image.ndim == 3 and 1 in case.image.shape):  # nothing moves in a single slice
        return None
    path = write_animation(evaluation.folder / ANIMATION, case)
    through = "the phases of one slice" if case.image.ndim == 4 else "the slices"
    return {"name": name, "dice": number(scores[name], 3), "through": through, "picture": picture_uri(path)}


def _case_table(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Every case, the worst first: its Dice of each structure, the mean, and the mean distance."""
    means, distances = evaluation.case_means("dice"), evaluation.case_means("hd95_mm")
    dice, distance = metrics["dice"], metrics["hd95_mm"]
    rows = []
    for name in sorted(means, key=lambda name: (means[name], name)):
        of_case = evaluation.rows_of(name)
        values = {row.structure: row.dice for row in of_case} | {MEAN: means[name]}
        cells = [number(values[column], dice.digits) for column in with_mean(evaluation.structures)]
        rows.append((name, _facts(of_case[0]), [*cells, number(distances.get(name), distance.digits)]))
    return {"columns": with_mean(evaluation.structures), "distance": distance, "rows": rows}


def _definitions(summary: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Iterator[tuple[str, str]]:
    """What the words of this page mean, those that it uses."""
    for name in _defined(summary["scores"]["all"]):
        if name in metrics:
            yield metrics[name].heading, metrics[name].definition
    yield "Empty structures", wording.EMPTY
    if summary["length_unit"] != "mm":
        yield "Pixels", wording.PIXELS
    yield "Mean", wording.MEANS
    if summary["agreement"]:
        yield "MAE, bias, limits of agreement", wording.AGREEMENT
    if summary.get("goals"):
        yield "Goals", wording.GOALS
    if summary.get("confusion"):
        yield "Pixel accuracy, mean IoU", wording.VOXELS
    if summary.get("roc"):
        yield "ROC, AUC", wording.ROC


def _made(summary: Mapping[str, Any]) -> dict[str, str]:
    """How the evaluation was made, as far as it says."""
    card = summary.get("model_card") or {}
    trained, validated = (card.get(f"patients_{side}_on") for side in ("trained", "validated"))
    sides = [counted(count, "patient") for count in (trained, validated) if count]
    facts = {
        "Command": summary.get("command"),
        "Model": card.get("description"),
        "Trained on": ", chosen or checked on ".join(sides) if trained else None,
        "Weights": f"SHA-256 {card['sha256'][:16]}…" if card.get("sha256") else None,
        "Labeled by": Provenance.of_fields(summary.get("provenance") or {}).how,
        "CardiacSeg": summary.get("version"),
    }
    return {title: str(text) for title, text in facts.items() if text}
