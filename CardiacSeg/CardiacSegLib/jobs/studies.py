"""What a study is measured from, its page, and the drawing of its bullseye and its page in a process of its own.

The process is ``python -m CardiacSegLib.jobs.studies FOLDER``; the folder holds what :func:`start_drawing` writes.
Drawing takes a second and needs matplotlib, which an application need not have loaded; measuring takes a moment, and
whoever has an input measures it where it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CardiacSegLib.anatomy import CANONICAL, LabelConvention
from CardiacSegLib.clinical.body import Subject
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.jobs.events import EventWriter
from CardiacSegLib.jobs.owned_folders import make_owned_folder, owned_folder
from CardiacSegLib.jobs.privacy import keep_home_out_of_logs
from CardiacSegLib.jobs.processes import engine_command, start_process

if TYPE_CHECKING:
    from CardiacSegLib.clinical.study import StudyMeasures

#: Of contours, as files.
_ARRAYS = ("image", "labels", "affine")
#: Measures that tell of a whole heartbeat what two phases of it cannot: where they were chosen, these are the extremes.
_OF_A_HEARTBEAT = ("Largest volume", "Smallest volume", "EF of own extremes", "Peak ejection rate", "Peak filling rate")

#: Labels that come from a panel may have been edited after a model made them.
_EDITS = "what was edited by hand is measured as it is, and not recorded"


@dataclass(frozen=True)
class StudyInput:
    """What a study is measured from.

    Attributes:
        labels: integers (I, J, K, T), or (I, J, K) of a single phase.
        affine: 4 x 4, array index to RAS mm.
        convention: which number is which structure in ``labels``.
        frames: (ED frame, ES frame) counted from 0, where a person chose them.
        frame_times: (T,), ms; None where they are not known.
        heart_rate: beats per minute; goes before that of the frame times.
        subject: the person.
        is_cine: whether several frames are a heartbeat; else they are ED and ES alone.
        warnings: what to look at again, beside what is found by measuring.
        provenance: by what the labels were made, as a segmentation's result event tells it; {} where nobody knows.
    """

    labels: np.ndarray
    affine: np.ndarray
    convention: LabelConvention = field(default_factory=lambda: CANONICAL)
    frames: tuple[int, int] | None = None
    frame_times: Sequence[float] | None = None
    heart_rate: float | None = None
    subject: Subject = field(default_factory=Subject)
    is_cine: bool = True
    warnings: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def measure(self) -> StudyMeasures:
        """The measures.

        Raises:
            CardiacSegError: as :func:`CardiacSegLib.clinical.study.measure_study`.
        """
        from CardiacSegLib.clinical.study import measure_study  # SciPy takes a quarter of a second to load

        study = measure_study(
            self.labels,
            self.affine,
            frame_times=self.frame_times,
            heart_rate=self.heart_rate,
            subject=self.subject,
            convention=self.convention,
            frames=self.frames,
        )
        rows = [row for row in study.rows if self.is_cine or row.measure not in _OF_A_HEARTBEAT]
        return replace(study, rows=rows, warnings=[*study.warnings, *self.warnings])

    def write(self, folder: Path) -> None:
        """Write it into a folder; :meth:`read` reads it."""
        np.save(folder / "labels.npy", self.labels)
        np.save(folder / "affine.npy", np.asarray(self.affine, float))
        rest = {name: value for name, value in vars(self).items() if name not in ("labels", "affine")}
        rest["subject"] = vars(self.subject)
        rest["frame_times"] = None if self.frame_times is None else [float(time) for time in self.frame_times]
        rest["warnings"], rest["provenance"] = list(self.warnings), dict(self.provenance)
        (folder / "study.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> StudyInput:
        """What :meth:`write` wrote."""
        rest = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("labels", "affine")}
        frames = tuple(rest["frames"]) if rest["frames"] else None
        return cls(**{**rest, **arrays, "frames": frames, "subject": Subject(**rest["subject"])})


@dataclass(frozen=True)
class Contours:
    """What a picture of contours shows.

    Attributes:
        image: intensities (I, J, K), or (I, J, K, T).
        labels: on the same grid, numbered as those of the study.
        affine: 4 x 4, array index to RAS mm.
        phases: the frames that are shown, counted from 0, by their names; "" is that of a study without ED and ES.
        title: a line above the picture.
    """

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    phases: Mapping[str, int]
    title: str | None = None

    def write(self, folder: Path) -> None:
        """Write them into a folder; :meth:`read` reads them."""
        for name in _ARRAYS:
            np.save(folder / f"contours-{name}.npy", getattr(self, name))
        rest = {"phases": dict(self.phases), "title": self.title}
        (folder / "contours.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Contours | None:
        """What :meth:`write` wrote; None where there is none."""
        if not (folder / "contours.json").is_file():
            return None
        rest = json.loads((folder / "contours.json").read_text(encoding="utf-8"))
        return cls(*(np.load(folder / f"contours-{name}.npy", allow_pickle=False) for name in _ARRAYS), **rest)

    def draw(self, path: Path, convention: LabelConvention) -> Path:
        """Write the picture, as PNG."""
        from CardiacSegLib.pictures import contour_picture

        arrays, frames = (self.image, self.labels, self.affine), list(self.phases.items())
        return contour_picture(*arrays, path, frames=frames, title=self.title, convention=convention)

    @property
    def caption(self) -> str:
        """What stands below the picture."""
        return "Contours at " + " and ".join(self.phases) if "ED" in self.phases else "Contours"


def start_drawing(
    study: StudyInput,
    *,
    bullseye: Path | None = None,
    page: Path | None = None,
    title: str = "",
    contours: Contours | None = None,
    facts: Mapping[str, str] | None = None,
) -> EngineCommand:
    """Start to draw a study and return at once; whoever follows the command polls it.

    Args:
        study: what is drawn.
        bullseye: gets the bullseye as PNG; in the folder of the command where the path is relative.
        page: gets the page as HTML; likewise.
        title: of the page.
        contours: to be shown on the page.
        facts: further lines at the end of the page, by what they are called.

    Returns:
        The command. Its folder goes with :meth:`~CardiacSegLib.jobs.commands.EngineCommand.close`.

    Raises:
        CardiacSegError: where the process cannot be started or its files cannot be written.
    """
    folder = make_owned_folder()
    wishes = {"bullseye": bullseye and str(bullseye), "page": page and str(page), "title": title, "facts": facts or {}}
    try:
        study.write(folder)
        if contours is not None:
            contours.write(folder)
        (folder / "wishes.json").write_text(json.dumps(wishes), encoding="utf-8")
    except OSError as error:
        raise CardiacSegError(f"{folder}: cannot be written ({error.strerror}); make room on the disk") from error
    command = engine_command("jobs.studies", str(folder))
    return EngineCommand(start_process(command, folder / "log.txt", folder / "events.jsonl"), folder, is_ours=True)


def draw(folder: Path) -> None:
    """Draw what the folder asks for.

    Raises:
        CardiacSegError: where a picture or a page cannot be written, or no bullseye can be drawn.
    """
    study_input = StudyInput.read(folder)
    wishes = json.loads((folder / "wishes.json").read_text(encoding="utf-8"))
    study = study_input.measure()
    if wishes["bullseye"]:
        draw_bullseye(study, folder / wishes["bullseye"])
    if wishes["page"]:
        from CardiacSegLib.inference.provenance import Provenance

        made = Provenance.of_fields(study_input.provenance).lines()
        made |= {"Since then": _EDITS} if made else {}
        about = {"title": wishes["title"], "facts": {**made, **wishes["facts"]}}
        write_page(study, folder / wishes["page"], Contours.read(folder), study_input.convention, **about)


def draw_bullseye(study: StudyMeasures, path: Path) -> None:
    """Write the bullseyes of a study, side by side, as PNG.

    Raises:
        CardiacSegError: where no segment of the wall was measured, or the file cannot be written.
    """
    from CardiacSegLib.clinical.figures import bullseye_figure, study_bullseyes, write_png

    bullseyes = study_bullseyes(study)
    if not bullseyes:
        raise CardiacSegError(no_bullseye_text(study))
    write_png(bullseye_figure(bullseyes), path)


def no_bullseye_text(study: StudyMeasures) -> str:
    """Why a study has no bullseye, in one line; "" where it has one."""
    if any(np.isfinite(wall.segments_mm).any() for wall in study.walls.values()):
        return ""
    reason = next((wall.reason for wall in study.walls.values() if wall.reason), "the wall was not measured")
    return f"there is no bullseye: {reason}"


def write_page(
    study: StudyMeasures,
    path: Path,
    contours: Contours | None,
    convention: LabelConvention,
    *,
    title: str,
    facts: Mapping[str, object],
) -> None:
    """Write the page of a study, with the contours that it was measured from where their images are known.

    Args:
        study: the measures.
        path: of the page; it appears only once complete.
        contours: to be shown; None leaves them out.
        convention: which number is which structure in them.
        title: of the page.
        facts: how it was made, as :meth:`~CardiacSegLib.inference.provenance.Provenance.lines` tells it.

    Raises:
        CardiacSegError: where the page cannot be written.
    """
    from CardiacSegLib.clinical.page import write_study_page

    with owned_folder() as folder:
        drawn = {} if contours is None else {contours.caption: contours.draw(folder / "contours.png", convention)}
        write_study_page(study, path, title=title, pictures=drawn, facts=facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, with events on the standard output; the exit code."""
    parser = argparse.ArgumentParser(description="Draw the bullseye and the page of a study.")
    parser.add_argument("folder", type=Path)
    keep_home_out_of_logs()
    events = EventWriter(sys.stdout)
    try:
        draw(parser.parse_args(arguments).folder)
    except Exception as error:  # whoever asked reads the events
        events.error(error)
        return 1
    events.result()
    return 0


if __name__ == "__main__":
    sys.exit(main())
