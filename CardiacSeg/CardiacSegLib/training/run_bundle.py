"""The bundle of a run, which takes the place of an earlier one only once it is whole, scored and has its card."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from CardiacSegLib.bundles import RUN_BUNDLE, Bundle, write_bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.inference.torch_runtime import TorchRuntime
from CardiacSegLib.jobs.events import Listener
from CardiacSegLib.training.card import model_card
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.plan import RunPlan
from CardiacSegLib.training.scoring import score_held_out
from CardiacSegLib.training.trainer import Trainer

#: The bundle while it is written and scored, and the one before it while they change places.
_UNFINISHED, _EARLIER = "bundle-unfinished", "bundle-earlier"


def write_run_bundle(
    plan: RunPlan, trainer: Trainer, started_from: Mapping[str, Any] | None, events: Listener
) -> Bundle:
    """Write the bundle of a trained network, score it on the held-out cases and fill in its card.

    Args:
        plan: of the run.
        trainer: its network has the weights that become the model.
        started_from: facts about the training of the model that the run started from, if any.
        events: told of what takes time.
    """
    folder = plan.folder / RUN_BUNDLE
    with _replacing_folder(folder) as unfinished:
        bundle = write_bundle(
            *(unfinished, plan.name, trainer.network, plan.definition, plan.labeling_grid, plan.cases.convention),
            facts=_facts(plan, trainer, started_from),
            turns=plan.config.turns,
            description=plan.config.title,
            modality=plan.config.modality,
            tell=lambda reason: events.stage("onnx", reason),
        )
        runtime = TorchRuntime(bundle.load_network(), plan.device)
        segmenter = Segmenter(runtime, bundle.grid, bundle.convention, bundle.turns)
        metadata = score_held_out(bundle, segmenter, plan.cases.validation, events)
        with replacing(bundle.card) as card:
            card.write_text(model_card(metadata), encoding="utf-8")
    return Bundle.read(folder)


def _facts(plan: RunPlan, trainer: Trainer, started_from: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the metadata and the card say about the training."""
    config, cases = plan.config, plan.cases
    sides = {"trained": cases.training, "validated": cases.validation}
    return {
        "slices": trainer.slices,
        "steps": trainer.step,
        "epochs": round(trainer.epochs, 1),
        "minutes": round(trainer.elapsed() / 60, 1),
        "parameters": trainer.parameters,
        "network": plan.definition["_target_"].rpartition(".")[2],
        "layout": cases.layout,
        "purpose": config.purpose,
        "fold": config.fold,
        "neighbors": config.neighbors,
        "turns": config.turns,
        "batch_size": config.batch_size,
        "keep": config.keep,
        "averaged": config.ema_decay > 0,
        "spacing": config.spacing,
        "command": config.command(TrainingConfig(), dataset="DATA", **_card_places(config)),
        "machine": plan.device.described,
        **{f"patients_{name}_on": sorted({case.patient for case in side}) for name, side in sides.items()},
        "started_from": started_from,
    }


def remove_unfinished(run: Path) -> None:
    """Remove what a run that was killed while it wrote its bundle left behind; the last whole bundle stays."""
    if (run / _EARLIER).exists() and not (run / RUN_BUNDLE).exists():
        (run / _EARLIER).rename(run / RUN_BUNDLE)
    for name in (_UNFINISHED, _EARLIER):
        shutil.rmtree(run / name, ignore_errors=True)


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Write the folder of a bundle under another name; it gets its own, and goes before an earlier one, once whole."""
    run = folder.parent
    remove_unfinished(run)
    try:
        yield run / _UNFINISHED
        _exchange(run / _UNFINISHED, folder, run / _EARLIER)
    finally:
        remove_unfinished(run)


def _exchange(new: Path, folder: Path, earlier: Path) -> None:
    try:
        if folder.exists():
            folder.rename(earlier)
        new.rename(folder)
    except OSError as error:
        if earlier.exists():
            earlier.rename(folder)
        raise CardiacSegError(
            f"{folder}: cannot be replaced ({error.strerror or error}); end what uses it and resume the run"
        ) from error


def _card_places(config: TrainingConfig) -> dict[str, str]:
    """Places on this machine as a card may name them."""
    names = {"split": Path(config.split).name, "start": "RUN_START/bundle", "encoder_weights": "WEIGHTS"}
    return {field: name for field, name in names.items() if getattr(config, field)}
