"""What an evaluation says of all its cases together: ``summary.json``.

A patient counts once: where several of its cases are taken together, ED with ES for one, they are averaged first. So
``count`` counts patients, of whom the value is defined; ``mean`` among the structures is the mean over the structures
of a case. ``null`` stands for what is undefined.

==================== =================================================================================================
``model``            its name, or that of the folder of labels
``model_card``       facts about the model (``name``, ``description``, ``sha256``, ``patients_trained_on``, ...); may
                     be empty
``provenance``       by what the labels were made, :class:`CardiacSegLib.inference.provenance.Provenance`; ``seconds``
                     those of all cases together
``dataset``          name of the data set
``command``          by which the evaluation was made
``version``          of CardiacSeg
``cases``            number of them
``patients``         number of them
``structures``       names, in the order of their numbers
``labels``           the number of each structure in ``references`` and ``predictions``
``length_unit``      "mm", or "pixels" where images say no spacing
``warnings``         lines that have to be read first
``trained_on``       the patients of these whom the model was trained on
``scores``           {"all", "ED", "ES": {STRUCTURE or "mean": {METRIC: {"mean", "sd", "median", "count"}}}}; a phase
                     that no case has is missing
``groups``           {GROUP: as one entry of ``scores``}, all phases; empty where no group is known
``vendors``          the same by vendor of the scanner
``folds``            the same by fold of a cross-validation
``empty``            {STRUCTURE: {"absent", "missed", "invented": [cases]}}: neither has it, only the reference, only
                     the labels; these have no distances
``agreement``        {MEASURE: {"unit", "n", "missing", "mae", "bias", "sd", "limits": [low, high], "r"}}
``agreement_by_group``, ``agreement_by_vendor``: {GROUP: as ``agreement``}
``goals``            [{"title", "unit", "limit", "value", "met", "why"}], see :mod:`.goals`; empty where the set is
                     not of ventricles at ED and ES
``confusion``        {"labels": ["background", STRUCTURE, ...], "counts": rows of the reference, columns of the labels}
``mean_iou``         over all voxels and classes, background included (:func:`.overlap.mean_iou`)
``pixel_accuracy``   the share of all voxels that are right, background included
``roc``              {STRUCTURE: {"auc", "fpr", "tpr"}}, see :mod:`.roc`; empty where there are no probabilities
``best``, ``worst``  names of the five cases with the highest and the lowest mean Dice, the extreme ones first
==================== =================================================================================================
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib import __version__
from CardiacSegLib.datasets.descriptions import read_json
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.agreement import agreement
from CardiacSegLib.evaluation.overlap import mean_iou, pixel_accuracy
from CardiacSegLib.evaluation.roc import RocCurve
from CardiacSegLib.evaluation.tables import METRICS, StructureRow, VolumeRow, cases_by_dice
from CardiacSegLib.evaluation.wording import MEAN, markdown
from CardiacSegLib.files import replacing

PHASES = ("ED", "ES")
_EXTREMES = 5

#: Of one structure and metric: mean, sd, median and count.
Statistics = Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """What was found of all cases.

    Attributes:
        model: name of what was evaluated.
        labels: the number of each structure, in the order of the numbers.
        rows, volumes: the two tables.
        confusion: sum over the cases, int64 (N + 1, N + 1).
        empty: by structure and kind (:func:`.overlap.emptiness`), the cases in which it is empty.
        curves: by structure; empty where there were no probabilities.
        length_unit: "mm" or "pixels".
        fold_of: the fold of each patient, in a cross-validation.
    """

    model: str
    labels: Mapping[str, int]
    rows: Sequence[StructureRow]
    volumes: Sequence[VolumeRow]
    confusion: np.ndarray
    empty: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    curves: Mapping[str, RocCurve] = field(default_factory=dict)
    length_unit: str = "mm"
    fold_of: Mapping[str, int] = field(default_factory=dict)


def summarize(findings: Findings) -> dict[str, Any]:
    """The figures of a summary, ready for JSON; what is said beside them is left to the caller."""
    rows = findings.rows
    cases = [row.case for row in cases_by_dice(rows)]
    return {
        "version": __version__,
        "model": findings.model,
        "cases": len(cases),
        "patients": len({row.patient for row in rows}),
        "structures": list(findings.labels),
        "labels": dict(findings.labels),
        "length_unit": findings.length_unit,
        "warnings": _missed_warnings(findings.empty),
        "scores": {phase: scores for phase, scores in _by_phase(rows).items() if scores},
        "groups": _by(rows, lambda row: row.group),
        "vendors": _by(rows, lambda row: row.vendor),
        "folds": _by(rows, lambda row: str(findings.fold_of.get(row.patient, ""))),
        "empty": {name: dict(kinds) for name, kinds in findings.empty.items()},
        "agreement": _agreement(findings.volumes),
        "agreement_by_group": _agreement_by(findings.volumes, lambda row: row.group),
        "agreement_by_vendor": _agreement_by(findings.volumes, lambda row: row.vendor),
        "confusion": {"labels": ["background", *findings.labels], "counts": findings.confusion.tolist()},
        "mean_iou": mean_iou(findings.confusion),
        "pixel_accuracy": pixel_accuracy(findings.confusion),
        "roc": {name: curve._asdict() for name, curve in findings.curves.items()},
        "best": cases[::-1][:_EXTREMES],
        "worst": cases[:_EXTREMES],
    }


def _by_phase(rows: Sequence[StructureRow]) -> dict[str, dict[str, dict[str, Statistics]]]:
    return {"all": scores_of(rows)} | {phase: scores_of([r for r in rows if r.phase == phase]) for phase in PHASES}


def scores_of(rows: Iterable[StructureRow]) -> dict[str, dict[str, Statistics]]:
    """Statistics over patients of each structure, and of the mean over structures, by metric; {} without rows."""
    return {
        structure: {metric: statistics(list(patients[metric].values())) for metric in METRICS}
        for structure, patients in patient_values(rows).items()
    }


def patient_values(rows: Iterable[StructureRow]) -> dict[str, dict[str, dict[str, float]]]:
    """The value of each patient by structure (or ``mean``) and metric; an undefined one is missing.

    A patient with several cases has the mean over them, and the mean over structures is that over those which a case
    has a value of.
    """
    of_case: dict[str, dict[str, dict[tuple[str, str], list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for metric in METRICS:
            value = getattr(row, metric)
            if value is not None:
                for structure in (row.structure, MEAN):
                    of_case[structure][metric].setdefault((row.patient, row.case), []).append(value)
    return {
        structure: {metric: _by_patient(metrics.get(metric, {})) for metric in METRICS}
        for structure, metrics in sorted(of_case.items(), key=lambda item: item[0] == MEAN)
    }


def _by_patient(of_case: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, float]:
    cases: dict[str, list[float]] = defaultdict(list)
    for (patient, _), values in of_case.items():
        cases[patient].append(float(np.mean(values)))
    return {patient: float(np.mean(values)) for patient, values in cases.items()}


def statistics(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (with n - 1), median and count; None where there are too few values."""
    return {
        "mean": float(np.mean(values)) if values else None,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "median": float(np.median(values)) if values else None,
        "count": len(values),
    }


def _by(rows: Sequence[StructureRow], key: Callable[[StructureRow], str]) -> dict[str, Any]:
    groups = sorted({key(row) for row in rows} - {""})
    return {group: scores_of([row for row in rows if key(row) == group]) for group in groups}


def _agreement(rows: Sequence[VolumeRow]) -> dict[str, Any]:
    return {measure: found._asdict() for measure, found in agreement(rows).items()}


def _agreement_by(rows: Sequence[VolumeRow], key: Callable[[VolumeRow], str]) -> dict[str, Any]:
    groups = sorted({key(row) for row in rows} - {""})
    return {group: _agreement([row for row in rows if key(row) == group]) for group in groups}


def _missed_warnings(empty: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    return [
        f"{structure} was not found at all in {len(kinds['missed'])} cases ({', '.join(kinds['missed'][:_EXTREMES])}); "
        "they count as Dice 0 and have no distances"
        for structure, kinds in empty.items()
        if kinds["missed"]
    ]


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write a summary as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_summary(path: Path) -> dict[str, Any]:
    """Read what :func:`write_summary` wrote.

    Raises:
        CardiacSegError: where there is none, or it is damaged.
    """
    try:
        summary = read_json(path)
        if not isinstance(summary, dict) or "scores" not in summary:
            raise ValueError("it has no scores")
    except (OSError, ValueError) as error:
        raise CardiacSegError(f"{path}: no summary of an evaluation ({error}); evaluate again") from error
    return summary


def summary_text(summary: Mapping[str, Any]) -> str:
    """The figures that people look for first, as tables in Markdown."""
    return "\n\n".join(
        filter(None, (_dice_text(summary), _metric_text(summary), _agreement_text(summary), _goals_text(summary)))
    )


def _dice_text(summary: Mapping[str, Any]) -> str:
    """Mean Dice by phase."""
    names = [*summary["structures"], MEAN]
    rows = [
        [phase, *(f"{scores[name]['dice']['mean']:.4f}" for name in names)]
        for phase, scores in sorted(summary["scores"].items(), key=lambda item: item[0] == "all")
    ]
    return markdown(["mean Dice", *names], rows)


def _metric_text(summary: Mapping[str, Any]) -> str:
    """All metrics over all phases."""
    scores, unit = summary["scores"]["all"], summary["length_unit"]
    titles = {
        metric: metric.replace("_mm", f", {unit}").replace("hd95", "HD95").replace("hd", "HD") for metric in METRICS
    }
    titles["asd_mm"] = f"ASD, {unit}"
    rows = [
        [titles[metric], *(_mean_sd(scores[name][metric], 2 if metric.endswith("_mm") else 4) for name in scores)]
        for metric in METRICS
    ]
    return markdown(["mean (SD)", *scores], rows)


def _mean_sd(found: Statistics, digits: int) -> str:
    if found["mean"] is None:
        return "-"
    deviation = "" if found["sd"] is None else f" ({found['sd']:.{digits}f})"
    return f"{found['mean']:.{digits}f}{deviation}"


def _agreement_text(summary: Mapping[str, Any]) -> str:
    """Agreement of the measures of patients."""
    rows = [
        [
            f"{measure}, {found['unit']}",
            *(str(found["n"]), f"{found['mae']:.2f}", f"{found['bias']:+.2f}"),
            "-" if found["limits"] is None else "{:+.2f} to {:+.2f}".format(*found["limits"]),
            "-" if found["r"] is None else f"{found['r']:.4f}",
        ]
        for measure, found in summary["agreement"].items()
    ]
    return markdown(["measure", "patients", "MAE", "bias", "limits of agreement", "r"], rows) if rows else ""


def _goals_text(summary: Mapping[str, Any]) -> str:
    """Each goal, whether it is met, and if not, why."""
    rows = [
        [
            found["title"],
            f"at most {found['limit']:.1f} {found['unit']}",
            f"{found['value']:.2f} {found['unit']}",
            "met" if found["met"] else f"missed, {found['why']}",
        ]
        for found in summary.get("goals", [])
    ]
    return markdown(["goal", "limit", "found", ""], rows) if rows else ""
