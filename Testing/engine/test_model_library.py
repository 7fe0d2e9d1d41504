"""The models a person has: importing them safely, knowing them, passing them on, removing them."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from CardiacSegLib.bundles import INFERENCE, METADATA, WEIGHTS, find_bundle, list_models
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.models import facts as facts_module
from CardiacSegLib.models import library
from CardiacSegLib.models.copies import MOST_BYTES
from CardiacSegLib.models.embedded_code import runs_code
from CardiacSegLib.models.facts import is_shipped, model_facts
from CardiacSegLib.models.library import (
    UntrustedModelError,
    delete_model,
    export_model,
    import_model,
    own_model_folder,
)
from CardiacSegLib.resources import resource_folder
from sent_models import Trap, change_json, files_of, zipped

SHIPPED = resource_folder() / "Models"


@pytest.fixture
def an_archive(a_sent_model: Path, tmp_path: Path) -> Path:
    """The same as a file manager packs it, in one folder."""
    return zipped(tmp_path / "archive.zip", files_of(a_sent_model, "gift/"))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


class TestThePersonsOwnFolder:
    def test_is_the_first_that_the_environment_names(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CARDIACSEG_MODELS", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
        assert own_model_folder() == tmp_path / "a"

    @pytest.mark.skipif(os.name == "nt", reason="Windows finds the home folder by other variables")
    def test_is_in_the_home_folder_otherwise_and_models_are_found_there(self, a_sent_model, tmp_path, monkeypatch):
        monkeypatch.delenv("CARDIACSEG_MODELS", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert own_model_folder() == tmp_path / "home" / ".cardiacseg" / "models"
        imported = import_model(a_sent_model)
        assert imported.folder.parent == own_model_folder()
        assert find_bundle("gift") == imported


class TestImportingAModel:
    def test_from_its_folder_makes_a_copy_that_is_found_by_its_name(self, a_sent_model, own):
        imported = import_model(a_sent_model)
        assert imported.name == "gift"
        assert find_bundle("gift") == imported
        assert files_of(imported.folder) == files_of(a_sent_model)
        assert left_in(own) == ["gift"]

    def test_gives_a_network_that_loads(self, a_sent_model, own):
        assert import_model(a_sent_model).load_network() is not None

    def test_from_an_archive_with_one_folder_around_it(self, an_archive, a_sent_model, own):
        imported = import_model(an_archive)
        assert imported.name == "gift"
        assert files_of(imported.folder) == files_of(a_sent_model)

    def test_from_an_archive_without_a_folder_takes_the_archive_s_name(self, a_sent_model, own, tmp_path):
        assert import_model(zipped(tmp_path / "by mail.zip", files_of(a_sent_model))).name == "by mail"

    def test_passes_over_what_macos_adds_to_archives(self, a_sent_model, own, tmp_path):
        litter = {"__MACOSX/gift/._configs": b"x", "gift/.DS_Store": b"x"}
        archive = zipped(tmp_path / "mac.zip", files_of(a_sent_model, "gift/") | litter)
        assert files_of(import_model(archive).folder) == files_of(a_sent_model)

    def test_from_a_training_run_takes_the_name_that_its_maker_gave(self, a_sent_model, own, tmp_path):
        run = tmp_path / "runs" / "tuesday"
        shutil.copytree(a_sent_model, run / "bundle")
        (run / "events.jsonl").write_text("{}", encoding="utf-8")
        imported = import_model(run)
        assert imported.name == "by-chance"
        assert not (imported.folder / "events.jsonl").exists()

    def test_is_done_even_where_another_program_deletes_the_copy_at_once(self, a_sent_model, own, monkeypatch):
        def rename_and_lose(source: Path, target: Path, rename: Callable = Path.rename) -> None:
            rename(source, target)
            shutil.rmtree(target)

        monkeypatch.setattr(Path, "rename", rename_and_lose)
        assert import_model(a_sent_model).folder == own / a_sent_model.name

    def test_under_another_name(self, a_sent_model, own):
        assert import_model(a_sent_model, "mine").name == "mine"

    def test_gives_no_file_the_right_to_run(self, a_sent_model, own):
        (a_sent_model / WEIGHTS).chmod(0o777)
        assert not (import_model(a_sent_model).folder / WEIGHTS).stat().st_mode & stat.S_IXUSR

    @pytest.mark.parametrize("name", ["short-axis-cine", "Short-Axis-Cine"])
    def test_does_not_take_the_name_of_another(self, a_sent_model, own, name):
        with pytest.raises(CardiacSegError, match="already; give another name"):
            import_model(a_sent_model, name)
        assert left_in(own) == []

    def test_a_second_time_leaves_the_first_as_it_was(self, a_sent_model, own):
        first = files_of(import_model(a_sent_model).folder)
        with pytest.raises(CardiacSegError, match="called 'gift' already"):
            import_model(a_sent_model)
        assert files_of(own / "gift") == first

    @pytest.mark.parametrize(
        "name", ["../out", "a/b", "a\\b", ".hidden", "c:x", "NUL", "dot.", "two\nlines", "x" * 200]
    )
    def test_does_not_take_a_name_that_no_folder_should_have(self, a_sent_model, own, name):
        with pytest.raises(CardiacSegError, match="cannot name a model"):
            import_model(a_sent_model, name)
        assert left_in(own) == []


class TestWhatIsNoModel:
    """Each is refused in one line that names the file, and leaves nothing behind."""

    def refused(self, source: Path, own: Path, *words: str) -> None:
        with pytest.raises(CardiacSegError) as caught:
            import_model(source)
        message = str(caught.value)
        assert "\n" not in message
        assert all(word in message for word in (source.name, *words)), message
        assert left_in(own) == []
        assert ".partial-" not in message

    def test_a_folder_without_metadata(self, own, tmp_path):
        (tmp_path / "empty").mkdir()
        self.refused(tmp_path / "empty", own, "no bundle", "'configs'")

    def test_nothing_at_all(self, own, tmp_path):
        self.refused(tmp_path / "gone.zip", own, "no such file or folder")

    def test_a_file_that_is_no_archive(self, own, tmp_path):
        (tmp_path / "model.pt").write_bytes(b"weights")
        self.refused(tmp_path / "model.pt", own, "no .zip")

    def test_an_archive_of_something_else(self, own, tmp_path):
        self.refused(zipped(tmp_path / "holiday.zip", {"beach.jpg": b"x"}), own, "no bundle")

    def test_an_archive_of_several_bundles(self, a_sent_model, own, tmp_path):
        both = files_of(a_sent_model, "one/") | files_of(a_sent_model, "two/")
        self.refused(zipped(tmp_path / "both.zip", both), own, "several bundles")

    def test_an_archive_that_was_cut_off(self, an_archive, own):
        content = bytearray(an_archive.read_bytes())
        content[2000:2100] = bytes(100)
        an_archive.write_bytes(content)
        self.refused(an_archive, own)

    def test_damaged_metadata(self, a_sent_model, own):
        (a_sent_model / METADATA).write_text("{", encoding="utf-8")
        self.refused(a_sent_model, own, "metadata.json is missing or damaged")

    def test_metadata_that_a_stranger_made_up(self, a_sent_model, own):
        change_json(a_sent_model / METADATA, lambda content: content["cardiacseg"].update(turns=None))
        self.refused(a_sent_model, own, "lacks what CardiacSeg needs")

    def test_weights_that_are_missing(self, a_sent_model, own):
        (a_sent_model / WEIGHTS).unlink()
        self.refused(a_sent_model, own, "weights are missing")

    def test_weights_that_were_changed(self, a_sent_model, own):
        with (a_sent_model / WEIGHTS).open("ab") as weights:
            weights.write(b"more")
        self.refused(a_sent_model, own, "SHA-256")

    @pytest.mark.skipif(os.name == "nt", reason="Windows lets few accounts make links")
    def test_a_folder_with_a_link_in_it(self, a_sent_model, own, tmp_path):
        (tmp_path / "secrets").mkdir()
        (a_sent_model / "docs" / "more").symlink_to(tmp_path / "secrets")
        with pytest.raises(CardiacSegError, match="a link or device"):
            import_model(a_sent_model)
        assert left_in(own) == []

    @pytest.mark.skipif(os.name == "nt", reason="needs a file system with sparse files")
    def test_a_folder_larger_than_any_model(self, a_sent_model, own):
        with (a_sent_model / "docs" / "film.mp4").open("wb") as film:
            film.truncate(MOST_BYTES)
        self.refused(a_sent_model, own, "are no model")

    def test_a_folder_that_cannot_be_written_to(self, a_sent_model, own):
        own.write_text("a file", encoding="utf-8")
        with pytest.raises(CardiacSegError, match="cannot be made"):
            import_model(a_sent_model)


def test_a_copy_that_breaks_off_leaves_nothing(a_sent_model, own, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(library, "read_checked", fail)
    with pytest.raises(KeyboardInterrupt):
        import_model(a_sent_model)
    assert left_in(own) == []


class TestCodeInAModel:
    @pytest.mark.parametrize("name", ["short-axis-cine", "echo-2ch"])
    def test_is_not_found_in_those_that_ship(self, name):
        assert runs_code(SHIPPED / name) == []

    def test_is_not_found_in_one_that_cardiacseg_wrote(self, a_sent_model):
        assert runs_code(a_sent_model) == []

    @pytest.mark.parametrize(
        ("edit", "said"),
        [
            (lambda c: c.update(imports=["$import os"]), "imports::0 = $import os"),
            (lambda c: c.update(bundle_root="$__import__('os').getcwd()"), "bundle_root = $__import__('os').getcwd()"),
            (lambda c: c["workflow"].update(weights="$@bundle_root + '/x.pt'"), "workflow::weights"),
            (lambda c: c["workflow"].update(_target_="os.system"), "workflow::_target_ = os.system"),
            (lambda c: c["network_def"].update(_target_="monai.networks.nets.FlexibleUNet"), "FlexibleUNet"),
            (lambda c: c["network_def"].update(act_name=["relu", {"x": "$exit(7)"}]), "network_def::act_name::1::x"),
            (lambda c: c.update({"workflow::_target_": "os.system"}), "workflow::_target_ = os.system"),
            (lambda c: c.update(more={"_target_": ["os.system"]}), "more::_target_"),
            (lambda c: c.update(more="%docs/other.json::run"), "more = %docs/other.json::run"),
            (lambda c: c["run"].insert(0, "$@workflow(@image, @output) or exit(7)"), "run::0"),
        ],
    )
    def test_in_its_configuration_is_shown_with_its_place(self, a_sent_model, edit, said):
        change_json(a_sent_model / INFERENCE, edit)
        (line,) = runs_code(a_sent_model)
        assert line.startswith("configs/inference.json: ")
        assert said in line

    def test_in_another_configuration_or_the_metadata_is_found_too(self, a_sent_model):
        (a_sent_model / "configs" / "train.json").write_text('{"run": "$print(1)"}', encoding="utf-8")
        (a_sent_model / "configs" / "evaluate.JSON").write_text("{broken", encoding="utf-8")
        change_json(a_sent_model / METADATA, lambda content: content.update(version="$print(2)"))
        assert [line.partition(":")[0] for line in runs_code(a_sent_model)] == [
            "configs/evaluate.JSON",
            "configs/metadata.json",
            "configs/train.json",
        ]

    def test_is_not_found_in_harmless_yaml(self, a_sent_model):
        text = "network_def:\n  _target_: monai.networks.nets.DynUNet\n  in_channels: 1\n"
        (a_sent_model / "configs" / "inference.yml").write_text(text, encoding="utf-8")
        assert runs_code(a_sent_model) == []

    def test_in_its_weights_is_told_by_what_it_calls(self, a_sent_model, tmp_path):
        import torch

        torch.save({"weight": Trap(tmp_path / "trapped")}, a_sent_model / WEIGHTS)
        (a_sent_model / "models" / "old.pth").write_bytes(pickle.dumps(Trap(tmp_path / "trapped")))
        first, second = runs_code(a_sent_model)
        assert first.startswith("models/model.pt: calls ")
        assert "mkdir" in first
        assert second.startswith("models/old.pth: weights that cannot be looked through")
        assert not (tmp_path / "trapped").exists()

    def test_keeps_the_model_out_unless_it_is_trusted(self, a_sent_model, own):
        change_json(a_sent_model / INFERENCE, lambda content: content["run"].insert(0, "$print('hello')"))
        with pytest.raises(UntrustedModelError, match="gift: holds code of its own") as caught:
            import_model(a_sent_model)
        assert caught.value.lines == runs_code(a_sent_model)
        assert left_in(own) == []
        assert import_model(a_sent_model, trust_code=True).name == "gift"


class TestExportingAModel:
    def test_gives_an_archive_that_can_be_imported_again(self, a_bundle, own, tmp_path):
        archive = export_model(a_bundle, tmp_path / "out.zip")
        assert archive == tmp_path / "out.zip"
        imported = import_model(archive)
        assert imported.name == a_bundle.name
        assert files_of(imported.folder) == files_of(a_bundle.folder)
        assert left_in(tmp_path) == ["out.zip", "own"]

    def test_asks_for_the_right_file_name(self, a_bundle, tmp_path):
        with pytest.raises(CardiacSegError, match=r"out: a model is written as a \.zip"):
            export_model(a_bundle, tmp_path / "out")

    def test_says_where_it_cannot_write(self, a_bundle, tmp_path):
        with pytest.raises(CardiacSegError, match="cannot be written"):
            export_model(a_bundle, tmp_path / "gone" / "out.zip")


class TestDeletingAModel:
    def test_removes_it(self, a_sent_model, own):
        import_model(a_sent_model)
        delete_model("gift")
        assert left_in(own) == []
        assert a_sent_model.is_dir()

    def test_does_not_touch_one_that_ships(self, own):
        with pytest.raises(CardiacSegError, match="'short-axis-cine' came with CardiacSeg and stays"):
            delete_model("short-axis-cine")
        assert (SHIPPED / "short-axis-cine" / METADATA).is_file()

    def test_does_not_touch_one_that_ships_even_where_that_folder_is_the_own_one(
        self, monkeypatch, a_sent_model, tmp_path
    ):
        """On a copy, in case it does."""
        copy = tmp_path / "Resources" / "Models"
        shutil.copytree(a_sent_model, copy / "shipped")
        monkeypatch.setattr(facts_module, "resource_folder", lambda: copy.parent)
        monkeypatch.setenv("CARDIACSEG_MODELS", str(copy))
        with pytest.raises(CardiacSegError, match="came with CardiacSeg"):
            delete_model("shipped")
        assert (copy / "shipped" / METADATA).is_file()

    @pytest.mark.parametrize("name", ["nobody", "", ".", "..", "../sent/gift", "papers"])
    def test_does_not_touch_what_is_no_model_of_the_folder(self, a_sent_model, own, name):
        (own / "papers").mkdir(parents=True)
        with pytest.raises(CardiacSegError, match="no model is called"):
            delete_model(name)
        assert a_sent_model.is_dir()
        assert left_in(own) == ["papers"]

    def test_says_where_one_is_that_lies_elsewhere(self, a_sent_model, own, monkeypatch):
        monkeypatch.setenv("CARDIACSEG_MODELS", os.pathsep.join([str(own), str(a_sent_model.parent)]))
        own.mkdir()
        with pytest.raises(CardiacSegError, match=r"'gift' is in .*sent, not in .*own"):
            delete_model("gift")
        assert a_sent_model.is_dir()


class TestTheFactsOfAModel:
    def test_are_those_of_its_card(self):
        facts = model_facts(find_bundle(SHIPPED / "echo-2ch"))
        assert facts.name == facts.title == "echo-2ch"
        assert facts.description == "Left ventricle, myocardium and left atrium in two-chamber ultrasound"
        assert facts.purpose.startswith("Apical two-chamber echocardiography")
        assert (facts.structures, facts.modality, facts.data) == (("LV", "MYO", "LA"), "US", "camus")
        assert (facts.trained_on, facts.validated_on) == (300, 50)
        assert facts.mean_dice == pytest.approx(0.908)
        assert facts.dice["ED"]["LA"] == pytest.approx(0.913)
        assert facts.license == "CC BY-NC-SA 4.0, that of the data"
        assert (facts.turns, facts.spacing) == (1, 1.25)
        assert 20 < facts.size_mb < 22  # weights, and the network as ONNX
        assert facts.shipped
        assert facts.card.is_file()

    def test_are_there_for_one_whose_maker_said_nothing(self, a_sent_model, own):
        change_json(a_sent_model / METADATA, lambda content: content["cardiacseg"].update(training=["?"]))
        facts = model_facts(import_model(a_sent_model))
        assert facts.title == "by-chance"
        assert (facts.data, facts.trained_on, facts.mean_dice) == ("", 0, None)
        assert facts.license == "not stated"
        assert facts.card is None
        assert not facts.shipped

    def test_say_whether_it_ships(self, a_sent_model, own):
        shipped = [model.name for model in list_models() if is_shipped(model)]
        assert shipped == sorted(path.name for path in SHIPPED.iterdir())
        assert not is_shipped(import_model(a_sent_model))


def test_the_library_is_loaded_without_torch_monai_or_slicer():
    script = (
        "import sys, CardiacSegLib.models.library; "
        "print(*{'torch', 'monai', 'slicer', 'qt', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(library.__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr
