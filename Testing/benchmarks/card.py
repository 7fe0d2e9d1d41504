"""Put what was measured of a model into its metadata and its card, a chapter each.

    cardiacseg evaluate --dataset ACDC/training --model short-axis-cine --split acdc --fold 0 --output EVALUATION
    cardiacseg crossvalidate --dataset ACDC/training --split acdc.json --recipe short-axis-cine --output FOLDS
    python Testing/benchmarks/card.py --evaluation EVALUATION --crossvalidation FOLDS --chapters card.json

A chapter that is there already is replaced. Those of ``card.json``, beside this file, were written by hand. Pictures of
the cases that went worst stand in the report of an evaluation, and in no card, as they show patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from CardiacSegLib.bundles import CARD, DEFAULT_MODEL, METADATA, find_bundle, read_metadata
from CardiacSegLib.datasets.descriptions import read_json
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.summary import read_summary
from CardiacSegLib.evaluation.tables import SUMMARY
from CardiacSegLib.evaluation.wording import MEAN, counted, named, number
from CardiacSegLib.files import replacing, write_json
from CardiacSegLib.training.card import model_card

EVALUATION, CROSS_VALIDATION = "By group of patients", "Cross-validation"
#: What people read first of a heart.
_AGREEMENT = ("LVEF", "RVEF", "LVEDV", "LVM")


def evaluation_chapter(summary: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Mean Dice by phase, group and fold, agreement of the measures, and the cases that went worst.

    Raises:
        CardiacSegError: where a model was trained on a patient whom it labeled.
    """
    if summary["trained_on"]:
        raise CardiacSegError(f"{title}: {named(summary['trained_on'], 3)} was trained on; evaluate with --held-out")
    names = [*summary["structures"], MEAN]
    phases = sorted(summary["scores"].items(), key=lambda item: item[0] == "all")
    groups = [(f"group {group}", scores) for group, scores in summary["groups"].items()]
    folds = [(f"fold {fold}", scores) for fold, scores in summary["folds"].items()]
    rows = [
        [part, str(scores[MEAN]["dice"]["count"]), *(f"{scores[name]['dice']['mean']:.4f}" for name in names)]
        for part, scores in [*phases, *groups, *folds]
    ]
    return {
        "title": title,
        "text": " ".join([_of_whom(summary), _agreement(summary), _distance(summary), _worst(summary)]),
        "columns": ["mean Dice", "patients", *names],
        "rows": rows,
        "command": summary["command"],
    }


def _of_whom(summary: Mapping[str, Any]) -> str:
    patients = f"{counted(summary['patients'], 'patient')}, {counted(summary['cases'], 'image')}"
    return f"{patients}, each labeled by a model that was not trained on the patient."


def _agreement(summary: Mapping[str, Any]) -> str:
    found = {measure: summary["agreement"][measure] for measure in _AGREEMENT if measure in summary["agreement"]}
    told = [
        f"{measure} {number(one['mae'], 2)} {one['unit']} (bias {number(one['bias'], 2, signed=True)})"
        for measure, one in found.items()
    ]
    return f"Mean absolute error: {', '.join(told)}." if told else ""


def _distance(summary: Mapping[str, Any]) -> str:
    return f"Mean HD95 {number(summary['scores']['all'][MEAN]['hd95_mm']['mean'], 2)} {summary['length_unit']}."


def _worst(summary: Mapping[str, Any]) -> str:
    return f"Worst: {', '.join(summary['worst'])}; the report of the command below shows them."


def record(folder: Path, chapters: Sequence[Mapping[str, Any]]) -> None:
    """Put chapters into a model's metadata, each in the place of one with its title, and write the card anew."""
    metadata = read_metadata(folder)
    findings = {chapter["title"]: chapter for chapter in metadata["cardiacseg"].get("findings", [])}
    findings |= {chapter["title"]: dict(chapter) for chapter in chapters}
    metadata["cardiacseg"]["findings"] = list(findings.values())
    text = model_card(metadata)  # a chapter that cannot be told leaves both files as they were
    write_json(folder / METADATA, metadata)
    with replacing(folder / CARD) as card:
        card.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder of a bundle (default: %(default)s)")
    parser.add_argument("--evaluation", type=Path, help="folder of 'cardiacseg evaluate' on its validation patients")
    parser.add_argument("--crossvalidation", type=Path, help="folder of 'cardiacseg crossvalidate' by its recipe")
    parser.add_argument("--chapters", type=Path, help="JSON file with a list of more, written by hand")
    options = parser.parse_args()
    chapters = [
        evaluation_chapter(read_summary(folder / SUMMARY), title)
        for folder, title in ((options.evaluation, EVALUATION), (options.crossvalidation, CROSS_VALIDATION))
        if folder is not None
    ]
    if options.chapters is not None:
        chapters += read_json(options.chapters)
    bundle = find_bundle(options.model)
    if options.evaluation is not None:
        evaluated = read_summary(options.evaluation / SUMMARY)["model_card"].get("sha256")
        if evaluated != bundle.hash:
            raise CardiacSegError(f"{options.evaluation}: evaluates other weights than {bundle.name}; evaluate again")
    folder = bundle.folder
    record(folder, chapters)
    print((folder / CARD).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
