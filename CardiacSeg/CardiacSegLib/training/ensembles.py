"""One bundle out of several: members that see the same image, and a rule that makes one answer of theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib.bundles import WEIGHTS, Bundle, read_metadata, sha256, training_facts, write_bundle
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.provenance import seen_patients, trained_on
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.inference.combining import LEARNED, TREES
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.provenance import name_of_model
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.turning import TURNS
from CardiacSegLib.jobs.events import Listener
from CardiacSegLib.models.facts import model_facts
from CardiacSegLib.networks import ENSEMBLE, build_network
from CardiacSegLib.training.ensemble_card import ensemble_card
from CardiacSegLib.training.scoring import score_held_out
from CardiacSegLib.training.stacking import StackingConfig, learn

if TYPE_CHECKING:
    import torch

#: How several answers become one.
METHODS = ("average", "weighted", "vote", "staple", *LEARNED)


@dataclass(frozen=True)
class EnsembleConfig:
    """What is asked for.

    Attributes:
        method: one of :data:`METHODS`.
        weights: of the members, for "weighted"; from their validation Dice where empty.
        turns: over how many turned copies of an image probabilities are averaged; the most of any member where None.
        stacking: how a meta-learner is trained; where the method learns nothing it counts nothing.
        name, description: of the model, for its card; made from the members' where empty.
        device: see :meth:`CardiacSegLib.inference.devices.Device.choose`.
        command: that does all this again, for the card.
    """

    method: str = "average"
    weights: Sequence[float] = ()
    turns: int | None = None
    stacking: StackingConfig | None = None
    name: str = ""
    description: str = ""
    device: str = "auto"
    command: str = ""

    def check(self, members: int) -> None:
        """Raise CardiacSegError where this cannot be done with so many members."""
        if self.method not in METHODS:
            raise CardiacSegError(f"--method {self.method}: is not known; choose one of {', '.join(METHODS)}")
        if members < 2:
            raise CardiacSegError("an ensemble needs two models or more; name another one")
        if self.weights and self.method != "weighted":
            raise CardiacSegError(f"--weights: nothing is weighted by --method {self.method}; leave it out")
        if self.weights and len(self.weights) != members:
            raise CardiacSegError(f"--weights: {len(self.weights)} numbers for {members} models; give one for each")
        if not all(0 < weight < math.inf for weight in self.weights):
            raise CardiacSegError("--weights: give numbers above 0")
        if self.turns is not None and self.turns not in TURNS:
            raise CardiacSegError(f"--turns {self.turns}: choose one of {', '.join(map(str, TURNS))}")


def make_ensemble(
    members: Sequence[Bundle],
    output: Path,
    config: EnsembleConfig,
    events: Listener,
    *,
    cases: Sequence[Case] = (),
    together: Sequence[Sequence[str]] = (),
) -> Bundle:
    """Make one bundle out of several, with its card.

    Args:
        members: on one grid and with the same labels.
        output: the folder of the new bundle; a new or an empty one.
        config: what is asked for.
        events: told of what takes time.
        cases: labeled; a meta-learner learns from them, and the ensemble is scored on those of patients whom none of it
            has seen.
        together: sets of patients that show the same person.

    Raises:
        CardiacSegError: where members do not fit together, the folder is in use, or the method lacks what it needs.
    """
    config.check(len(members))
    _check_members(members)
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise CardiacSegError(f"{output}: is there already and not empty; name another folder")
    weights = list(config.weights or _weights_by_dice(members)) if config.method == "weighted" else []
    turns = config.turns or max(member.turns for member in members)
    combine, learned_from = _combine(members, output, config, events, turns, cases, together)
    first = members[0]
    facts = _facts(members, config, turns, learned_from, weights, together)
    events.stage("write", f"writing {output}")
    definition = _definition(members, weights, bool(combine))
    bundle = write_bundle(
        *(output, config.name or output.resolve().name, _network(members, definition)),
        *(definition, _grid(members), first.convention),
        facts=facts,
        turns=turns,
        description=config.description or _description(members, config.method),
        modality=model_facts(first).modality,
        combine=combine,
        tell=lambda reason: events.stage("onnx", reason),
    )
    _score(bundle, cases, config, events)
    with replacing(bundle.card) as card:
        card.write_text(ensemble_card(read_metadata(bundle.folder), members), encoding="utf-8")
    return bundle


def _check_members(members: Sequence[Bundle]) -> None:
    """Raise CardiacSegError, naming the model and the field, where members do not fit the first one."""
    first = members[0]
    for number, member in enumerate(members):
        if member.network.get("_target_") == ENSEMBLE:
            raise CardiacSegError(f"{name_of_model(member)}: is an ensemble itself; give its members instead")
        ours, theirs = _alike(member), _alike(first)
        other = next((field for field in ours if ours[field] != theirs[field]), None)
        if other:
            raise CardiacSegError(
                f"{name_of_model(member)}: {other} is {ours[other]}, but {theirs[other]} in {name_of_model(first)}; "
                "only models that see and tell the same make an ensemble"
            )
        if member.hash in [one.hash for one in members[:number]]:
            raise CardiacSegError(f"{name_of_model(member)}: is given twice; name each model once")


def _alike(member: Bundle) -> dict[str, Any]:
    """What members have in common; sizes may be multiples of different numbers."""
    grid = {name: value for name, value in asdict(member.grid).items() if name != "multiple"}
    return {**grid, "labels": dict(sorted(member.convention.items())), "modality": model_facts(member).modality}


def _grid(members: Sequence[Bundle]) -> ModelGrid:
    return replace(members[0].grid, multiple=math.lcm(*(member.grid.multiple for member in members)))


def _definition(members: Sequence[Bundle], weights: Sequence[float], stacked: bool) -> dict[str, Any]:
    return {
        "_target_": ENSEMBLE,
        "members": [dict(member.network) for member in members],
        "in_channels": members[0].grid.channels,
        "out_channels": len(members[0].convention) + 1,
        "weights": [round(weight, 6) for weight in weights],
        "stacked": stacked,
    }


def _network(members: Sequence[Bundle], definition: Mapping[str, Any]) -> torch.nn.Module:
    network = build_network(definition)
    for own, member in zip(network.members, members):
        own.load_state_dict(member.load_network().state_dict())
    return network


def _weights_by_dice(members: Sequence[Bundle]) -> list[float]:
    """The logarithm of the odds of each member's mean validation Dice.

    For votes that err independently these are the best weights (Kuncheva, Combining Pattern Classifiers, 2004, section
    4.3), with Dice in the place of accuracy; the Dice themselves hardly differ.
    """
    weights = []
    for member in members:
        dice = model_facts(member).mean_dice
        if dice is None:
            raise CardiacSegError(f"{name_of_model(member)}: says no validation Dice; give --weights")
        dice = min(max(dice, 0.51), 0.999)  # beyond, odds are nothing to go by
        weights.append(math.log(dice / (1 - dice)))
    return weights


def _combine(
    members: Sequence[Bundle],
    output: Path,
    config: EnsembleConfig,
    events: Listener,
    turns: int,
    cases: Sequence[Case],
    together: Sequence[Sequence[str]],
) -> tuple[dict[str, Any], list[str]]:
    """The rule that follows the network, as its bundle names it, and the patients that it has learned from."""
    if config.method in ("average", "weighted"):
        return {}, []
    combine = {"method": config.method, "members": len(members)}
    if config.method not in LEARNED:
        return combine, []
    if not cases:
        raise CardiacSegError(f"--method {config.method} learns from labeled cases; name them by --dataset")
    stacking = config.stacking or StackingConfig(config.method)
    trees, columns, patients = learn(
        members, cases, stacking, events, turns=turns, device=config.device, together=together
    )
    make_folder(output / WEIGHTS.parent)  # not before: where learning fails, the same command can be given again
    trees.write(output / WEIGHTS.parent / TREES)
    learned = {"columns": columns, "patch": stacking.patch, "sha256": sha256(output / WEIGHTS.parent / TREES)}
    return combine | learned, patients


def _facts(
    members: Sequence[Bundle],
    config: EnsembleConfig,
    turns: int,
    learned_from: Sequence[str],
    weights: Sequence[float],
    together: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Facts about the training, as those of a single network are, and those of all members as they stand."""
    each = [training_facts(member) for member in members]
    chosen = any(facts.get("keep") == "best" for facts in each) or (weights and not config.weights)
    facts = {
        "network": "Ensemble",
        "method": config.method,
        "parameters": sum(int(one.get("parameters", 0)) for one in each),
        "layout": _common(each, "layout") or "",
        "purpose": " ".join(dict.fromkeys(str(one["purpose"]) for one in each if one.get("purpose"))),
        "neighbors": members[0].grid.neighbors,
        "turns": turns,
        "minutes": round(sum(float(one.get("minutes", 0)) for one in each), 1),
        "keep": "best" if chosen else "last",
        "command": config.command,
        "machine": _common(each, "machine") or "several machines",
        "started_from": None,
        "members": [
            {"name": name_of_model(member), "sha256": member.hash, "training": facts}
            for member, facts in zip(members, each)
        ],
    }
    if weights:
        facts["weights"] = [round(weight / sum(weights), 4) for weight in weights]
    if learned_from:
        facts["learned_from"] = list(learned_from)
        facts["seed"] = (config.stacking or StackingConfig(config.method)).seed
    return facts | _patients(each, learned_from, together)


def _common(each: Sequence[Mapping[str, Any]], name: str) -> Any:
    values = [facts.get(name) for facts in each]
    return values[0] if all(value == values[0] for value in values) else None


def _patients(
    each: Sequence[Mapping[str, Any]], learned_from: Sequence[str], together: Sequence[Sequence[str]]
) -> dict[str, list[str]]:
    """Whom any of it was trained on, and whom all of it was validated on; nothing where a member does not say it."""
    if any("patients_trained_on" not in facts for facts in each):
        return {}
    trained = set(learned_from).union(*(trained_on(facts) for facts in each))
    validated = set.intersection(*(set(facts.get("patients_validated_on", ())) for facts in each))
    seen = set(seen_patients({"patients_trained_on": sorted(trained)}, validated, together))
    return {"patients_trained_on": sorted(trained), "patients_validated_on": sorted(validated - seen)}


def _description(members: Sequence[Bundle], method: str) -> str:
    return f"{', '.join(members[0].convention)} by {len(members)} models, {WORDS[method]}"


#: Each method in words.
WORDS = {
    "average": "averaged",
    "weighted": "averaged with weights",
    "vote": "by majority vote",
    "staple": "joined by STAPLE",
    "stacked-forest": "joined by a random forest",
    "stacked-boosting": "joined by gradient boosting",
}


def _score(bundle: Bundle, cases: Sequence[Case], config: EnsembleConfig, events: Listener) -> None:
    """Score an ensemble on the patients that were held out from all members, if there are any."""
    held_out = set(training_facts(bundle).get("patients_validated_on", ()))
    usable = [case for case in cases if case.patient in held_out and set(bundle.convention) <= set(case.convention)]
    if usable:
        score_held_out(bundle, Segmenter.load(bundle, config.device), usable, events)
