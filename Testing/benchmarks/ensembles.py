"""Single models and each way of combining them, on patients that none of them has seen: one table.

    python Testing/benchmarks/ensembles.py --dataset ACDC/training --output OUT --make 15
    python Testing/benchmarks/ensembles.py --dataset CAMUS_2CH --output OUT --make 15 --recipe echo-2ch
    python Testing/benchmarks/ensembles.py --dataset ACDC/training --output OUT --members BUNDLE BUNDLE ...

The first two make the members: one fold of the data set's own division is held out from everything (of CAMUS its
validation part), and the other patients are divided into folds of their own, on which each seed is cross-validated for
so many minutes a fold. So a meta-learner learns out-of-fold, and everything is scored on patients whom nothing has
seen. The last takes members that there are, and scores on the patients whom all of them were validated on; for a
meta-learner they have to be models of several folds.

Whatever was killed goes on when it is started again. OUT/ensembles.md is the table; OUT/evaluation holds the evaluation
of each model and their comparison with the best single one, patient by patient.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from CardiacSegLib.bundles import CARD, Bundle, find_bundle, training_facts
from CardiacSegLib.cli.report import Report
from CardiacSegLib.datasets import layouts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.datasets.splits import layout_parts, make_folds, read_folds, write_folds
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.comparison import compare
from CardiacSegLib.evaluation.provenance import card_facts, held_out_cases, seen_warnings
from CardiacSegLib.evaluation.sources import ModelSource
from CardiacSegLib.evaluation.study import About, evaluate_cases
from CardiacSegLib.evaluation.summary import read_summary
from CardiacSegLib.evaluation.tables import SUMMARY
from CardiacSegLib.evaluation.wording import markdown
from CardiacSegLib.files import replacing
from CardiacSegLib.inference.provenance import name_of_model
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS
from CardiacSegLib.training.crossvalidation import cross_validate
from CardiacSegLib.training.ensembles import METHODS, EnsembleConfig, make_ensemble
from CardiacSegLib.training.recipes import find_recipe

TABLE = "ensembles.md"


def held_out_patients(dataset: Path, layout: str, cases: Sequence[Case], fold: int) -> set[str]:
    """The patients that nothing sees: a fold of the data set's own, its validation part, or a fold made here."""
    own = layouts.own_folds(dataset, layout)
    if own:
        return set(own[fold])
    parts = layout_parts(cases)
    if parts.get("val"):
        return set(parts["val"])
    return set(make_folds(cases, 5, together=layouts.same_images(layout))[fold])


def made_members(options: argparse.Namespace, cases: Sequence[Case], layout: str, report: Report) -> list[Bundle]:
    """The models of all folds of each seed, over the patients that are not held out."""
    inner = options.output / "inner.json"
    if not inner.is_file():
        options.output.mkdir(parents=True, exist_ok=True)
        write_folds(inner, make_folds(cases, options.folds, together=layouts.same_images(layout)))
    for seed in options.seeds:
        changes = {"dataset": str(options.dataset), "layout": layout, "split": str(inner), "seed": seed}
        # What only labels has a choice on the CPU that training has not.
        device = "cpu" if options.device.startswith("cpu") else options.device
        changes |= {"minutes": options.make, "device": device, "name": f"seed{seed}"}
        config = find_recipe(options.recipe).with_changes(changes)
        if cross_validate(config, options.output / "members" / f"seed{seed}", report) is None:
            raise SystemExit("stopped; the same command goes on with it")
    folds = range(len(read_folds(inner)))
    return [
        Bundle.read(options.output / "members" / f"seed{seed}" / f"fold{fold}" / "bundle")
        for seed in options.seeds
        for fold in folds
    ]


def combined(
    members: Sequence[Bundle], options: argparse.Namespace, cases: Sequence[Case], layout: str, report: Report
) -> Iterator[Bundle]:
    """An ensemble for each method; one that cannot be made is told and left out."""
    for method in options.methods:
        folder = options.output / "models" / method
        if not (folder / CARD).is_file():  # the card is written last
            shutil.rmtree(folder, ignore_errors=True)
            config = EnsembleConfig(method=method, turns=options.turns, device=options.device)
            try:
                learned = cases if method.startswith("stacked") else ()
                make_ensemble(members, folder, config, report, cases=learned, together=layouts.same_images(layout))
            except CardiacSegError as error:
                print(f"{method}: {error}", flush=True)
                continue
        yield Bundle.read(folder)


def evaluated(bundle: Bundle, name: str, cases: Sequence[Case], options: argparse.Namespace, report: Report) -> Any:
    """The summary of a model on the held-out cases."""
    folder = options.output / "evaluation" / name
    if not (folder / SUMMARY).is_file():
        patients = {case.patient for case in cases}
        warnings = seen_warnings(name, training_facts(bundle), patients)
        source = ModelSource(Segmenter.load(bundle, options.device, options.turns), name)
        about = About(dataset=options.dataset.resolve().name, card=card_facts(bundle), warnings=warnings)
        evaluate_cases(source, cases, folder, report, about=about)
    return read_summary(folder / SUMMARY)


def table(summaries: dict[str, Any], baseline: str, differences: dict[str, Any], structures: Sequence[str]) -> str:
    """A row for each model; the difference is that of the mean Dice from the best single model, with its interval."""
    header = ["model", "mean Dice", *structures, "HD95", "LVEF error", f"difference from {baseline}"]
    lines = []
    for name, summary in summaries.items():
        scores = summary["scores"]["all"]
        dice = [f"{scores[one]['dice']['mean']:.4f}" for one in ("mean", *structures)]
        distance = f"{scores['mean']['hd95_mm']['mean']:.2f} {summary.get('length_unit', 'mm')}"
        error = summary["agreement"].get("LVEF", {}).get("mae")
        row = differences.get(name)
        change = "-" if row is None else f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        lines.append([name, *dice, distance, "-" if error is None else f"{error:.1f} points", change])
    return markdown(header, lines)


def main() -> None:
    options = parsed()
    report = Report(as_events=False)
    layout = options.layout or layouts.recognize(options.dataset)
    cases = [case for case in layouts.find_cases(options.dataset, layout) if case.part != "test"]
    if options.members:
        members = [find_bundle(member) for member in options.members]
        scored = held_out_cases(members, cases, layouts.same_images(layout))
        held_out = {case.patient for case in scored}
        known = [case for case in cases if case.patient not in held_out]
    else:
        held_out = held_out_patients(options.dataset, layout, cases, options.fold)
        scored, known = ([case for case in cases if (case.patient in held_out) == wanted] for wanted in (True, False))
        members = made_members(options, known, layout, report)
    scored = scored[: options.cases] if options.cases else scored
    singles = {f"{number} {name_of_model(member)}": member for number, member in enumerate(members, 1)}
    models = singles | {bundle.name: bundle for bundle in combined(members, options, known, layout, report)}
    summaries = {name: evaluated(bundle, name, scored, options, report) for name, bundle in models.items()}
    best = max(singles, key=lambda name: summaries[name]["scores"]["all"]["mean"]["dice"]["mean"])
    comparison = compare(options.output / "evaluation", [best, *(name for name in models if name != best)])
    differences = {
        row["model"]: row
        for row in comparison["differences"]
        if (row["phase"], row["structure"], row["metric"]) == ("all", "mean", "dice") and row["low"] is not None
    }
    text = table(summaries, best, differences, comparison["structures"])
    text = f"{len(scored)} images of {len({case.patient for case in scored})} patients\n\n{text}\n"
    with replacing(options.output / TABLE) as path:
        path.write_text(text, encoding="utf-8")
    print(f"\n{text}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--layout", default="")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--members", nargs="+", metavar="BUNDLE", help="models that there are")
    which.add_argument("--make", type=float, metavar="MINUTES", help="make members, each in so many minutes")
    parser.add_argument("--recipe", default="short-axis-cine", help="of the members (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2), help="a recipe each (default: 1 2)")
    parser.add_argument("--folds", type=int, default=3, help="that each seed is cross-validated on (default: 3)")
    parser.add_argument("--fold", type=int, default=0, help="of the data set's own division, held out (default: 0)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--turns", type=int, choices=TURNS, help="copies that each averages (default: as the models)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cases", type=int, default=0, metavar="N", help="score only so many cases")
    return parser.parse_args()


if __name__ == "__main__":
    main()
