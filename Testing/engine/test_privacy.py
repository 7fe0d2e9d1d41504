"""What stands in the headers of files, or in the name of a home folder, is in nothing that the software writes or says.

The rule, which the tests hold it to:

- Of a header only geometry, times and gray values are taken; never names, identifiers, dates or comments.
- The name of a file, without its folder, is shown, and so is that of a case, which a data set makes from the names of
  files or folders: they are what a person calls them. Who may not show them renames the files.
- What an operator called a DICOM series is listed by ``cardiacseg dicom`` for the person to choose by, and not written.
- Logs, events and errors call the home folder ``~``. The result of a command answers with the paths that it was given.
- A run's ``places.json`` alone names folders of this computer, so that the run can go on, and those from ``~`` on.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import pydicom
import pytest
from PIL.PngImagePlugin import PngInfo

from canaries import (
    DATES,
    HOME,
    WORD,
    canaries_in,
    canaries_in_text,
    plant_in_dicom,
    plant_in_info,
    plant_in_nifti,
    plant_in_nrrd,
    plant_in_picture,
)
from CardiacSegLib.bundles import Bundle
from CardiacSegLib.cli import main
from CardiacSegLib.images import Image, read_image, write_image
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.jobs.commands import EngineCommand
from CardiacSegLib.jobs.events import EventWriter
from CardiacSegLib.jobs.privacy import keep_home_out_of_logs, without_home
from CardiacSegLib.jobs.processes import engine_environment
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from CardiacSegLib.training.config import TrainingConfig
from dicoms_made import a_scan, write_cine, write_long_axis
from phantoms import COARSE, write_acdc_patient

TINY = ("--epochs", "1", "--filters", "8", "16", "32", "--spacing", "3", "--crop", "64", "--window", "96")


@pytest.fixture
def a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home folder, in which commands run."""
    home = tmp_path / HOME / "anna"
    home.mkdir(parents=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv("CARDIACSEG_MODELS", raising=False)
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def a_model(a_home: Path, a_bundle: Bundle) -> Path:
    """The folder of a model ``by-chance`` among the person's own."""
    return shutil.copytree(a_bundle.folder, a_home / ".cardiacseg" / "models" / "by-chance")


@pytest.fixture
def run(a_home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command in the home folder; return everything that it printed and said."""

    def command(*arguments: object, code: int = 0) -> str:
        found = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert found == code, captured.err
        return captured.out + captured.err

    return command


def _phantom_image(frames: int = 1) -> Image:
    phantom = make_phantom(PhantomOptions(frames=max(frames, 2), slices=4, seed=4, **COARSE))
    return Image(phantom.image[..., 0] if frames == 1 else phantom.image, phantom.affine)


class TestTheSearch:
    """A search that finds nothing has to be one that could."""

    @pytest.mark.parametrize("word", [f"of {WORD} itself", f"on {DATES[1]}", f"xy{WORD}", f"x{WORD}^ANNA"])
    def test_finds_what_is_hidden(self, tmp_path, word):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside", gzip.compress(word.encode("utf-16-le")))
        picture = io.BytesIO()
        texts = PngInfo()
        texts.add_itxt("Title", word, zip=True)
        PIL.Image.new("L", (4, 4)).save(picture, "png", pnginfo=texts)
        page = b"<!DOCTYPE html><img src='data:image/png;base64," + base64.b64encode(picture.getvalue()) + b"'>"
        hidden = {
            **{"plain": word.encode(), "wide": word.encode("utf-16-be"), "coded": base64.b64encode(word.encode())},
            **{"zip": packed.getvalue(), "png": picture.getvalue(), "page.html": page},
        }
        for name, content in hidden.items():
            (tmp_path / name).write_bytes(content)
        found = canaries_in(tmp_path)
        assert [line.partition(" ")[0].rstrip(":") for line in found] == sorted(hidden)

    def test_finds_what_was_planted_in_every_kind_of_file(self, tmp_path):
        image, folder = _phantom_image(), tmp_path / "files"
        folder.mkdir()
        for name, plant in (("a.nii.gz", plant_in_nifti), ("b.nrrd", plant_in_nrrd)):
            write_image(folder / name, image)
            assert canaries_in(folder, but=("a.nii.gz",)) == []
            plant(folder / name)
            np.testing.assert_array_equal(read_image(folder / name).array, image.array)
        PIL.Image.new("L", (4, 4)).save(folder / "c.png")
        plant_in_picture(folder / "c.png")
        assert len(canaries_in(folder)) >= 3
        assert nibabel.load(folder / "a.nii.gz").header["descrip"].item().startswith(WORD.encode())

    def test_finds_nothing_where_nothing_is(self, tmp_path):
        write_image(tmp_path / "a.nii.gz", _phantom_image())
        assert canaries_in(tmp_path) == []


class TestTheHomeFolder:
    def test_is_called_by_a_sign_and_others_are_not(self, a_home):
        text = f"{a_home}/heart.nii.gz: damaged; {a_home}lie is another, so is /mnt{a_home}; see '{a_home}'"
        assert without_home(text) == f"~/heart.nii.gz: damaged; {a_home}lie is another, so is /mnt{a_home}; see '~'"

    def test_is_left_alone_where_it_is_the_root_of_all(self, monkeypatch):
        monkeypatch.setenv("HOME", "/")
        assert without_home("/data/heart.nii.gz") == "/data/heart.nii.gz"

    def test_is_not_in_events_for_people_and_whole_in_answers(self, a_home):
        stream = io.StringIO()
        events = EventWriter(stream)
        events.stage("read", f"reading {a_home / 'heart'}")
        events.log(f"left out {a_home}")
        events.progress(0.5, text=f"in {a_home}")
        events.error(FileNotFoundError(f"{a_home}/heart: gone"))
        assert canaries_in_text(stream.getvalue()) == []
        events.result(labels=a_home / "labels.nii.gz")
        assert json.loads(stream.getvalue().splitlines()[-1])["labels"] == str(a_home / "labels.nii.gz")

    def test_is_not_in_tracebacks_and_warnings(self, a_home, capsys, monkeypatch):
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
        keep_home_out_of_logs()
        try:
            compile("1/0\n", str(a_home / "module.py"), "exec")
            exec(compile("1/0\n", str(a_home / "module.py"), "exec"))
        except ZeroDivisionError:
            sys.excepthook(*sys.exc_info())
        sys.stderr.write(warnings.formatwarning("old", UserWarning, str(a_home / "module.py"), 1))
        said = capsys.readouterr().err
        assert ("~/module.py" in said, "ZeroDivisionError" in said, "UserWarning: old" in said) == (True,) * 3
        assert canaries_in_text(said) == []

    def test_is_in_no_error_of_a_command(self, a_home, a_model, run):
        (a_home / "heart.nii.gz").write_bytes(b"no image")
        said = run("segment", a_home / "heart.nii.gz", "--model", "by-chance", "-o", a_home / "out", "--events", code=1)
        assert "~/heart.nii.gz: cannot be read" in said
        assert canaries_in_text(said) == []

    def test_is_in_no_event_or_log_of_a_command_that_fails_in_a_process(self, a_home):
        with EngineCommand.start(["dataset", str(a_home / "nowhere")]) as command:
            while command.is_running:
                command.poll()
            assert "~/nowhere" in command.error
            assert canaries_in(command.folder) == []


class TestWhatIsWritten:
    @pytest.mark.parametrize(
        ("name", "plant"), [("heart.nii.gz", plant_in_nifti), ("heart.nrrd", plant_in_nrrd)], ids=["NIfTI", "NRRD"]
    )
    def test_of_a_volume_holds_nothing_of_its_header(self, a_home, a_model, run, name, plant):
        write_image(a_home / name, _phantom_image())
        plant(a_home / name)
        files = {"--report": "a.html", "--json": "a.json", "--table": "a.csv", "--picture": "a.png", "--doubt": "d.nii"}
        out = a_home / "out"
        out.mkdir()
        places = [part for option, file in files.items() for part in (option, f"out/{file}")]
        said = run("segment", name, "--model", "by-chance", "--device", "cpu", "-o", "out/a.nii.gz", *places)
        # As a panel names a model.
        said += run("segment", name, "--model", a_model, "--device", "cpu", "-o", "out/a.seg.nrrd", "--events")
        assert {path.name for path in out.iterdir()} == {"a.nii.gz", "a.seg.nrrd", *files.values()}
        assert canaries_in(out) == []
        assert canaries_in_text(said) == []

    def test_of_a_picture_holds_nothing_of_its_texts(self, a_home, a_model, run):
        array = _phantom_image().array[..., 2]
        PIL.Image.fromarray((255 * (array / array.max())).astype(np.uint8).T).save(a_home / "heart.png")
        plant_in_picture(a_home / "heart.png")
        said = run(
            "segment", "heart.png", "--model", "by-chance", "--device", "cpu", "-o", "out/", "--picture", "p.png"
        )
        assert canaries_in(a_home / "out") == []
        shutil.move(a_home / "p.png", a_home / "out")
        assert canaries_in(a_home / "out") == []
        assert canaries_in_text(said) == []

    def test_of_a_dicom_study_holds_nothing_of_any_text_element(self, a_home, a_model, run):
        study = a_home / "study"
        write_cine(study, a_scan(5, 3), SeriesDescription="sa")
        for number, path in enumerate(sorted(study.iterdir())):
            plant_in_dicom(path, every_element=number < 2)  # the first holds what is read of a series
        assert len(pydicom.dcmread(study / "00-00.dcm")) > 400
        (a_home / "out").mkdir()
        said = run("dicom", "study") + run("dicom", "study", "--events")
        said += run("dicom", "study", "-o", "out/cine.nii.gz")
        model = ("--model", "by-chance", "--device", "cpu")
        said += run("segment", "study", *model, "-o", "out/l.nii.gz", "--report", "out/a.html", "--json", "out/a.json")
        assert canaries_in(a_home / "out") == []
        assert canaries_in_text(said) == []

    def test_of_a_damaged_dicom_file_is_said_without_quoting_it(self, a_home, run):
        study = a_home / "study"
        write_cine(study, a_scan(2, 3))
        for path in study.iterdir():
            plant_in_dicom(path, every_element=False)
        damaged = study / "01-01.dcm"
        damaged.write_bytes(damaged.read_bytes()[:-700])
        assert canaries_in_text(run("dicom", "study", "-o", "cine.nii.gz", code=1)) == []

    def test_in_a_description_of_a_series_is_listed_and_not_written(self, a_home, a_model, run):
        description = f"sa {WORD}"
        phantom = a_scan(5, 3)
        write_cine(a_home / "study", phantom, SeriesDescription=description)
        write_long_axis(a_home / "study" / "other", phantom)
        for path in (a_home / "study" / "other").iterdir():
            dataset = pydicom.dcmread(path)
            dataset.SeriesDescription = f"la {WORD}"
            dataset.save_as(path)
        assert description in run("dicom", "study")
        (a_home / "out").mkdir()
        run("dicom", "study", "-o", "out/cine.nii.gz")
        said = run("segment", "study", "--model", "by-chance", "--device", "cpu", "-o", "out/labels.nii.gz", "--events")
        assert canaries_in(a_home / "out") == []
        assert canaries_in_text(said) == []


@pytest.fixture
def a_data_set(a_home: Path) -> Path:
    """Four patients, in every file of which canaries are planted."""
    for number in range(1, 5):
        patient = a_home / "cases" / f"patient{number:03d}"
        write_acdc_patient(patient, number, "NOR" if number % 2 else "DCM")
        plant_in_info(patient / "Info.cfg")
        for path in patient.glob("*.nii.gz"):
            plant_in_nifti(path)
    return a_home / "cases"


class TestADataSet:
    def test_is_examined_and_learned_from_without_a_word_of_its_headers(self, a_home, a_data_set, run):
        """By paths into the home folder, as a panel gives them."""
        said = run("dataset", "cases", "--picture", "cases.png")
        training = a_home / "runs" / "first"
        train = ("train", "--dataset", a_data_set, "--output", training, "--device", "cpu", "--folds", "2", *TINY)
        printed = run(*train)
        assert canaries_in_text(said) == []
        assert canaries_in_text(without_home(printed)) == []
        assert (training / "bundle" / "docs" / "README.md").is_file()
        assert canaries_in(training) == []
        last = json.loads((training / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        bundle = Bundle.read(training / "bundle")
        made = last["provenance"]
        assert (last["event"], made["model"], made["sha256"]) == ("result", "first", bundle.hash)
        assert made["runtime"].startswith("torch ") and made["seconds"] > 0
        assert TrainingConfig.read(training).dataset == str(a_data_set)

    def test_is_evaluated_without_a_word_of_its_headers(self, a_home, a_model, a_data_set, run):
        model = ("--model", a_model, "--device", "cpu", "--turns", "1")
        said = run("evaluate", "--dataset", a_data_set, *model, "--output", "out")
        assert (a_home / "out" / "report.html").is_file()
        assert canaries_in(a_home / "out") == []
        assert canaries_in_text(said) == []

    @pytest.mark.long
    def test_is_cross_validated_without_a_word_of_its_headers(self, a_home, a_data_set, run):
        options = ("--device", "cpu", "--folds", "2", *TINY)
        said = run("crossvalidate", "--dataset", a_data_set, "--output", "out", *options)
        assert canaries_in_text(said) == []
        assert canaries_in(a_home / "out", but=("places.json",)) == []


class TestTheWorker:
    def test_writes_nothing_of_a_home_folder_into_the_folder_of_a_job(self, a_model):
        image = _phantom_image(frames=2)
        with WorkerClient(model="by-chance", device="cpu") as client:
            job = client.submit(image.array, image.affine)
            client.wait(300)
            assert (client.provenance["model"], client.provenance["seconds"] > 0) == ("by-chance", True)
            assert canaries_in(job.parent) == []
            (a_model / "models" / "model.pt").unlink()
            client.cancel()
            job = client.submit(image.array, image.affine)
            while client.is_busy:
                events = client.poll()
            assert "~/.cardiacseg/models/by-chance/models/model.pt" in events[-1]["message"]
            assert "Traceback" in client.log
            assert canaries_in(job.parent) == []


#: Ends the process at the first look at another computer; what is asked of this one, as torch does, goes through.
NO_NETWORK = """
import os, sys

def deny(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event in ("urllib.Request", "http.client.connect", "ftplib.connect", "webbrowser.open"):
        host = str(arguments)
    else:
        return
    if host not in ("localhost", "127.0.0.1", "::1", "", None):
        print("ASKED", event, arguments, file=sys.stderr, flush=True)
        os._exit(99)

sys.addaudithook(deny)
"""


def _without_network(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**engine_environment(), "HOME": str(home)}
    command = [sys.executable, "-c", NO_NETWORK + script]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, check=False)


class TestTheNetwork:
    def test_would_be_noticed(self, tmp_path):
        done = _without_network("import urllib.request; urllib.request.urlopen('http://example.org/')", tmp_path)
        assert (done.returncode, "ASKED" in done.stderr) == (99, True)

    def test_is_not_asked_by_segmenting_on_a_processor(self, a_home):
        """By the model that ships and OpenVINO, whose package for telemetry is kept from loading."""
        write_image(a_home / "heart.nii.gz", _phantom_image())
        script = """
from CardiacSegLib.cli import main
code = main(["segment", "heart.nii.gz", "--device", "cpu:openvino", "--turns", "1", "-o", "a.nii.gz"])
assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules
sys.exit(code)
"""
        done = _without_network(script, a_home)
        assert (done.returncode, (a_home / "a.nii.gz").is_file()) == (0, True), done.stderr

    @pytest.mark.long
    def test_is_not_asked_by_anything_a_person_did_not_ask_for(self, a_home, a_data_set):
        """Every module imported, then what a study and a training take, through torch and matplotlib."""
        write_image(a_home / "heart.nii.gz", _phantom_image())
        training = ["train", "--dataset", "cases", "--output", "run", "--device", "cpu", "--folds", "2", *TINY]
        segment = ["segment", "heart.nii.gz", "--device", "cpu:torch", "-o", "a.nii.gz", "--report", "a.html"]
        evaluate = ["evaluate", "--dataset", "cases", "--model", "run/bundle", "--device", "cpu", "--output", "out"]
        script = f"""
import importlib, pkgutil
import CardiacSegLib
for module in pkgutil.walk_packages(CardiacSegLib.__path__, "CardiacSegLib."):
    if module.name.split(".")[1] not in ("gui", "mrml", "demo") and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from CardiacSegLib.cli import main
codes = [main(command) for command in {[training, segment, evaluate]!r}]
sys.exit(max(codes))
"""
        done = _without_network(script, a_home)
        assert done.returncode == 0, done.stderr
        assert (a_home / "out" / "report.html").is_file()
