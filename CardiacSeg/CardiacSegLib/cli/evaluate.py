"""``cardiacseg evaluate``: models, or somebody else's labels, against the reference labels of a data set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.bundles import DEFAULT_MODEL, Bundle, find_bundle, training_facts
from CardiacSegLib.cli.options import (
    add_device_options,
    add_layout_options,
    labeled_cases,
    named_labels,
    names_of_models,
    repeatable,
)
from CardiacSegLib.cli.report import Report
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.inference.provenance import Provenance, name_of_model

if TYPE_CHECKING:
    from CardiacSegLib.datasets.cases import Case
    from CardiacSegLib.evaluation.sources import Source
    from CardiacSegLib.evaluation.study import About

#: Folders that say nothing of the data set they are a part of.
_PARTS = {"database", "train", "training", "val", "validation", "test", "testing"}


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "evaluate", parents=[common], help="compare models, or labels in a folder, with the labels of a data set"
    )
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="FOLDER", help="labeled cases, or a list of them"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder for tables, report and all labels; several models get a folder each in it, and a comparison",
    )
    add_layout_options(parser)
    parser.add_argument(
        "--structures", nargs="+", default=(), choices=tuple(STRUCTURES), metavar="NAME", help="score these alone"
    )
    _add_sources(parser.add_argument_group("what is compared"))
    _add_selection(parser.add_argument_group("which cases (default: all)"))
    parser.set_defaults(run=run)


def _add_sources(group: Any) -> None:
    group.add_argument(
        "--model",
        nargs="+",
        default=(),
        metavar="NAME",
        help=f"names, or folders of bundles; the first is the baseline (default: {DEFAULT_MODEL})",
    )
    group.add_argument(
        "--predictions", type=Path, metavar="FOLDER", help="labels that somebody else made, named as the cases"
    )
    group.add_argument(
        "--prediction-labels",
        default="",
        metavar="TEXT",
        help="which number is which structure in them, as 1=RV,2=MYO,3=LV (default: as in the data set)",
    )
    add_device_options(group)


def _add_selection(group: Any) -> None:
    group.add_argument("--part", default="", choices=("train", "val", "test"), help="of the data set, or of --split")
    group.add_argument(
        "--split", default="", metavar="FILE", help="folds or parts of patients, or acdc for the folds that ship"
    )
    group.add_argument("--fold", type=int, metavar="N", help="the patients that fold N holds out, counted from 0")
    group.add_argument(
        "--held-out", action="store_true", help="only patients that the models were validated, and not trained, on"
    )


def run(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.datasets import layouts
    from CardiacSegLib.evaluation.selection import select_cases

    if options.prediction_labels and not options.predictions:
        raise CardiacSegError("--prediction-labels says what --predictions holds; name that folder, too")
    models = options.model or (() if options.predictions else (DEFAULT_MODEL,))
    bundles = [find_bundle(model) for model in models]
    cases, layout = labeled_cases(options)
    chosen = {"part": options.part, "split": options.split, "fold": options.fold}
    cases = select_cases(cases, options.dataset, layout, **chosen)
    together = layouts.same_images(layout)
    if options.held_out:
        cases = _held_out(bundles, cases, together)
    candidates = _candidates(bundles, options.predictions)
    several = len(candidates) > 1
    for candidate in candidates:
        folder = options.output / candidate.name if several else options.output
        summary = _evaluate(options, report, candidate, cases, together, folder)
    if several:
        return _compare(options, report, [candidate.name for candidate in candidates])
    _say(report, summary, options.output)
    return 0


class _Candidate(NamedTuple):
    """What is evaluated: a model, or the folder of ``--predictions`` where there is no bundle."""

    name: str
    bundle: Bundle | None


def _held_out(bundles: Sequence[Bundle], cases: Sequence[Case], together: Sequence[Sequence[str]]) -> list[Case]:
    from CardiacSegLib.evaluation.provenance import held_out_cases

    if not bundles:
        raise CardiacSegError("--held-out asks the metadata of a model; say which patients by --part or --split")
    return held_out_cases(bundles, cases, together)


def _candidates(bundles: Sequence[Bundle], predictions: Path | None) -> list[_Candidate]:
    """What is evaluated, each under a name of its own."""
    found: list[_Candidate] = []
    for bundle in bundles:
        found.append(_Candidate(_unlike(name_of_model(bundle), found), bundle))
    if predictions:
        found.append(_Candidate(_unlike(predictions.resolve().name or "predictions", found), None))
    return found


def _unlike(name: str, others: Sequence[_Candidate]) -> str:
    """A name that a folder can have, and that none of the others has."""
    taken = [other.name for other in others]
    plain = "".join(sign if sign.isalnum() or sign in "-_. " else "_" for sign in name)
    return next(n for n in (plain, *(f"{plain}-{k}" for k in range(2, len(taken) + 3))) if n not in taken)


def _evaluate(
    options: argparse.Namespace,
    report: Report,
    candidate: _Candidate,
    cases: Sequence[Case],
    together: Sequence[Sequence[str]],
    folder: Path,
) -> dict[str, Any]:
    from CardiacSegLib.evaluation.report import write_report
    from CardiacSegLib.evaluation.study import evaluate_cases

    about = _about(options, candidate, cases, together)
    for line in about.warnings:
        report.warn(f"WARNING: {line}")
    source, provenance = _source(options, report, candidate, cases)
    about = replace(about, provenance=provenance)
    summary = evaluate_cases(source, cases, folder, report, structures=options.structures, about=about)
    report.stage("report", f"writing the report of {candidate.name}")
    write_report(folder)
    for line in summary["warnings"]:
        if line not in about.warnings:
            report.warn(f"WARNING: {line}")
    return summary


def _source(
    options: argparse.Namespace, report: Report, candidate: _Candidate, cases: Sequence[Case]
) -> tuple[Source, Provenance]:
    from CardiacSegLib.evaluation.sources import FolderSource, ModelSource

    if candidate.bundle is None:
        return FolderSource(options.predictions, cases, named_labels(options.prediction_labels)), Provenance()
    report.stage("load", f"loading {candidate.name}")
    # torch is imported here and not at the top: labels of a folder are compared without it.
    from CardiacSegLib.inference.segmenter import Segmenter

    segmenter = Segmenter.load(candidate.bundle, options.device, options.turns)
    return ModelSource(segmenter, candidate.name), segmenter.provenance


def _about(
    options: argparse.Namespace, candidate: _Candidate, cases: Sequence[Case], together: Sequence[Sequence[str]]
) -> About:
    from CardiacSegLib.evaluation import provenance
    from CardiacSegLib.evaluation.study import About

    about = {"dataset": _name_of(options.dataset), "command": _command(options)}
    if candidate.bundle is None:
        return About(**about)
    facts, patients = training_facts(candidate.bundle), {case.patient for case in cases}
    return About(
        **about,
        card=provenance.card_facts(candidate.bundle),
        trained_on=provenance.seen_patients(facts, patients, together),
        warnings=provenance.seen_warnings(candidate.name, facts, patients, together),
    )


def _name_of(dataset: Path) -> str:
    """What a data set is called: by its folder, and by the one above where that alone says nothing."""
    path = dataset.resolve()
    return f"{path.parent.name}/{path.name}" if path.name.lower() in _PARTS else path.name


def _command(options: argparse.Namespace) -> str:
    """The command by which this can be done again, without the places of this machine."""
    given = {
        "--dataset": [_name_of(options.dataset)],
        "--model": names_of_models(options.model),
        "--predictions": [options.predictions.resolve().name] if options.predictions else [],
        "--prediction-labels": [options.prediction_labels] if options.prediction_labels else [],
        "--layout": [options.layout] if options.layout else [],
        "--labels": [options.labels] if options.labels else [],
        "--structures": options.structures,
        "--part": [options.part] if options.part else [],
        "--split": [Path(options.split).name] if options.split else [],
        "--fold": [] if options.fold is None else [options.fold],
        "--turns": [] if options.turns is None else [options.turns],
        "--held-out": options.held_out,
    }
    return repeatable("evaluate", given)


def _compare(options: argparse.Namespace, report: Report, names: Sequence[str]) -> int:
    from CardiacSegLib.evaluation.comparison import COMPARISON, compare, comparison_text
    from CardiacSegLib.evaluation.report import write_comparison

    report.stage("compare", f"comparing {' and '.join(names)}")
    comparison = compare(options.output, names)
    page = write_comparison(options.output)
    text = f"{comparison_text(comparison)}\n\n{page}"
    table = str(options.output / COMPARISON)
    report.result(text, comparison=table, report=str(page), models=list(names), cases=comparison["cases"])
    return 0


def _say(report: Report, summary: dict[str, Any], output: Path) -> None:
    from CardiacSegLib.evaluation.summary import summary_text
    from CardiacSegLib.evaluation.tables import REPORT, TABLE

    dice = {
        phase: {name: metrics["dice"]["mean"] for name, metrics in scores.items()}
        for phase, scores in summary["scores"].items()
    }
    report.result(
        f"{summary_text(summary)}\n\n{output / REPORT}",
        table=str(output / TABLE),
        report=str(output / REPORT),
        cases=summary["cases"],
        dice=dice,
        warnings=summary["warnings"],
    )
