"""Installing at first use: what is missing, what the person is asked, how it is installed, what a failure says."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui import packages, requirements
from CardiacSegLib.gui.packages import Answer, InstallationError, askInDialog, ensurePackages, installPackages
from CardiacSegLib.gui.requirements import (
    REQUIREMENTS,
    SEGMENT,
    SEGMENT_BY_TORCH,
    TRAIN,
    Package,
    lastLines,
    missingPackages,
    pipArguments,
    questionText,
    segmentPurpose,
    whatToTry,
)

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
LIBRARY = Path(packages.__file__).resolve().parents[2]


class Host:
    """An old Slicer: `slicer.util.pip_install` runs pip itself, and its exception does not hold what pip said."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.asked: list[list[str]] = []
        self.shown: list[tuple[str, str]] = []

    def pip_install(self, requirements: Sequence[str]) -> None:
        self.asked.append(list(requirements))
        options = ["--target", str(self.site), "--no-deps", "--quiet", *requirements]
        done = subprocess.run([sys.executable, "-m", "pip", "install", *options], capture_output=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, "pip")

    def errorDisplay(self, text: str, windowTitle: str = "", detailedText: str = "") -> None:
        self.shown.append((text, detailedText))


@pytest.fixture
def an_old_slicer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Slicer 5.8, without `slicer.packaging`; what pip installs lands in a folder that Python looks in."""
    host = Host(tmp_path / "site")
    slicer = types.ModuleType("slicer")
    slicer.util = types.SimpleNamespace(pip_install=host.pip_install, errorDisplay=host.errorDisplay)
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(packages, "isTorchExtensionInstalled", lambda: False)
    monkeypatch.syspath_prepend(str(host.site))
    # This computer's own settings of pip would find more packages than a test knows of.
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return host


@pytest.fixture
def a_new_slicer(an_old_slicer: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Slicer 5.11 and later: `slicer.packaging` asks by itself where it is not told otherwise."""

    def pip_ensure(
        requirements: list, prompt_install: bool = True, prompt_restart: bool = True, requester: str | None = None
    ) -> None:
        assert not prompt_install, "a second question"
        an_old_slicer.asked.append([requester, *map(str, requirements)])
        raise RuntimeError("pip_ensure was reached")

    packaging = types.ModuleType("slicer.packaging")
    packaging.pip_ensure, packaging.isPipInstallInProgress = pip_ensure, lambda: False
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    return an_old_slicer


@pytest.fixture
def only_tiny_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine would need one small package that nobody has."""
    monkeypatch.setattr(requirements, "REQUIREMENTS", {"tiny_heart": Package("tiny-heart", 0.1, "1.2")})


@pytest.fixture
def a_folder_of_wheels(tmp_path: Path) -> Path:
    """With the wheel of that package; the folder's name has a space in it, as people's folders do."""
    folder = tmp_path / "my wheels"
    folder.mkdir()
    write_wheel(folder, "1.3")
    return folder


def write_wheel(folder: Path, version: str) -> None:
    import zipfile

    info = f"tiny_heart-{version}.dist-info"
    files = {
        "tiny_heart.py": f"beats = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-heart\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"tiny_heart-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str | None]) -> None:
    """Only these can be imported, in these versions; None where pip knows nothing of a package that is there."""
    names = {package.name: module for module, package in REQUIREMENTS.items()}

    def version(name: str) -> str:
        found = versions.get(names[name])
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    specs = {name: ModuleSpec(name, None) for name in versions}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: specs.get(name))
    monkeypatch.setattr(importlib.metadata, "version", version)


FOR_CPU = {"openvino": "2026.4.1", "numpy": None, "scipy": "1.0", "threadpoolctl": "3.6"}
BY_TORCH = {"torch": "2.13.0+cpu", "monai": "1.6.1", "numpy": None, "scipy": "1.0", "threadpoolctl": "3.6"}


class TestWhatIsMissing:
    def test_is_nothing_where_all_is_there(self, monkeypatch):
        installed(monkeypatch, FOR_CPU)
        assert missingPackages() == []
        installed(monkeypatch, BY_TORCH)
        assert missingPackages(SEGMENT_BY_TORCH) == []

    def test_is_what_cannot_be_imported(self, monkeypatch):
        installed(monkeypatch, {name: BY_TORCH[name] for name in ("torch", "numpy")})
        assert missingPackages(SEGMENT_BY_TORCH) == ["monai", "scipy", "threadpoolctl"]

    def test_is_neither_torch_nor_monai_for_labeling_on_a_processor(self, monkeypatch):
        installed(monkeypatch, {})
        assert missingPackages(SEGMENT) == ["openvino", "numpy", "scipy", "threadpoolctl"]
        assert sum(REQUIREMENTS[name].megabytes for name in missingPackages(SEGMENT)) < 120

    @pytest.mark.parametrize(
        ("version", "missing"),
        [
            ("2.9.1", True),
            ("2.9.1+cu128", True),
            ("1.13", True),
            ("2", True),
            (None, True),
            ("2.10", False),
            ("2.10.0", False),
            ("2.10.0a0+git1", False),
            ("3.0", False),
        ],
    )
    def test_is_a_torch_that_is_too_old(self, monkeypatch, version, missing):
        installed(monkeypatch, {**BY_TORCH, "torch": version})
        assert missingPackages(SEGMENT_BY_TORCH) == (["torch"] if missing else [])

    def test_is_an_openvino_that_is_too_old(self, monkeypatch):
        installed(monkeypatch, {**FOR_CPU, "openvino": "2024.6.0"})
        assert missingPackages() == ["openvino"]

    def test_is_not_what_slicer_brings_without_pip_knowing(self, monkeypatch):
        installed(monkeypatch, {**FOR_CPU, "scipy": None})
        assert missingPackages() == []

    def test_is_more_for_training_than_for_segmenting(self, monkeypatch):
        installed(monkeypatch, FOR_CPU)
        assert missingPackages(SEGMENT) == []
        assert set(missingPackages(TRAIN)) == set(REQUIREMENTS) - set(FOR_CPU)

    @pytest.mark.parametrize(
        ("device", "hasOnnx", "purpose"),
        [
            ("auto", True, SEGMENT),
            ("cpu", True, SEGMENT),
            ("auto", False, SEGMENT_BY_TORCH),
            ("cuda", True, SEGMENT_BY_TORCH),
            ("mps", True, SEGMENT_BY_TORCH),
        ],
    )
    def test_follows_from_the_chosen_device_and_the_model(self, device, hasOnnx, purpose):
        assert segmentPurpose(device, hasOnnx) == purpose

    def test_can_be_told_without_importing_anything(self):
        script = (
            "import sys; from CardiacSegLib.gui.requirements import missingPackages; missingPackages('train'); "
            "print(*{'torch', 'monai', 'scipy', 'SimpleITK', 'matplotlib', 'qt', 'pip'} & set(sys.modules))"
        )
        environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


class TestTheListOfPackages:
    def test_is_that_of_the_python_package(self):
        text = PYPROJECT.read_text(encoding="utf-8")
        listed = text.partition("\ndependencies = [\n")[2].partition("]")[0]
        wanted = set(re.findall(r'^ +"([^"]+)",', listed, re.MULTILINE))
        assert {package.requirement for package in REQUIREMENTS.values()} == wanted

    def test_pins_nothing(self):
        assert not [package for package in REQUIREMENTS.values() if "=" in package.requirement.replace(">=", "")]

    @pytest.mark.parametrize("purpose", [SEGMENT, SEGMENT_BY_TORCH, TRAIN])
    def test_holds_all_that_the_engine_imports(self, purpose):
        """In a process in which only these packages can be imported, beside Python's own."""
        allowed = [name for name, package in REQUIREMENTS.items() if purpose in package.purposes]
        others = sorted(set(REQUIREMENTS) - set(allowed))
        modules = "CardiacSegLib.jobs.worker, CardiacSegLib.inference.segmenter"
        if purpose == SEGMENT:
            modules += ", CardiacSegLib.inference.openvino_runtime"
        if purpose == SEGMENT_BY_TORCH:
            modules += ", CardiacSegLib.inference.torch_runtime, CardiacSegLib.networks"
        if purpose == TRAIN:
            modules += ", CardiacSegLib.training.run, CardiacSegLib.pictures, CardiacSegLib.datasets.report"
        script = f"import sys; sys.modules.update(dict.fromkeys({others!r})); import {modules}"
        environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr


class TestTheQuestion:
    def test_names_each_package_and_its_size(self, monkeypatch):
        installed(monkeypatch, {})
        text = questionText(missingPackages(TRAIN), "Linux", False)
        for package in REQUIREMENTS.values():
            assert f"• {package.name}" in text
        assert "• torch 2.10 or later: 2 to 3 GB" in text
        assert "• scipy: about 35 MB" in text
        assert "• pynrrd: less than 1 MB" in text

    def test_is_short_for_labeling_on_a_processor(self, monkeypatch):
        installed(monkeypatch, {"numpy": None, "scipy": "1.0"})
        text = questionText(missingPackages(SEGMENT), "Linux", False)
        assert "• openvino 2025.0 or later: about 59 MB" in text
        assert "less than a minute" in text
        assert "torch" not in text.lower()

    def test_says_where_it_comes_from_and_what_to_do_without_internet(self):
        text = questionText(["scipy"], "Linux", False)
        assert "pypi.org" in text
        assert "choose a folder" in text

    def test_says_that_a_package_is_too_old(self, monkeypatch):
        installed(monkeypatch, {**BY_TORCH, "monai": "1.3.0"})
        assert "monai 1.5.2 or later (1.3.0 is too old): about 2 MB" in questionText(["monai"], "Linux", False)

    @pytest.mark.parametrize(
        ("system", "hasTorchExtension", "size", "isToldOfTheExtension"),
        [
            ("Linux", False, "2 to 3 GB", True),
            ("Linux", True, "about 200 MB, or 2 to 3 GB with an NVIDIA graphics card", False),
            ("Windows", False, "about 200 MB", False),
            ("Darwin", False, "about 200 MB", False),
        ],
    )
    def test_says_how_large_torch_is_here(self, monkeypatch, system, hasTorchExtension, size, isToldOfTheExtension):
        installed(monkeypatch, {})
        text = questionText(["torch"], system, hasTorchExtension)
        assert f"or later: {size}\n" in text
        assert ("install that extension" in text) == isToldOfTheExtension


class TestTheDialog:
    """Slicer's message box, on the stand-in for it."""

    @pytest.fixture(autouse=True)
    def not_testing(self, slicer_host, monkeypatch):
        monkeypatch.setattr(type(sys.modules["slicer"].app), "testingEnabled", lambda self: False)

    def test_shows_the_question_and_takes_install_for_an_answer(self, slicer_host):
        slicer_host.confirm = True
        assert askInDialog("Install it?") == Answer(True)
        assert slicer_host.texts("box") == ["Install it?"]

    def test_takes_cancel_for_an_answer(self, slicer_host):
        assert askInDialog("Install it?") == Answer(False)

    @pytest.mark.parametrize(("chosen", "answer"), [("wheels", Answer(True, Path("wheels"))), ("", Answer(False))])
    def test_asks_for_the_folder_of_wheels(self, slicer_host, monkeypatch, chosen, answer):
        box = sys.modules["qt"].QMessageBox
        monkeypatch.setattr(box, "exec_", lambda self: box.Open)
        slicer_host.chosen_path = chosen
        assert askInDialog("Install it?") == answer
        assert slicer_host.file_dialogs == ["Folder with wheels (*.whl)"]

    def test_is_not_shown_in_a_test_of_slicer_where_nobody_could_answer(self, slicer_host, monkeypatch):
        monkeypatch.setattr(type(sys.modules["slicer"].app), "testingEnabled", lambda self: True)
        assert askInDialog("Install it?") == Answer(False)
        assert slicer_host.messages == []


class TestWhatPipIsAsked:
    def test_names_the_oldest_versions_that_will_do(self):
        assert pipArguments(["torch", "scipy"]) == ["torch>=2.10", "scipy"]

    def test_names_the_folder_and_no_index_where_one_was_chosen(self):
        arguments = pipArguments(["nrrd"], Path("my wheels"))
        assert arguments == ["--no-index", "--find-links", "my wheels", "pynrrd"]


class TestWhatToTry:
    @pytest.mark.parametrize(
        ("line", "advice"),
        [
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "make room"),
            ("WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/torch/", "HTTPS_PROXY"),
            ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')", "PIP_CERT"),
            ("ERROR: Could not install: [WinError 5] Access is denied: 'numpy.pyd'", "restart Slicer"),
            ("ERROR: No matching distribution found for torch>=2.10", "install a newer Slicer"),
            ("ERROR: something that nobody has seen before", "try again, or choose a folder of wheels"),
        ],
    )
    def test_fits_what_pip_said(self, line, advice):
        assert advice in whatToTry([line])

    def test_blames_the_connection_before_the_package_that_was_not_found_for_it(self):
        lines = ["WARNING: Retrying (...) 'ReadTimeoutError(...) timed out'", "ERROR: No matching distribution found"]
        assert "check the connection" in whatToTry(lines)

    def test_says_how_to_fill_the_folder(self):
        advice = whatToTry(["ERROR: No matching distribution found for monai>=1.5.2"], Path("wheels"))
        assert "put what is missing in wheels" in advice
        assert f"Python {sys.version_info[0]}.{sys.version_info[1]}" in advice


class TestTheLastLinesOfPip:
    def test_are_the_errors_without_times_and_without_its_own_traceback(self):
        log = (
            "2026-11-21T16:34:00,436 Looking in links: wheels\n"
            "2026-11-21T16:34:00,448 ERROR: No matching distribution found for nothing\n"
            "2026-11-21T16:34:00,449 Exception information:\n"
            "2026-11-21T16:34:00,449 Traceback (most recent call last):\n"
        )
        assert lastLines(log) == ["ERROR: No matching distribution found for nothing"]

    def test_are_whatever_it_said_last_where_it_ended_without_an_error(self):
        assert lastLines("\n".join(f"line {number}" for number in range(40)))[-1] == "line 39"
        assert len(lastLines("\n".join(f"line {number}" for number in range(40)))) < 20


@pytest.mark.usefixtures("only_tiny_is_needed")
class TestInstallingAtFirstUse:
    def test_asks_once_installs_from_the_folder_and_does_not_ask_again(self, an_old_slicer, a_folder_of_wheels):
        questions = []

        def ask(text: str) -> Answer:
            questions.append(text)
            return Answer(True, a_folder_of_wheels)

        ensurePackages(ask=ask)
        ensurePackages(ask=ask)
        assert len(questions) == 1
        assert "tiny-heart 1.2 or later: less than 1 MB" in questions[0]
        assert (an_old_slicer.site / "tiny_heart.py").is_file()
        assert an_old_slicer.asked == [["--no-index", "--find-links", str(a_folder_of_wheels), "tiny-heart>=1.2"]]

    def test_replaces_what_is_too_old(self, an_old_slicer, a_folder_of_wheels, tmp_path):
        old = tmp_path / "old"
        old.mkdir()
        write_wheel(old, "1.1")
        an_old_slicer.pip_install(["--no-index", "--find-links", str(old), "tiny-heart"])
        assert missingPackages() == ["tiny_heart"]
        an_old_slicer.pip_install(["--upgrade", *pipArguments(["tiny_heart"], a_folder_of_wheels)])
        assert missingPackages() == []

    def test_installs_nothing_where_the_person_declines(self, an_old_slicer):
        with pytest.raises(CardiacSegError, match="not installed; try again and confirm"):
            ensurePackages(ask=lambda text: Answer(False))
        assert an_old_slicer.asked == []

    def test_shows_what_pip_really_said_and_what_to_try(self, an_old_slicer, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(InstallationError) as caught:
            ensurePackages(ask=lambda text: Answer(True, empty))
        message = str(caught.value)
        assert "\n" not in message
        assert "No matching distribution found for tiny-heart>=1.2" in message
        assert f"put what is missing in {empty}" in message
        ((shown, details),) = an_old_slicer.shown
        assert shown == message
        assert "Could not find a version that satisfies the requirement tiny-heart>=1.2" in details
        assert "Traceback" not in details

    def test_leaves_pips_settings_as_they_were(self, an_old_slicer, tmp_path, monkeypatch):
        monkeypatch.setenv("PIP_LOG", "mine.log")
        with pytest.raises(InstallationError):
            installPackages(["tiny_heart"], tmp_path)
        assert os.environ["PIP_LOG"] == "mine.log"

    def test_says_where_it_worked_and_nothing_is_there(self, an_old_slicer, monkeypatch):
        monkeypatch.setattr(sys.modules["slicer"].util, "pip_install", lambda requirements: None)
        with pytest.raises(CardiacSegError, match="tiny_heart cannot be found after the installation; restart Slicer"):
            ensurePackages(ask=lambda text: Answer(True))

    def test_goes_through_slicers_own_installation_where_there_is_one(self, a_new_slicer):
        with pytest.raises(InstallationError, match="pip_ensure was reached"):
            ensurePackages(ask=lambda text: Answer(True))
        assert a_new_slicer.asked == [["CardiacSeg", "tiny-heart>=1.2"]]

    def test_goes_round_it_for_a_folder_which_it_does_not_know(self, a_new_slicer, a_folder_of_wheels):
        ensurePackages(ask=lambda text: Answer(True, a_folder_of_wheels))
        assert a_new_slicer.asked[0][:2] == ["--no-index", "--find-links"]

    def test_waits_for_another_installation(self, a_new_slicer, monkeypatch):
        monkeypatch.setattr(sys.modules["slicer.packaging"], "isPipInstallInProgress", lambda: True)
        with pytest.raises(CardiacSegError, match="Another installation is going on"):
            ensurePackages(ask=lambda text: Answer(True))

    def test_asks_for_nothing_in_a_python_that_is_too_old(self, an_old_slicer, monkeypatch):
        monkeypatch.setattr(packages, "PYTHON_VERSION", (99, 0))
        with pytest.raises(CardiacSegError, match="install a newer Slicer"):
            ensurePackages(ask=lambda text: pytest.fail("asked"))


class TestTheExtensionPyTorch:
    @pytest.fixture
    def calls(self, an_old_slicer: Host, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
        """The extension is there, and notes how it is called."""
        calls: list[dict] = []

        class PyTorchUtilsLogic:
            def installTorch(self, **options: object) -> object:
                calls.append(options)
                return types.ModuleType("torch")

        extension = types.ModuleType("PyTorchUtils")
        extension.PyTorchUtilsLogic = PyTorchUtilsLogic
        monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
        monkeypatch.setattr(packages, "isTorchExtensionInstalled", lambda: True)
        return calls

    def test_installs_torch_without_a_question_of_its_own(self, calls, an_old_slicer):
        installPackages(["torch"])
        assert calls == [{"askConfirmation": False, "torchVersionRequirement": ">=2.10"}]
        assert an_old_slicer.asked == []

    def test_is_not_used_for_a_folder_of_wheels(self, calls, an_old_slicer, tmp_path):
        with pytest.raises(InstallationError):
            installPackages(["torch"], tmp_path)
        assert calls == []
        assert an_old_slicer.asked == [["--no-index", "--find-links", str(tmp_path), "torch>=2.10"]]

    def test_says_so_where_it_installs_nothing(self, calls, monkeypatch):
        logic = sys.modules["PyTorchUtils"].PyTorchUtilsLogic
        monkeypatch.setattr(logic, "installTorch", lambda self, **options: None)
        with pytest.raises(InstallationError, match="extension PyTorch did not install torch"):
            installPackages(["torch"])
