"""The command ``cardiacseg``: the engine from a shell.

Exit code 0 means that everything asked for was written; 1 that something was not, with a line that says what and why;
2 that the command line itself was wrong.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from CardiacSegLib import __version__
from CardiacSegLib.anatomy import LABEL_CONVENTIONS, LabelConvention, parse_labels, relabel
from CardiacSegLib.bundles import DEFAULT_MODEL, list_models
from CardiacSegLib.clinical.volumes import VentricularFunction, ventricular_function
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import make_folder, replacing
from CardiacSegLib.images import (
    IMAGE_EXTENSIONS,
    LABEL_EXTENSIONS,
    Image,
    check_label_format,
    extension_of,
    read_image,
    write_labels,
)
from CardiacSegLib.jobs.events import EventWriter

if TYPE_CHECKING:
    from CardiacSegLib.datasets.report import DatasetReport
    from CardiacSegLib.inference.segmenter import Segmenter
    from CardiacSegLib.training.config import TrainingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    report = Report(options.events)
    try:
        return options.run(options, report)
    except CardiacSegError as error:
        report.error(error)
    except KeyboardInterrupt:
        report.error(CardiacSegError("stopped; files written before are whole, nothing is half written"))
    except MemoryError:
        report.error(CardiacSegError("not enough memory; close other programs or give a smaller image"))
    return 1


class Report:
    """What a command says: events, one JSON object a line, or a progress bar and lines for people."""

    def __init__(self, as_events: bool) -> None:
        self._events = EventWriter(sys.stdout) if as_events else None
        self._bar: Any = None
        self._shown: dict[str, Any] = {}

    def stage(self, name: str, text: str) -> None:
        self._finish_bar()
        if self._events:
            self._events.stage(name, text)
        elif sys.stderr.isatty():
            print(text, file=sys.stderr)

    def progress(self, fraction: float, seconds_left: float | None = None, **fields: Any) -> None:
        if self._events:
            self._events.progress(fraction, seconds_left, **fields)
            return
        if self._bar is None:
            from tqdm import tqdm

            # tqdm knows whether it writes to a terminal, and shows nothing where it does not.
            self._bar = tqdm(total=100, disable=None, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}")
        self._shown.update({name: _brief(value) for name, value in fields.items() if name != "text"})
        self._bar.set_postfix_str(", ".join(f"{name} {value}" for name, value in self._shown.items()), refresh=False)
        self._bar.update(round(100 * fraction) - self._bar.n)
        if fraction >= 1:
            self._finish_bar()

    def result(self, text: str, /, **fields: Any) -> None:
        self._finish_bar()
        if self._events:
            self._events.result(**fields)
        else:
            print(text)

    def stopped(self, text: str) -> None:
        self._finish_bar()
        if self._events:
            self._events.stopped()
        else:
            print(text)

    def warn(self, text: str) -> None:
        self._finish_bar()
        if self._events:
            self._events.log(text)
        else:
            print(f"cardiacseg: {text}", file=sys.stderr)

    def error(self, error: CardiacSegError) -> None:
        self._finish_bar()
        if self._events:
            self._events.error(error)
        print(f"cardiacseg: {error}", file=sys.stderr)

    def _finish_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _brief(value: Any) -> str:
    """A value as a progress bar shows it."""
    return " ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cardiacseg", description="Segment the heart in cardiac MR.")
    parser.add_argument("--version", action="version", version=f"cardiacseg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--events", action="store_true", help="print one JSON event a line instead of text for people")
    for add in (_add_segment, _add_models, _add_phantom, _add_dataset, _add_evaluate, _add_train):
        add(commands, common)
    return parser


def _add_segment(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("segment", parents=[common], help="label the heart in volumes or cines")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=", ".join(IMAGE_EXTENSIONS))
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        type=Path,
        metavar="FILE_OR_FOLDER",
        help=f"a file ({', '.join(LABEL_EXTENSIONS)}), or a folder that gets NAME_labels.nii.gz for each image",
    )
    _add_model_options(parser)
    parser.add_argument(
        "--labels",
        default="canonical",
        choices=sorted(LABEL_CONVENTIONS, reverse=True),
        help="numbers on disk: canonical 1 LV 2 MYO 3 RV, acdc 1 RV 2 MYO 3 LV, camus 1 LV 2 MYO 3 LA "
        "(default: %(default)s)",
    )
    parser.add_argument("--table", type=Path, metavar="CSV", help="write volumes, and for a cine the ejection fraction")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the contours; a folder for several images")
    parser.set_defaults(run=_segment)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder of a bundle (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    parser.add_argument(
        "--turns",
        type=int,
        choices=(1, 8),
        help="turned and flipped copies to average: 1 is faster, 8 more accurate (default: what the model says)",
    )


def _add_models(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("models", parents=[common], help="list the models that can be used")
    parser.set_defaults(run=_models)


def _add_phantom(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("phantom", parents=[common], help="write a beating heart made by code, with its truth")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for phantom.nii.gz and phantom_labels.nii.gz")
    parser.add_argument("--frames", type=int, default=20, help="phases of the cine (default: %(default)s)")
    parser.add_argument("--slices", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="in plane, in plane, between slices")
    parser.add_argument("--orientation", default="short-axis", help="of the array in space (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another heart position, texture and noise")
    parser.set_defaults(run=_phantom)


def _add_dataset(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("dataset", parents=[common], help="say what a data set holds and what is wrong")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of labeled cases, or a file that lists them")
    parser.add_argument("--layout", default="", metavar="NAME", help="how files are arranged (default: recognized)")
    parser.add_argument("--labels", default="", metavar="TEXT", help="as 1=LV,2=MYO, where the layout says nothing")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw a few cases with their labels")
    parser.set_defaults(run=_dataset)


def _add_evaluate(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("evaluate", parents=[common], help="compare a model with the labels of a data set")
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="FOLDER", help="labeled cases, or a list of them"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder for cases.csv and all labels")
    parser.add_argument("--layout", default="", metavar="NAME", help="how files are arranged (default: recognized)")
    parser.add_argument("--labels", default="", metavar="TEXT", help="as 1=LV,2=MYO, where the layout says nothing")
    _add_model_options(parser)
    parser.set_defaults(run=_evaluate)


def _add_train(commands: Any, common: argparse.ArgumentParser) -> None:
    from CardiacSegLib.training.config import add_options

    parser = commands.add_parser("train", parents=[common], help="train a model on labeled cases")
    parser.add_argument("--output", type=Path, metavar="RUN", help="folder of the run; gets RUN/bundle")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was stopped or killed")
    parser.add_argument("--recipe", default="", metavar="NAME", help="configuration to begin with; see --list")
    parser.add_argument("--list", action="store_true", help="list recipes, networks, losses and what else can be named")
    add_options(parser.add_argument_group("configuration"))
    parser.set_defaults(run=_train)


@dataclass(frozen=True)
class _Request:
    """One image with the places of what is made from it."""

    image: Path
    labels: Path
    picture: Path | None


def _segment(options: argparse.Namespace, report: Report) -> int:
    requests = _requests(options)
    _check_overwriting(requests)
    report.stage("load", f"loading {options.model}")
    # torch is imported here and not at the top: what does not compute answers at once.
    from CardiacSegLib.inference.segmenter import Segmenter

    segmenter = Segmenter.load(options.model, options.device, options.turns)
    rows: list[tuple[Any, ...]] = []
    failed = 0
    for number, request in enumerate(requests):
        report.stage("segment", f"segmenting {request.image}")
        try:
            function = _segment_one(request, segmenter, options.labels, report, number, len(requests))
        except CardiacSegError as error:
            report.error(error)
            failed += 1
            continue
        if not function.volumes_ml:
            report.warn(f"{request.image}: no heart was found in it; is it a short-axis cardiac MR?")
        rows += [(request.image.name, *row) for row in function.rows()]
        measures = [{"measure": m, "structure": s, "value": v, "unit": u} for m, s, v, u in function.rows()]
        report.result(str(request.labels), labels=str(request.labels), measures=measures)
    if options.table and failed < len(requests):
        write_table(options.table, rows)
    return 1 if failed else 0


def _segment_one(
    request: _Request, segmenter: Segmenter, labels_on_disk: str, report: Report, number: int, count: int
) -> VentricularFunction:
    numbers = _numbers_on_disk(segmenter.convention, labels_on_disk)
    image = read_image(request.image)
    if not image.spacing_known:
        report.warn(f"{request.image}: says no spacing; 1 mm is assumed, so that volumes and areas mean nothing")
    elif 1 in image.array.shape[:3]:
        report.warn(f"{request.image}: is a single slice; its volumes are those within that slice, not of a heart")
    check_label_format(request.labels, image.array.shape)
    try:
        labels = segmenter.segment(image.array, image.affine, lambda done: report.progress((number + done) / count))
    except CardiacSegError as error:  # the segmenter knows the array, not the file
        raise CardiacSegError(f"{request.image}: {error}") from error
    function = ventricular_function(labels, image.affine, convention=segmenter.convention)
    if request.picture:
        _draw(request.picture, image, labels, function, segmenter)
    write_labels(request.labels, relabel(labels, segmenter.convention, numbers), image, numbers)
    return function


def _numbers_on_disk(convention: LabelConvention, name: str) -> LabelConvention:
    """The numbers of a named convention for the structures of a model; where none has them all, the model's own."""
    numbers = LABEL_CONVENTIONS[name]
    missing = sorted(set(convention) - set(numbers))
    if not missing:
        return {structure: numbers[structure] for structure in convention}
    if name == "canonical":
        return convention
    raise CardiacSegError(f"--labels {name} has no number for {', '.join(missing)} of this model; leave it out")


def _draw(path: Path, image: Image, labels: Any, function: VentricularFunction, segmenter: Segmenter) -> None:
    from CardiacSegLib.pictures import contour_picture

    phases = (("ED", function.ed_frame), ("ES", function.es_frame))
    frames = [(name, frame) for name, frame in phases if frame is not None] or [("", 0)]
    title = image.path.name if image.path else None
    contour_picture(
        image.array, labels, image.affine, path, frames=frames, title=title, convention=segmenter.convention
    )


def _requests(options: argparse.Namespace) -> list[_Request]:
    """Where each result goes; wrong combinations are found before anything is computed."""
    several = len(options.images) > 1
    if extension_of(options.output, LABEL_EXTENSIONS):
        if several:
            raise CardiacSegError(f"{options.output}: is one file for {len(options.images)} images; give a folder")
        return [_Request(options.images[0], options.output, options.picture)]
    if options.output.is_file() or (options.output.suffix and not options.output.is_dir()):
        known = ", ".join(LABEL_EXTENSIONS)
        raise CardiacSegError(f"{options.output}: not a format for labels; give one of {known}, or a folder")
    make_folder(options.output)
    if options.picture and several:
        make_folder(options.picture)
    stems = [stem_of(image) for image in options.images]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise CardiacSegError(
            f"two images are called {twice}; their results would replace each other, segment them apart"
        )
    return [
        _Request(
            image,
            options.output / f"{stem}_labels.nii.gz",
            options.picture / f"{stem}.png" if options.picture and several else options.picture,
        )
        for image, stem in zip(options.images, stems)
    ]


def _check_overwriting(requests: Sequence[_Request]) -> None:
    """Refuse to write labels over an image, this one or another of the same command."""
    images = [request.image for request in requests if request.image.exists()]
    for request in requests:
        if request.labels.exists() and any(request.labels.samefile(image) for image in images):
            raise CardiacSegError(f"{request.labels}: labels would replace the image itself; give another name")


def stem_of(path: Path) -> str:
    """Name of an image file without its extension, which may have two parts."""
    extension = extension_of(path, IMAGE_EXTENSIONS)
    return path.name[: -len(extension)] if extension else path.name


def write_table(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows (image, measure, structure, value, unit) as CSV; a value that is None stays empty."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "measure", "structure", "value", "unit"))
        for image, measure, structure, value, unit in rows:
            shown = "" if value is None else f"{value:.2f}" if isinstance(value, float) else value
            writer.writerow((image, measure, structure, shown, unit))


def _models(options: argparse.Namespace, report: Report) -> int:
    models = list_models()
    if not models:
        raise CardiacSegError("no model is installed; set CARDIACSEG_MODELS to a folder of bundles")
    for model in models:
        line = f"{model.name:24} {', '.join(model.convention):16} {model.description}"
        report.result(line, name=model.name, folder=str(model.folder), description=model.description)
    return 0


def _phantom(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.images import write_image
    from CardiacSegLib.phantom import PhantomOptions, make_phantom

    given = {"spacing": tuple(options.spacing)} if options.spacing else {}
    chosen = {name: getattr(options, name) for name in ("frames", "slices", "orientation", "seed")}
    phantom = make_phantom(PhantomOptions(**chosen, **given))
    make_folder(options.output)
    image = Image(phantom.image, phantom.affine)
    paths = options.output / "phantom.nii.gz", options.output / "phantom_labels.nii.gz"
    write_image(paths[0], image)
    write_labels(paths[1], phantom.labels, image, LABEL_CONVENTIONS["canonical"])
    report.result("\n".join(map(str, paths)), image=str(paths[0]), labels=str(paths[1]))
    return 0


def _dataset(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.datasets.report import draw_samples, examine_dataset, report_fields
    from CardiacSegLib.datasets.report_text import report_text

    labels = parse_labels(options.labels) if options.labels else None
    report.stage("read", f"reading {options.folder}")
    found = examine_dataset(options.folder, options.layout, labels, report.progress)
    text, obstacle = report_text(found), _obstacle_to_training(options, found)
    fields = {**report_fields(found), "problems": len(found.unusable()), "text": text}
    fields |= {"trainable": not obstacle, "obstacle": obstacle}
    if options.picture and found.facts:
        fields["picture"] = str(draw_samples(found, options.picture))
    report.result(text, **fields)
    return 1 if found.unusable() else 0


def _obstacle_to_training(options: argparse.Namespace, found: DatasetReport) -> str:
    """Why a model cannot be trained on a data set as it is, in one line; "" where it can."""
    from CardiacSegLib.training.cases import find_run_cases
    from CardiacSegLib.training.config import TrainingConfig

    if found.unusable():
        return found.unusable()[0].text
    config = TrainingConfig(dataset=str(options.folder), layout=found.layout, labels=options.labels)
    with TemporaryDirectory() as new_run:
        try:
            find_run_cases(config, Path(new_run))
        except CardiacSegError as error:
            return str(error)
    return ""


def _evaluate(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.datasets.layouts import find_cases
    from CardiacSegLib.evaluation.study import evaluate_cases
    from CardiacSegLib.evaluation.tables import TABLE
    from CardiacSegLib.evaluation.validation import dice_table, mean_dice
    from CardiacSegLib.inference.segmenter import Segmenter

    cases = find_cases(options.dataset, options.layout, parse_labels(options.labels) if options.labels else None)
    report.stage("load", f"loading {options.model}")
    segmenter = Segmenter.load(options.model, options.device, options.turns)
    scores = evaluate_cases(segmenter, cases, options.output, report)
    table = mean_dice(scores)
    report.result(dice_table(table), table=str(options.output / TABLE), cases=len(scores), dice=table)
    return 0


def _train(options: argparse.Namespace, report: Report) -> int:
    from CardiacSegLib.training.config import given_options

    if options.list:
        return _list_choices(report)
    changes = given_options(options)
    if not options.resume:
        config = _configured(options, changes)
        config.check()
    elif options.output or options.recipe:
        raise CardiacSegError("--resume goes on in its own folder with its own recipe; leave out --output and --recipe")
    from CardiacSegLib.training.distributed import is_first_process
    from CardiacSegLib.training.run import resume, train

    bundle = resume(options.resume, report, changes) if options.resume else train(config, options.output, report)
    if is_first_process() and bundle is None:
        report.stopped(f"stopped; go on with it by --resume {options.resume or options.output}")
    elif is_first_process():
        report.result(str(bundle.folder), bundle=str(bundle.folder))
    return 0


def _configured(options: argparse.Namespace, changes: dict[str, Any]) -> TrainingConfig:
    """The configuration of a new run: that of the recipe, with what the command line changes."""
    from CardiacSegLib.training.config import TrainingConfig
    from CardiacSegLib.training.recipes import find_recipe

    if not options.output:
        raise CardiacSegError("--output is missing; name the folder of the run, or the run to go on with by --resume")
    if options.recipe:
        return find_recipe(options.recipe).with_changes(changes)
    return TrainingConfig.from_mapping(changes, "command line")


def _list_choices(report: Report) -> int:
    from CardiacSegLib.datasets.layouts import LAYOUTS
    from CardiacSegLib.networks import NETWORKS
    from CardiacSegLib.training.choices import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES
    from CardiacSegLib.training.recipes import list_recipes

    lists = {
        "recipe": {recipe.name: recipe.line for recipe in list_recipes()},
        "network": {name: entry.line for name, entry in NETWORKS.items()},
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "augmentation": AUGMENTATIONS,
        "layout": {name: layout.TITLE for name, layout in LAYOUTS.items()},
    }
    for option, lines in lists.items():
        width = max(map(len, lines))
        text = "\n".join(f"  {name:{width}}  {line}" for name, line in lines.items())
        report.result(f"--{option}\n{text}\n", option=option, choices=dict(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
