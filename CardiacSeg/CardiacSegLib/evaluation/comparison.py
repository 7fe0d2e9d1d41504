"""Two evaluations or more of the same cases: what one does better than the other, and how sure that is.

Differences are paired: each patient's value by one model minus that by the first, the baseline, on the cases that both
were evaluated on. A patient counts once. The interval is the 95 % bootstrap interval of the mean difference over
patients (BCa; Efron, J Am Stat Assoc 82, 1987), with 9,999 resamples and a fixed seed: the same tables give the same
interval. Where it holds 0, these patients do not tell the two apart. With dozens of intervals some miss by chance.

``comparison.csv`` has a row for each :class:`Difference`; ``comparison.json`` has

=============== ======================================================================================================
``version``     of CardiacSeg
``models``      their names; the first is the baseline; each has a folder of its name beside these files
``dataset``     name of the data set
``cases``, ``patients``: number of those that all have
``structures``  that all have
``confidence``, ``resamples``, ``seed``: of the bootstrap
``warnings``    of all of them, and of the comparison itself
``differences`` [as :class:`Difference`]
``dice``        {MODEL: {CASE: mean Dice over ``structures``}}
=============== ======================================================================================================
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from CardiacSegLib import __version__
from CardiacSegLib.datasets.descriptions import read_json
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.summary import PHASES, patient_values, read_summary
from CardiacSegLib.evaluation.tables import (
    DISTANCES,
    METRICS,
    SUMMARY,
    TABLE,
    VOLUMES,
    StructureRow,
    VolumeRow,
    cases_by_dice,
    read_metrics,
    read_volumes,
)
from CardiacSegLib.evaluation.wording import markdown
from CardiacSegLib.files import replacing

COMPARISON_TABLE = "comparison.csv"
COMPARISON = "comparison.json"
#: The metric of rows that compare volumes: how far a patient's value is from its reference, whichever way.
ABSOLUTE_ERROR = "absolute_error"

_CONFIDENCE = 0.95
_RESAMPLES = 9999
_SEED = 0


class Difference(NamedTuple):
    """One value of one model against the baseline.

    Attributes:
        model, baseline: names.
        phase: "all", "ED" or "ES"; "" for measures of volume.
        structure: name, or "mean"; a measure such as "LVEF" where ``metric`` is "absolute_error".
        metric: a column of ``metrics.csv``, or "absolute_error".
        patients: who have a value by both.
        baseline_mean, model_mean: over these patients.
        difference: mean of model - baseline.
        low, high: its 95 % interval; None with fewer than two patients.
        better: "model" or "baseline" where the interval does not hold 0, "" where it does.
    """

    model: str
    baseline: str
    phase: str
    structure: str
    metric: str
    patients: int
    baseline_mean: float
    model_mean: float
    difference: float
    low: float | None
    high: float | None
    better: str


class _Evaluation(NamedTuple):
    name: str
    summary: Mapping[str, Any]
    rows: Sequence[StructureRow]
    volumes: Sequence[VolumeRow]

    @classmethod
    def read(cls, folder: Path) -> _Evaluation:
        summary = read_summary(folder / SUMMARY)
        return cls(folder.name, summary, read_metrics(folder / TABLE), read_volumes(folder / VOLUMES))

    def of_cases(self, cases: set[str], structures: Sequence[str]) -> list[StructureRow]:
        return [row for row in self.rows if row.case in cases and row.structure in structures]


def compare(output: Path, names: Sequence[str]) -> dict[str, Any]:
    """Compare evaluations, and write ``comparison.csv`` and ``comparison.json``.

    Args:
        output: holds a folder for each evaluation, and gets the files.
        names: of these folders, the baseline first.

    Returns:
        What stands in ``comparison.json``.

    Raises:
        CardiacSegError: where an evaluation is missing or damaged, or they have no case or no structure in common.
    """
    evaluations = [_Evaluation.read(output / name) for name in names]
    structures = [
        s for s in evaluations[0].summary["structures"] if all(s in e.summary["structures"] for e in evaluations)
    ]
    cases = set.intersection(*({row.case for row in one.rows} for one in evaluations))
    if not (structures and cases):
        what = "structure" if cases else "case"
        raise CardiacSegError(
            f"{output}: {' and '.join(names)} have no {what} in common; evaluate them on the same data"
        )
    tables = {one.name: one.of_cases(cases, structures) for one in evaluations}
    baseline = evaluations[0]
    differences = [
        difference
        for other in evaluations[1:]
        for difference in (
            *_score_differences(baseline.name, tables[baseline.name], other.name, tables[other.name]),
            *_volume_differences(baseline, other),
        )
    ]
    comparison = {
        "version": __version__,
        "models": list(names),
        "dataset": baseline.summary.get("dataset", ""),
        "cases": len(cases),
        "patients": len({row.patient for row in tables[baseline.name]}),
        "structures": structures,
        **{"confidence": _CONFIDENCE, "resamples": _RESAMPLES, "seed": _SEED},
        "warnings": _warnings(evaluations, cases),
        "differences": [difference._asdict() for difference in differences],
        "dice": {name: {row.case: row.mean for row in cases_by_dice(rows)} for name, rows in tables.items()},
    }
    _write(output, comparison, differences)
    return comparison


def _warnings(evaluations: Sequence[_Evaluation], cases: set[str]) -> list[str]:
    """Each model's own, once, and whether some cases are not compared."""
    lines = [line for one in evaluations for line in one.summary.get("warnings", ())]
    alone = len(set.union(*({row.case for row in one.rows} for one in evaluations))) - len(cases)
    if alone:
        lines.append(f"{alone} cases were not evaluated by all of them and are left out of the comparison")
    return list(dict.fromkeys(lines))


def _score_differences(
    baseline: str, theirs: Sequence[StructureRow], model: str, ours: Sequence[StructureRow]
) -> list[Difference]:
    found = []
    for phase in ("all", *PHASES):
        tables = [patient_values([row for row in rows if phase in ("all", row.phase)]) for rows in (theirs, ours)]
        for structure in tables[0]:
            for metric in METRICS:
                pairs = _pairs(*(table[structure][metric] for table in tables))
                if pairs.size:
                    facts = (model, baseline, phase, structure, metric)
                    found.append(_difference(facts, pairs, smaller_is_better=metric in DISTANCES))
    return found


def _volume_differences(baseline: _Evaluation, other: _Evaluation) -> list[Difference]:
    """How far volumes are from their reference, patient by patient."""
    errors = [_absolute_errors(one.volumes) for one in (baseline, other)]
    found = []
    for measure in errors[0]:
        pairs = _pairs(errors[0][measure], errors[1].get(measure, {}))
        if pairs.size:
            facts = (other.name, baseline.name, "", measure, ABSOLUTE_ERROR)
            found.append(_difference(facts, pairs, smaller_is_better=True))
    return found


def _absolute_errors(rows: Sequence[VolumeRow]) -> dict[str, dict[str, float]]:
    errors: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.value is not None and row.reference is not None:
            errors.setdefault(row.measure, {})[row.patient] = abs(row.value - row.reference)
    return errors


def _pairs(theirs: Mapping[str, float], ours: Mapping[str, float]) -> np.ndarray:
    """(N, 2) of baseline and model, of the patients that both have, in a fixed order."""
    return np.array([(theirs[patient], ours[patient]) for patient in sorted(theirs) if patient in ours]).reshape(-1, 2)


def _difference(facts: tuple[str, str, str, str, str], pairs: np.ndarray, smaller_is_better: bool) -> Difference:
    differences = pairs[:, 1] - pairs[:, 0]
    interval = bootstrap_interval(differences)
    better = ""
    if interval is not None and (interval[0] > 0 or interval[1] < 0):
        better = "model" if (interval[1] < 0) == smaller_is_better else "baseline"
    means = (float(mean) for mean in (*pairs.mean(axis=0), differences.mean()))
    return Difference(*facts, len(pairs), *means, *(interval or (None, None)), better)


def bootstrap_interval(differences: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of a mean, by resampling; None with fewer than two values.

    Args:
        differences: of pairs, (N,): to resample them is to resample the pairs.
    """
    from scipy.stats import bootstrap

    if len(differences) < 2:
        return None
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])

    def interval(method: str) -> tuple[float, float]:
        chance = np.random.default_rng(_SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a degenerate distribution is looked for below
            found = bootstrap(
                *((differences,), np.mean),
                **{"confidence_level": _CONFIDENCE, "n_resamples": _RESAMPLES},
                **{"method": method, "random_state": chance, "vectorized": True},
            ).confidence_interval
        return float(found.low), float(found.high)

    chosen = interval("BCa")
    # Where all but one are equal, BCa has no acceleration to go by.
    return chosen if np.isfinite(chosen).all() else interval("percentile")


def _write(output: Path, comparison: Mapping[str, Any], differences: Sequence[Difference]) -> None:
    with replacing(output / COMPARISON_TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(Difference._fields)
        for row in differences:
            cells = ("" if value is None else f"{value:.6f}" if isinstance(value, float) else value for value in row)
            writer.writerow(list(cells))
    with replacing(output / COMPARISON) as temporary:
        temporary.write_text(json.dumps(comparison, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_comparison(path: Path) -> dict[str, Any]:
    """Read ``comparison.json``.

    Raises:
        CardiacSegError: where there is none, or it is damaged.
    """
    try:
        comparison = read_json(path)
        if not isinstance(comparison, dict) or "differences" not in comparison:
            raise ValueError("it has no differences")
    except (OSError, ValueError) as error:
        raise CardiacSegError(f"{path}: no comparison of evaluations ({error}); evaluate again") from error
    return comparison


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """Where the models differ, as a table in Markdown: all phases, the metrics that people look for first."""
    wanted = {"dice", "hd95_mm", ABSOLUTE_ERROR}
    header = ["model - baseline", "what", "patients", "difference", "95 % interval"]
    lines = []
    for row in comparison["differences"]:
        if row["metric"] in wanted and row["phase"] in ("all", ""):
            interval = "-" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
            pair, what = f"{row['model']} - {row['baseline']}", f"{row['structure']} {row['metric']}"
            better = {"model": ", better", "baseline": ", worse"}.get(row["better"], "")
            lines.append([pair, what, str(row["patients"]), f"{row['difference']:+.4f}{better}", interval])
    return markdown(header, lines)
