"""How a training run stands, as one line."""

from __future__ import annotations

from slicer.i18n import tr as _

from CardiacSegLib.gui.section import timeText
from CardiacSegLib.jobs.runs import TrainingRun


def runStatus(run: TrainingRun, state: str) -> str:
    """What a run does or why it ended, and what is known of its Dice, loss and time left."""
    words = {
        "starting": _("starting"),
        "running": run.stage or _("running"),
        "stopping": _("saving, then it stops"),
        "stopped": _("stopped; it can go on"),
        "finished": _("finished"),
        "failed": run.error,
        "interrupted": run.error or _("its process is gone; it can go on"),
    }
    parts = [words[state] or state]
    if run.dice:
        dice = ", ".join(f"{name} {value:.3f}" for name, value in run.dice.items())
        parts.append(_("Dice {dice}").format(dice=dice))
    if state == "running":
        if run.loss is not None:
            parts.append(_("loss {loss:.3f}").format(loss=run.loss))
        if run.seconds_left:
            parts.append(_("{time} left").format(time=timeText(run.seconds_left)))
    return " · ".join(parts)
