"""What stands in the page that compares models: its tables and figures, ready for the template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from CardiacSegLib.evaluation import agreement, figures, wording
from CardiacSegLib.evaluation.comparison import ABSOLUTE_ERROR
from CardiacSegLib.evaluation.results import Evaluation
from CardiacSegLib.evaluation.summary import patient_values
from CardiacSegLib.evaluation.wording import HEADLINES, MEAN, MEASURES, Metric, counted, interval, number, with_mean
from CardiacSegLib.pages import picture_uri

#: What the page shows of each metric; the others stand in ``comparison.csv``.
_METRICS = ("dice", "hd95_mm", "asd_mm")
_PHASES = ("all", "ED", "ES")

#: One entry of ``differences`` in ``comparison.json``.
Difference = Mapping[str, Any]


def parts(comparison: Mapping[str, Any], evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Everything that ``comparison.html`` names."""
    baseline, *others = comparison["models"]
    summary = evaluations[baseline].summary
    metrics = wording.metrics_in(summary["length_unit"])
    return {
        "models": comparison["models"],
        "baseline": baseline,
        "dataset": comparison.get("dataset", ""),
        "subject": _subject(comparison),
        "warnings": comparison["warnings"],
        "paired": _paired(comparison, evaluations, metrics["dice"]),
        "pairs": [_pair(model, baseline, comparison["differences"], metrics) for model in others],
        "definitions": list(_definitions(comparison, metrics)),
        "made": {"Command": summary.get("command", ""), "CardiacSeg": comparison["version"]},
    }


def _subject(comparison: Mapping[str, Any]) -> str:
    cases, patients = counted(comparison["cases"], "case"), counted(comparison["patients"], "patient")
    structures = ", ".join(map(wording.titled, comparison["structures"]))
    return f"{cases} of {patients} that all were evaluated on · {structures}"


def _paired(comparison: Mapping[str, Any], evaluations: Mapping[str, Evaluation], dice: Metric) -> str:
    """The Dice of each patient by each model, as a figure."""
    structures = with_mean(comparison["structures"])
    tables = {name: _dice(evaluations[name], cases, structures) for name, cases in comparison["dice"].items()}
    return picture_uri(
        figures.paired_figure(
            {name: {model: table[name] for model, table in tables.items()} for name in structures}, dice
        )
    )


def _dice(evaluation: Evaluation, cases: Mapping[str, float], structures: Sequence[str]) -> dict[str, dict[str, float]]:
    """By structure and patient, of some cases and structures."""
    rows = [row for row in evaluation.scores if row.case in cases and row.structure in structures]
    values = patient_values(rows)
    return {name: values[name]["dice"] for name in structures}


def _pair(
    model: str, baseline: str, differences: Sequence[Difference], metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """One model against the baseline."""
    mine = [row for row in differences if row["model"] == model]
    scores = [row for row in mine if row["metric"] in _METRICS]
    errors = [row for row in mine if row["metric"] == ABSOLUTE_ERROR]
    whole = [row for row in scores if row["phase"] == "all" and row["structure"] in (MEAN, *_only(scores))]
    headlines = [*whole, *(row for name in HEADLINES for row in errors if row["structure"] == name)]
    return {
        "model": model,
        "headlines": [_cells(row, metrics) for row in headlines],
        "forest": _forest([(metrics[name], _of(scores, name)) for name in _METRICS], model, baseline),
        "errors": _forest(list(_by_unit(errors)), model, baseline),
        "rows": [_cells(row, metrics) for row in [*(r for name in _METRICS for r in _of(scores, name)), *errors]],
    }


def _only(rows: Sequence[Difference]) -> list[str]:
    """The structure where there is but one, for which no mean is shown."""
    names = {row["structure"] for row in rows} - {MEAN}
    return list(names) if len(names) == 1 else []


def _of(rows: Sequence[Difference], metric: str) -> list[Difference]:
    """The rows of one metric, those of a structure together, and no mean of a single structure."""
    shown = [row for row in rows if row["metric"] == metric and not (row["structure"] == MEAN and _only(rows))]
    order = list(dict.fromkeys(row["structure"] for row in shown))
    phases = {row["phase"] for row in shown}
    several = len(phases) > 2  # where all cases are of one phase, that phase is all of them
    shown = [row for row in shown if several or row["phase"] == "all"]
    return sorted(shown, key=lambda row: (order.index(row["structure"]), _PHASES.index(row["phase"])))


def _by_unit(errors: Sequence[Difference]) -> Iterator[tuple[Metric, list[Difference]]]:
    for unit in dict.fromkeys(agreement.MEASURES.values()):
        rows = [row for row in errors if agreement.MEASURES[row["structure"]] == unit]
        if rows:
            yield _error_metric(unit), rows


def _error_metric(unit: str) -> Metric:
    return Metric("Absolute error", "", unit, 1, -1)


def _forest(panels: Sequence[tuple[Metric, Sequence[Difference]]], model: str, baseline: str) -> str:
    panels = [(metric, rows) for metric, rows in panels if rows]
    return picture_uri(figures.forest_figure(panels, model, baseline)) if panels else ""


def _cells(row: Difference, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A row of a table."""
    if row["metric"] == ABSOLUTE_ERROR:
        metric = _error_metric(agreement.MEASURES[row["structure"]])
        name = f"{row['structure']} error ({metric.unit})"
    else:
        metric = metrics[row["metric"]]
        phase = "" if row["phase"] == "all" else f" at {row['phase']}"
        name = f"{metric.heading}, {row['structure']}{phase}"
    digits = metric.digits + 1  # differences are small
    return {
        "name": name,
        "cells": [
            str(row["patients"]),
            number(row["baseline_mean"], digits),
            number(row["model_mean"], digits),
            number(row["difference"], digits, signed=True),
            interval(row["low"], row["high"], digits),
        ],
        "better": {"model": row["model"], "baseline": row["baseline"]}.get(row["better"], ""),
    }


def _definitions(comparison: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Iterator[tuple[str, str]]:
    yield "Difference", wording.DIFFERENCE
    confidence, resamples = 100 * comparison["confidence"], comparison["resamples"]
    yield f"{confidence:.0f} % interval", f"{wording.INTERVAL} {resamples:,} resamples."
    for name in _METRICS:
        yield metrics[name].heading, metrics[name].definition
    measured = {row["structure"] for row in comparison["differences"] if row["metric"] == ABSOLUTE_ERROR}
    if measured:
        names = ", ".join(f"{name} {title}" for name, title in MEASURES.items() if name in measured)
        yield "Error", f"How far the value by a model lies from the reference, whichever way. {names}."
