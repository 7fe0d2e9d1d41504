"""The card of a model: what it was made from, what it is for, and how well it does."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from CardiacSegLib.anatomy import LabelConvention
from CardiacSegLib.evaluation.validation import dice_table
from CardiacSegLib.evaluation.wording import markdown

#: How the card of every model begins.
HEAD = """# {name}

{description}.

**Research use only. This is not a medical device, and its result is not a diagnosis.** Look at every segmentation, and
correct it in Slicer's Segment Editor where it is wrong.

## What it is for

{purpose}

## Labels

{labels}
"""
_CARD = (
    HEAD
    + """{convention_notes}
## Data

{data}

Trained on {trained} patients ({slices} slices), validated on {validated} others; both lists
stand in `configs/metadata.json` under `cardiacseg.training`. No patient is on both sides.

License of the weights: {license}.

## How well it does

Mean Dice on the {validated} patients that it was not trained on{fold}, on the images' own grids and after clean-up:

{table}

To see it again:

    {command}
{findings}
## Network and training

{network}

{training}

SHA-256 of `models/model.pt`:

    {sha256}
"""
)

_LOCAL_PURPOSE = (
    "Images like those that it was trained on: the same view, modality and kind of patient. It has seen no others."
)
_LOCAL_DATA = (
    "Local cases. Whoever passes this model on says here where they come from, and whether their terms allow it.",
    "that of its training data; not to be passed on before it is stated here",
)
#: What a card says about public data sets, by layout: what to cite, and the license that their weights inherit.
_PUBLIC_DATA = {
    "acdc": (
        "Cases in the layout of ACDC, MICCAI 2017 (Bernard et al., IEEE TMI 37(11), 2018, "
        "doi 10.1109/TMI.2018.2837502): cite it when you use a model trained on ACDC.",
        "CC BY-NC-SA 4.0, that of the data",
    ),
    "camus": (
        "Cases in the layout of CAMUS (Leclerc et al., IEEE TMI 38(9), 2019, doi 10.1109/TMI.2019.2900516): cite it "
        "when you use a model trained on CAMUS.",
        "CC BY-NC-SA 4.0, that of the data",
    ),
    "mnms": (
        "Cases in the layout of the M&Ms challenges (Campello et al., IEEE TMI 40(12), 2021, "
        "doi 10.1109/TMI.2021.3090082): cite them when you use a model trained on their data.",
        "that of the data; look at the terms of the challenge",
    ),
    "sunnybrook": (
        "Cases in the layout of the Sunnybrook Cardiac Data (Radau et al., The MIDAS Journal, 2009): cite them when "
        "you use a model trained on them.",
        "CC0 1.0, that of the data",
    ),
}
#: The official testing set of ACDC.
_ACDC_TEST = frozenset(f"patient{number}" for number in range(101, 151))
_ACDC_TEST_UNSEEN = (
    " Its official testing set (patients 101 to 150) was used neither for training nor for any choice on the way."
)
_PAPILLARY = "Papillary muscles and trabeculae belong to the blood pool, as in its training data."


def model_card(metadata: Mapping[str, Any]) -> str:
    """The card in Markdown, from a bundle's metadata; every figure in it stands there.

    What was measured of a model later stands under ``findings``, a chapter each: ``title`` and, where it has them,
    ``text``, ``columns`` and ``rows`` of a table, and the ``command`` that shows it again.
    """
    ours = metadata["cardiacseg"]
    facts = ours["training"]
    data, license_ = _PUBLIC_DATA.get(facts["layout"], _LOCAL_DATA)
    seen = {*facts["patients_trained_on"], *facts["patients_validated_on"]}
    return _CARD.format(
        slices=facts["slices"],
        network=wrapped(_network(facts, ours["grid"]["spacing"])),
        data=wrapped(data + (_ACDC_TEST_UNSEEN if facts["layout"] == "acdc" and not seen & _ACDC_TEST else "")),
        license=license_,
        purpose=wrapped(facts["purpose"] or _LOCAL_PURPOSE),
        convention_notes=f"\n{_PAPILLARY}\n" if facts["layout"] in ("acdc", "mnms") else "",
        name=metadata["name"],
        description=metadata["description"],
        labels=labels_line(ours["labels"]),
        trained=len(facts["patients_trained_on"]),
        validated=len(facts["patients_validated_on"]),
        fold=f" (fold {facts['fold']})" if "--split" in facts["command"] else "",
        table=dice_table(facts["validation_dice"]),
        command=f"python Testing/benchmarks/accuracy.py --dataset DATA --model {metadata['name']}",
        findings=_findings(ours.get("findings", [])),
        training="\n\n".join(_training(facts, "RUN")),
        sha256=ours["sha256"],
    )


def _network(facts: Mapping[str, Any], spacing: float) -> str:
    """What the network is, what it sees, and which of the weights that it went through became the model."""
    neighbors = f"{facts['neighbors']} neighbor(s) on either side" if facts["neighbors"] else "no other slice"
    turns = "Its probabilities are averaged over {turns} turned copies of an image (`--turns {turns}`)."
    once = "It looks at each image once, without turned copies (`--turns 1`)."
    weights = "the moving average of the weights" if facts["averaged"] else "the weights"
    return (
        f"{facts['network']} with {facts['parameters'] / 1e6:.2f} million weights, trained at {facts['spacing']:g} mm "
        f"in plane. It labels each slice at {spacing:g} mm and sees {neighbors}. "
        f"{turns.format(**facts) if facts['turns'] > 1 else once} "
        f"Kept: {weights} {'where it did best in validation' if facts['keep'] == 'best' else 'at the end'}. "
        f"Trained on {facts['machine']} by"
    )


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    """What was measured of the model once it was trained, a chapter each."""
    return "".join("\n" + "\n\n".join(_finding(finding)) + "\n" for finding in findings)


def _finding(finding: Mapping[str, Any]) -> list[str]:
    parts = [f"## {finding['title']}"]
    if finding.get("text"):
        parts.append(wrapped(finding["text"]))
    if finding.get("rows"):
        parts.append(markdown(finding["columns"], finding["rows"]))
    if finding.get("command"):
        parts.append(f"    {wrapped_command(finding['command'])}")
    return parts


def labels_line(convention: LabelConvention) -> str:
    """Which number means which structure."""
    return ", ".join(f"{number} {name}" for name, number in convention.items()) + ", 0 background."


def wrapped_command(command: str) -> str:
    """A command in lines that a shell takes for one, as code that is indented in Markdown."""
    return " \\\n        ".join(textwrap.wrap(command, 100, break_on_hyphens=False))


def wrapped(text: str) -> str:
    """A paragraph in lines of a card."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _training(facts: Mapping[str, Any], run: str) -> list[str]:
    """The commands that made a model, each with what it took; that of the model it started from comes first.

    A person may add a ``note`` to the facts of a run, where the command alone does not say how it was made.
    """
    start = facts["started_from"]
    before = _training(start, f"{run}_START") if start else []
    options = facts["command"].replace("RUN_START", f"{run}_START")
    command = f"cardiacseg train {options} --output {run}"
    took = "({steps} steps of {batch_size} slices, {epochs:g} epochs, {minutes:g} minutes)".format(**facts)
    return [*before, f"    {wrapped_command(command)}\n\n{wrapped(took + facts.get('note', ''))}"]
