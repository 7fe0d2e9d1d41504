"""The card of an ensemble: what it is made of, what its members' cards say of their data, and how well it does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from CardiacSegLib.bundles import Bundle
from CardiacSegLib.evaluation.validation import dice_table
from CardiacSegLib.models.facts import ModelFacts, model_facts
from CardiacSegLib.training.card import HEAD, labels_line, wrapped, wrapped_command

_CARD = (
    HEAD
    + """
## Data

{data}

{patients}

License of the weights: {license}.

## How well it does

{score}

## Members

{how}

{members}

Made by

    {command}

SHA-256 of `models/model.pt`:

    {sha256}
"""
)

_HOW = {
    "average": "The probabilities of all members are averaged.",
    "weighted": "The probabilities of all members are averaged with the weights of the table.",
    "vote": "Each member votes for the likeliest class of each pixel; the averaged probabilities break ties.",
    "staple": (
        "The likeliest classes of all members are joined by STAPLE (Warfield, Zou and Wells, IEEE TMI 23(7), 2004), "
        "which weighs each member by how well it agrees with what all of them show."
    ),
    "stacked-forest": "At the pixels of which the members are not sure, a random forest decides.",
    "stacked-boosting": "At the pixels of which the members are not sure, gradient boosted trees decide.",
}
_LEARNED = (
    " It sees each recipe's probabilities, their entropy and confidence{patch}, and was trained with seed {seed} on "
    "{patients} patients, each predicted only by members that had not seen the patient where there were any."
)
_UNKNOWN = "Not every member says which patients it was trained on, so that nobody can be held out from all of them."
_NOT_SCORED = (
    "It was not scored as a whole: no patient that was at hand was held out from all of its members. What each member "
    "reached on the patients that it was not trained on stands in the table below; `cardiacseg evaluate` scores the "
    "ensemble on patients of your own."
)


def ensemble_card(metadata: Mapping[str, Any], members: Sequence[Bundle]) -> str:
    """The card in Markdown, from the ensemble's metadata and its members' cards."""
    ours = metadata["cardiacseg"]
    facts, known = ours["training"], [model_facts(member) for member in members]
    return _CARD.format(
        name=metadata["name"],
        description=metadata["description"],
        purpose=wrapped(facts["purpose"] or "Images like those that its members were trained on."),
        labels=labels_line(ours["labels"]),
        data="\n\n".join(dict.fromkeys(text for member in members for text in _data(member))) or "Not stated.",
        patients=wrapped(_patients(facts)),
        license="; ".join(dict.fromkeys(one.license for one in known)),
        score=_score(facts),
        how=wrapped(_how(facts, ours.get("combine", {}))),
        members=_table(facts, known),
        command=wrapped_command(facts["command"]),
        sha256=ours["sha256"],
    )


_DATA = re.compile(r"^## Data\s*$(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
#: What a card says of its own patients and weights, and not of the data.
_OF_ONE = ("Trained on ", "License of the weights:")


def _data(member: Bundle) -> list[str]:
    """What a member's card says of its data, a paragraph each; a person may have put it there."""
    try:
        found = _DATA.search(member.card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    paragraphs = found["text"].strip().split("\n\n") if found else []
    return [text.strip() for text in paragraphs if text.strip() and not text.strip().startswith(_OF_ONE)]


def _patients(facts: Mapping[str, Any]) -> str:
    if "patients_trained_on" not in facts:
        return _UNKNOWN
    trained, held_out = len(facts["patients_trained_on"]), len(facts["patients_validated_on"])
    return (
        f"All members together were trained on {trained} patients; {held_out} others were held out from all of them. "
        "Both lists stand in `configs/metadata.json` under `cardiacseg.training`, and those of each member under "
        "`members` there."
    )


def _score(facts: Mapping[str, Any]) -> str:
    table = facts.get("validation_dice")
    if not table:
        return wrapped(_NOT_SCORED)
    count = len(facts["patients_validated_on"])
    head = (
        f"Mean Dice on the {count} patients that no member was trained on, on the images' own grids and after clean-up:"
    )
    return f"{head}\n\n{dice_table(table)}"


def _how(facts: Mapping[str, Any], combine: Mapping[str, Any]) -> str:
    text = _HOW[facts["method"]]
    if "learned_from" in facts:
        width = combine["patch"]
        patch = f" and their mean over {width} x {width} pixels" if width > 1 else ""
        text += _LEARNED.format(patch=patch, seed=facts["seed"], patients=len(facts["learned_from"]))
    if facts["turns"] > 1:
        text += f" Each member's probabilities are averaged over {facts['turns']} turned copies of an image."
    return text


def _table(facts: Mapping[str, Any], known: Sequence[ModelFacts]) -> str:
    """A row for each member."""
    weights = facts.get("weights")
    header = ["member", "network", "fold", "patients", "minutes", "validation Dice", *(["weight"] if weights else ())]
    rows = [header, ["---"] * len(header)]
    for number, (member, model) in enumerate(zip(facts["members"], known)):
        said = member["training"]
        dice = "-" if model.mean_dice is None else f"{model.mean_dice:.4f}"
        cells = [member["name"], said.get("network", "-"), said.get("fold", "-"), model.trained_on]
        rows.append([*cells, said.get("minutes", "-"), dice, *([f"{weights[number]:.3f}"] if weights else ())])
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in rows)
