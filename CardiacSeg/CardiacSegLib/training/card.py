"""The card of a model: what it was made from, what it is for, and how well it does."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from CardiacSegLib.evaluation.validation import dice_table

_CARD = """# {name}

{description}.

**Research use only. This is not a medical device, and its result is not a diagnosis.** Look at every segmentation, and
correct it in Slicer's Segment Editor where it is wrong.

## What it is for

Short-axis cardiac MR (bSSFP cine), a stack of slices or a cine of such stacks, of adults. Not for long-axis views, late
enhancement, T1 or T2 maps, other modalities, or children: it has seen none of them.

## Labels

{labels}

Papillary muscles and trabeculae belong to the blood pool, as in its training data.

## Data

{data}

Trained on {trained} patients ({slices} slices of the ED and ES frames), validated on {validated} others; both lists
stand in `configs/metadata.json` under `cardiacseg.training`. No patient is on both sides.

License of the weights: {license}.

## How well it does

Mean Dice on the {validated} patients of fold {fold}, which it was not trained on, on the images' own grids and after
clean-up:

{table}

To see it again:

    {command}

## Network and training

{network} with {parameters:.2f} million weights; it labels each slice at {spacing:g} mm in plane and sees
{neighbors}. Its probabilities are averaged over {turns} turned and flipped copies of an image (`--turns`).
Kept is the moving average of the weights. Trained on {machine} by

{training}

SHA-256 of `models/model.pt`:

    {sha256}
"""

_ACDC_TERMS = {
    "data": "ACDC, MICCAI 2017 (Bernard et al., IEEE TMI 37(11), 2018, doi 10.1109/TMI.2018.2837502): cite it when you "
    "use\nthis model. The official testing set (patients 101 to 150) was used neither for training nor for any choice.",
    "license": "CC BY-NC-SA 4.0, that of the data",
}


def model_card(metadata: Mapping[str, Any]) -> str:
    """The card in Markdown, from a bundle's metadata; every figure in it stands there."""
    ours = metadata["cardiacseg"]
    facts = ours["training"]
    neighbors = f"{facts['neighbors']} neighbor(s) on either side" if facts["neighbors"] else "no other slice"
    return _CARD.format(
        **{name: facts[name] for name in ("slices", "fold", "machine", "network")},
        **_ACDC_TERMS,
        name=metadata["name"],
        description=metadata["description"],
        labels=", ".join(f"{number} {name}" for name, number in ours["labels"].items()) + ", 0 background.",
        trained=len(facts["patients_trained_on"]),
        validated=len(facts["patients_validated_on"]),
        table=dice_table(facts["validation_dice"]),
        command=f"python Testing/benchmarks/accuracy.py --dataset ACDC/training --model {metadata['name']}",
        neighbors=neighbors,
        turns=facts["turns"],
        parameters=facts["parameters"] / 1e6,
        spacing=ours["grid"]["spacing"],
        training="\n\n".join(_training(facts, "RUN")),
        sha256=ours["sha256"],
    )


def _training(facts: Mapping[str, Any], run: str) -> list[str]:
    """The commands that made a model, each with what it took; that of the model it started from comes first."""
    start = facts["started_from"]
    before = _training(start, f"{run}_START") if start else []
    options = {
        "--split": "Resources/Splits/acdc.json",
        "--fold": facts["fold"],
        "--neighbors": facts["neighbors"],
        "--learning-rate": facts["learning_rate"],
        **({"--minutes": f"{asked:g}"} if (asked := facts["minutes_asked"]) else {"--epochs": f"{facts['epochs']:g}"}),
        "--turns": facts["turns"],
        **({"--start": f"{run}_START/bundle"} if start else {}),
        "--output": run,
    }
    command = "cardiacseg train --dataset ACDC/training " + " ".join(
        f"{name} {value}" for name, value in options.items()
    )
    wrapped = " \\\n        ".join(textwrap.wrap(command, 100))
    took = f"({facts['steps']} steps of {facts['batch_size']} slices, {facts['epochs']:g} epochs)"
    return [*before, f"    {wrapped}\n\n{took}"]
