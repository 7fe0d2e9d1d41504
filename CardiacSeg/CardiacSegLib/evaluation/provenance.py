"""What a model says of the patients it has seen, against the patients it is evaluated on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from CardiacSegLib.bundles import Bundle, training_facts
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.wording import named

_MOST_NAMED = 20


def card_facts(bundle: Bundle) -> dict[str, Any]:
    """What a report tells of a model; what its maker left out is missing."""
    facts = training_facts(bundle)
    kept = ("network", "parameters", "layout", "fold", "neighbors", "minutes", "epochs", "machine", "purpose")
    return {
        "name": bundle.name,
        "description": bundle.description,
        "sha256": bundle.hash,
        "turns": bundle.turns,
        "spacing_mm": bundle.grid.spacing,
        **{name: facts[name] for name in kept if name in facts},
        "patients_trained_on": len(trained_on(facts)),
        "patients_validated_on": len(facts.get("patients_validated_on", ())),
    }


def trained_on(facts: Mapping[str, Any]) -> set[str]:
    """The patients that a model, or a model that it started from, was trained on."""
    start = facts.get("started_from")
    before = trained_on(start) if isinstance(start, Mapping) else set()
    return {*facts.get("patients_trained_on", ()), *before}


def seen_patients(
    facts: Mapping[str, Any], patients: Collection[str], together: Iterable[Sequence[str]] = ()
) -> list[str]:
    """The patients whom training has seen, by their names, sorted.

    Args:
        facts: of :func:`CardiacSegLib.bundles.training_facts`.
        patients: that a model is to be evaluated on.
        together: sets of patients that show the same person: one who was seen gives all away.
    """
    seen = trained_on(facts)
    same = {patient for persons in together if seen.intersection(persons) for patient in persons}
    return sorted((seen | same).intersection(patients))


def seen_warnings(
    name: str, facts: Mapping[str, Any], patients: Collection[str], together: Iterable[Sequence[str]] = ()
) -> list[str]:
    """What has to be said before anyone believes the scores of a model on these patients."""
    if "patients_trained_on" not in facts:
        return [f"{name} does not say which patients it was trained on: these may be among them"]
    warnings = []
    seen = seen_patients(facts, patients, together)
    if seen:
        warnings.append(
            f"{name} WAS TRAINED ON {len(seen)} of these {len(patients)} patients "
            f"(by name: {named(seen, _MOST_NAMED)}): "
            "its scores on them say nothing about new patients; --held-out leaves them out"
        )
    chosen = sorted(set(facts.get("patients_validated_on", ())).intersection(patients) - set(seen))
    if chosen and facts.get("keep") == "best":
        warnings.append(
            f"the weights of {name} were chosen by its scores on {len(chosen)} of these {len(patients)} patients "
            f"({named(chosen, _MOST_NAMED)}), which flatters it a little"
        )
    return warnings


def held_out_cases(
    bundles: Sequence[Bundle], cases: Sequence[Case], together: Iterable[Sequence[str]] = ()
) -> list[Case]:
    """The cases of the patients that every model was validated on, and none was trained on.

    Raises:
        CardiacSegError: where there are none, or a model does not say it.
    """
    kept = {case.patient for case in cases}
    for bundle in bundles:
        facts = training_facts(bundle)
        if "patients_validated_on" not in facts:
            raise CardiacSegError(
                f"{bundle.name}: does not say which patients it was validated on; leave out --held-out"
            )
        kept &= set(facts["patients_validated_on"]) - set(seen_patients(facts, kept, together))
    if not kept:
        names = " and ".join(bundle.name for bundle in bundles)
        raise CardiacSegError(
            f"no patient of these cases was held out from the training of {names}; leave out --held-out, or give the "
            "data set that it was trained on"
        )
    return [case for case in cases if case.patient in kept]
