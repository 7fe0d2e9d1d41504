"""From labeled cases to a bundle: short runs on phantoms, and the parts that they are made of."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, fields, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import METADATA, Bundle, read_metadata
from CardiacSegLib.cli import main
from CardiacSegLib.datasets import acdc
from CardiacSegLib.datasets.cases import Case
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.evaluation.validation import mean_dice, score_cases
from CardiacSegLib.images import Image, read_image, write_image, write_labels
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.events import read_events
from CardiacSegLib.training import augmentation
from CardiacSegLib.training.augmentation import CardiacMRAugmentation, change_intensities
from CardiacSegLib.training.config import TrainingConfig
from CardiacSegLib.training.recipes import find_recipe, list_recipes
from CardiacSegLib.training.run import train
from CardiacSegLib.training.store import SliceStore, load_store
from listening import Listener
from results_read import rows_of


@pytest.fixture(scope="session")
def a_run(a_small_config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle, Listener]:
    """A run that is long enough to learn what a phantom looks like: its folder, its bundle, what it told."""
    folder, listener = tmp_path_factory.mktemp("runs") / "run", Listener()
    config = replace(a_small_config, filters=(16, 32, 64, 64), epochs=40, inference_spacing=2.8)
    return folder, train(config, folder, listener), listener


def metadata_of(bundle: Bundle) -> dict:
    return json.loads((bundle.folder / METADATA).read_text(encoding="utf-8"))["cardiacseg"]


class TestARun:
    def test_learns_to_find_the_heart_in_patients_that_it_has_not_seen(self, a_run, a_small_config):
        _, bundle, _ = a_run
        seen = metadata_of(bundle)["training"]["patients_trained_on"]
        others = [case for case in acdc.find_cases(Path(a_small_config.dataset)) if case.patient not in seen]
        assert len(others) == 4
        scores = mean_dice(score_cases(Segmenter.load(bundle.folder, "cpu"), others))
        assert min(scores["all"].values()) > 0.3
        assert scores["all"]["mean"] > 0.6

    def test_leaves_a_bundle_that_says_what_it_was_made_from(self, a_run):
        folder, bundle, _ = a_run
        ours = metadata_of(bundle)
        facts = ours["training"]
        assert bundle.folder == (folder / "bundle").resolve()
        assert (facts["spacing"], bundle.grid.spacing) == (3.0, 2.8)
        assert bundle.grid.multiple == 8
        assert bundle.convention == CANONICAL
        assert (len(facts["patients_trained_on"]), len(facts["patients_validated_on"])) == (8, 2)
        assert not set(facts["patients_trained_on"]) & set(facts["patients_validated_on"])
        assert facts["slices"] == 8 * 2 * 4
        assert facts["steps"] == 40 * 64 // 16

    def test_scores_what_it_leaves_and_writes_a_card(self, a_run, a_small_config):
        _, bundle, _ = a_run
        kept = metadata_of(bundle)["training"]["validation_dice"]
        held_out = set(metadata_of(bundle)["training"]["patients_validated_on"])
        cases = [case for case in acdc.find_cases(Path(a_small_config.dataset)) if case.patient in held_out]
        found = mean_dice(score_cases(Segmenter.load(bundle.folder, "cpu"), cases))
        for phase, row in found.items():
            assert kept[phase] == pytest.approx(row, abs=1e-4)
        card = bundle.card.read_text(encoding="utf-8")
        assert f"{kept['all']['mean']:.4f}" in card
        assert bundle.hash in card
        assert "not a medical device" in card

    def test_tells_its_listener_and_its_folder_the_same(self, a_run):
        folder, _, listener = a_run
        events, _ = read_events(folder / "events.jsonl")
        stages = [event["name"] for event in events if event["event"] == "stage"]
        assert stages == listener.stages == ["read", "train", "score"]
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == listener.fractions
        told = [event for event in events if "dice" in event]
        assert len(told) >= 10
        assert set(told[-1]["dice"]) == set(CANONICAL)
        assert told[-1]["dice"]["LV"] > told[0]["dice"]["LV"]
        assert all(event["seconds_left"] >= 0 for event in told)
        assert (events[-1]["event"], events[-1]["bundle"]) == ("result", "bundle")
        assert 0 < listener.told["loss"] < 1

    def test_that_fails_ends_its_events_with_the_error(self, a_small_config, tmp_path):
        config = replace(a_small_config, start=str(tmp_path / "no bundle"))
        with pytest.raises(CardiacSegError, match="no such model folder"):
            train(config, tmp_path / "run", Listener())
        events, _ = read_events(tmp_path / "run" / "events.jsonl")
        assert events[-1]["event"] == "error"
        assert "no such model folder" in events[-1]["message"]

    def test_keeps_checkpoints_and_its_configuration(self, a_run):
        folder, bundle, _ = a_run
        for name, step in (("last", 160), ("previous", 150)):
            checkpoint = torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)
            assert checkpoint["trainer"]["step"] == step
            bundle.load_network().load_state_dict(checkpoint["trainer"]["network"])
        assert TrainingConfig.read(folder).epochs == 40

    def test_writes_its_measures_as_a_table_with_a_line_for_each_validation(self, a_run):
        folder, _, _ = a_run
        rows = rows_of(folder / "metrics.csv")
        assert [int(row["step"]) for row in rows] == [10 * number for number in range(1, 17)]
        measures = {"step", "epoch", "seconds", "learning_rate", "loss", "dice"}
        assert set(rows[0]) == measures | {f"{kind}_{name}" for kind in ("dice", "iou") for name in CANONICAL}
        assert float(rows[-1]["dice_LV"]) > float(rows[0]["dice_LV"])
        for row in rows:
            assert 0 <= float(row["iou_LV"]) <= float(row["dice_LV"]) <= 1
        rates = [float(row["learning_rate"]) for row in rows]
        assert max(rates) <= 1e-2
        assert rates[-1] < 0.01 * max(rates)

    def test_draws_its_curves_and_the_cases_as_they_improve(self, a_run):
        folder, _, _ = a_run
        pictures = sorted(path.name for path in (folder / "pictures").iterdir())
        looks = [(int(row["step"]), float(row["dice"])) for row in rows_of(folder / "metrics.csv")]
        assert [step for step, _ in looks] == list(range(10, 170, 10))
        # A network that has learned nothing yet draws noise, which is left out.
        assert pictures == [f"step_{step:07d}.png" for step, dice in looks if dice >= 0.1]
        assert len(pictures) > 8
        for path in (folder / "curves.png", folder / "pictures" / pictures[0], folder / "pictures" / pictures[-1]):
            with PIL.Image.open(path) as picture:
                assert min(picture.size) > 200
                assert len(picture.convert("RGB").getcolors(2**24)) > 50

    def test_names_no_place_of_the_machine_in_what_it_leaves(self, a_run, a_small_config):
        folder, _, _ = a_run
        written = [path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".md", ".csv")]
        written.remove(folder / "places.json")  # which is there for that, and for nobody else
        assert len(written) >= 5
        for path in written:
            text = path.read_text(encoding="utf-8")
            assert a_small_config.dataset not in text
            assert str(folder.parent) not in text

    def test_leaves_nothing_under_a_temporary_name(self, a_run):
        folder, _, _ = a_run
        folders = {"bundle", "checkpoints", "pictures"} | ({"tensorboard"} if find_spec("tensorboard") else set())
        files = {"config.json", "curves.png", "events.jsonl", "metrics.csv", "places.json", "split.json"}
        assert {path.name for path in folder.iterdir()} == folders | files
        assert not [path for path in folder.rglob("*") if "partial" in path.name]

    def test_gives_the_same_weights_for_the_same_seed(self, a_small_config, tmp_path):
        def weights(name: str, seed: int) -> torch.Tensor:
            bundle = train(replace(a_small_config, seed=seed), tmp_path / name, Listener())
            return torch.cat([value.flatten() for value in bundle.load_network().parameters()])

        first, again, other = weights("first", 3), weights("again", 3), weights("other", 4)
        torch.testing.assert_close(first, again, rtol=0, atol=1e-3)
        assert not torch.allclose(first, other, rtol=0, atol=1e-2)

    def test_ends_on_time(self, a_small_config, tmp_path):
        train(replace(a_small_config, minutes=0.04), tmp_path, Listener())
        events, _ = read_events(tmp_path / "events.jsonl")
        time_of = {event["name"]: event["time"] for event in events if event["event"] == "stage"}
        assert 2.3 < time_of["score"] - time_of["train"] < 10

    def test_works_with_fewer_slices_than_a_batch_holds(self, a_small_config, tmp_path):
        bundle = train(replace(a_small_config, batch_size=1000, epochs=20), tmp_path, Listener())
        assert metadata_of(bundle)["training"]["steps"] >= 1

    def test_may_start_from_a_model_that_sees_no_neighbors(self, a_small_config, tmp_path):
        alone = train(replace(a_small_config, neighbors=0), tmp_path / "alone", Listener())
        config = replace(a_small_config, neighbors=1, start=str(alone.folder), learning_rate=1e-6)
        wide = train(config, tmp_path / "wide", Listener())
        first, widened = (
            bundle.load_network().state_dict()["input_block.conv1.conv.weight"] for bundle in (alone, wide)
        )
        torch.testing.assert_close(widened[:, 1], first[:, 0], rtol=0, atol=1e-3)
        assert widened[:, [0, 2]].abs().max() < 1e-3
        with pytest.raises(CardiacSegError, match="give the network and filters that it was trained with"):
            train(replace(config, filters=(8, 16, 16)), tmp_path / "other", Listener())

    def test_starts_from_no_model_that_hides_whom_it_was_trained_on(self, a_run, a_small_config, tmp_path):
        silent = shutil.copytree(a_run[1].folder, tmp_path / "silent")
        metadata = read_metadata(silent)
        del metadata["cardiacseg"]["training"]
        (silent / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
        with pytest.raises(CardiacSegError, match="silent: does not say which patients it was trained on"):
            train(replace(a_small_config, filters=(16, 32, 64, 64), start=str(silent)), tmp_path / "run", Listener())

    def test_is_what_the_command_starts(self, an_acdc_folder, tmp_path, capsys, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "CardiacSegLib.training.run.train",
            lambda config, run, events: asked.append((config, run)) or Bundle(tmp_path, ModelGrid(), CANONICAL, {}, ""),
        )
        arguments = ["--dataset", str(an_acdc_folder), "--output", str(tmp_path / "run"), "--fold", "2"]
        assert main(["train", *arguments, "--minutes", "1.5", "--seed", "7", "--device", "cpu"]) == 0
        ((config, run),) = asked
        assert run == tmp_path / "run"
        assert (config.fold, config.minutes, config.seed, config.device) == (2, 1.5, 7, "cpu")
        assert capsys.readouterr().out.strip() == str(tmp_path)

    def test_that_cannot_begin_says_why_and_leaves_no_folder(self, an_acdc_folder, tmp_path, capsys):
        for arguments, message in (
            ([], "dataset is not given"),
            (["--dataset", str(tmp_path)], str(tmp_path)),
            (["--dataset", str(an_acdc_folder), "--crop", "100"], "multiples of 32"),
            (["--dataset", str(an_acdc_folder), "--recipe", "x"], "no recipe is called 'x'"),
            (["--dataset", str(an_acdc_folder), "--structures", "LA"], "no case has labels for LA"),
            (["--dataset", str(an_acdc_folder), "--epochs", "0"], "minutes and epochs are both 0"),
            (["--dataset", str(an_acdc_folder), "--fold", "9"], "fold 9 does not exist"),
            (["--dataset", str(an_acdc_folder), "--split", "none.json"], "none.json: no split"),
            (["--dataset", str(an_acdc_folder), "--device", "tpu"], "device 'tpu' is not known"),
        ):
            assert main(["train", *arguments, "--output", str(tmp_path / "run")]) == 1
            said = capsys.readouterr().err
            assert message in said
            assert said.count("\n") == 1
        assert not (tmp_path / "run").exists()


class TestAConfiguration:
    def test_is_valid_as_it_comes(self):
        assert TrainingConfig("data").is_valid() == (True, "")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("epochs", 0),
            ("minutes", -1.0),
            ("minutes", math.nan),
            ("filters", (8, 16)),
            ("filters", (8, 16, 0)),
            ("crop", 0),
            ("window", 64),
            ("network", "no-net"),
            ("loss", "none"),
            ("optimizer", "guess"),
            ("schedule", "never"),
            ("augmentation", "all"),
            ("structures", ("LV", "EYE")),
            ("keep", "both"),
            ("turns", 3),
            ("folds", 1),
            ("fractions", (0.5, 0.5)),
            ("fractions", (0.5, 0.2, 0.2)),
            ("validations", 0),
            ("patience", -1),
            ("min_foreground", 1.0),
            ("oversampling", 1.5),
            ("weight_decay", -0.1),
            ("dataset", ""),
            ("batch_size", 1),
            ("spacing", 0.0),
            ("spacing", math.nan),
            ("inference_spacing", -1.0),
            ("learning_rate", 0.0),
            ("ema_decay", 1.0),
            ("neighbors", -1),
        ],
    )
    def test_that_makes_no_sense_names_the_field(self, field, value):
        config = replace(TrainingConfig("data"), **{field: value})
        valid, reason = config.is_valid()
        assert not valid
        assert field in reason
        with pytest.raises(CardiacSegError, match=field):
            config.check()

    def test_is_written_with_the_places_of_this_machine_apart(self, tmp_path):
        TrainingConfig("/home/somebody/data", split="/home/somebody/split.json").write(tmp_path)
        assert "somebody" not in (tmp_path / "config.json").read_text(encoding="utf-8")

    def test_is_read_as_it_was_written(self, tmp_path):
        places = {name: str((tmp_path / name).resolve()) for name in ("dataset", "split", "start")}
        config = TrainingConfig(**places, filters=(8, 16, 32), structures=("LV",), minutes=2.5, name="mine")
        config.write(tmp_path)
        assert TrainingConfig.read(tmp_path) == config

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "cannot be read"),
            ("[]", "holds no fields"),
            ('{"color": 1}', "'color' is no field"),
            ('{"epochs": "many"}', "'epochs' is 'many'; it has to be of type int"),
            ('{"filters": [8, "x", 16]}', "'filters' is"),
        ],
    )
    def test_that_is_damaged_on_disk_says_so(self, tmp_path, content, message):
        TrainingConfig("data").write(tmp_path)
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(CardiacSegError, match=message):
            TrainingConfig.read(tmp_path)

    def test_can_be_given_field_by_field_on_the_command_line(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "CardiacSegLib.training.run.train",
            lambda config, run, events: asked.append(config) or Bundle(tmp_path, ModelGrid(), CANONICAL, {}, ""),
        )
        wanted = TrainingConfig(
            dataset="data", layout="acdc", labels="1=LV", structures=("LV", "MYO"), name="n", title="t", purpose="p",
            modality="US", split="s", fractions=(0.5, 0.25, 0.25), folds=3, fold=1, min_foreground=0.1, minutes=3.0,
            epochs=7, validations=4, patience=2, keep="best", network="unet", filters=(4, 8, 16), start="b",
            encoder_weights="w", loss="dice", optimizer="sgd", schedule="cosine", learning_rate=0.1, weight_decay=0.2,
            ema_decay=0.5, augmentation="none", oversampling=0.5, neighbors=2, turns=8, spacing=2.0,
            inference_spacing=1.75, crop=96, window=192, batch_size=4, seed=5, device="cpu",
            compile="never",
        )  # fmt: skip
        default = asdict(TrainingConfig())
        assert not [name for name, value in asdict(wanted).items() if value == default[name]], "a field is untested"
        arguments = []
        for name, value in asdict(wanted).items():
            arguments += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
        assert main(["train", *arguments, "--output", str(tmp_path / "run")]) == 0
        assert asked == [wanted]

    def test_gives_the_command_that_makes_it_again(self):
        config = TrainingConfig("/home/somebody/data", minutes=20.0, filters=(8, 16, 32), turns=8, device="cpu")
        command = config.command(TrainingConfig(), dataset="DATA")
        assert command == "--dataset DATA --minutes 20.0 --filters 8 16 32 --turns 8"

    def test_names_in_that_command_what_is_zero_here_and_not_by_default(self):
        config = TrainingConfig("data", neighbors=0, ema_decay=0.0)
        assert config.command(TrainingConfig(), dataset="DATA") == "--dataset DATA --ema-decay 0.0 --neighbors 0"

    def test_has_help_for_every_field(self):
        assert all(one.metadata["help"] for one in fields(TrainingConfig))


class TestARecipe:
    def test_that_ships_is_valid_and_has_a_line(self):
        recipes = list_recipes()
        assert {"short-axis-cine", "quick", "echo-2ch", "nnunet-2d"} <= {recipe.name for recipe in recipes}
        for recipe in recipes:
            assert recipe.line
            assert recipe.with_changes({"dataset": "data"}).is_valid() == (True, "")

    def test_is_what_a_run_begins_with_and_the_command_line_changes(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "CardiacSegLib.training.run.train",
            lambda config, run, events: asked.append(config) or Bundle(tmp_path, ModelGrid(), CANONICAL, {}, ""),
        )
        arguments = ["--recipe", "quick", "--dataset", "data", "--minutes", "3", "--output", str(tmp_path / "run")]
        assert main(["train", *arguments]) == 0
        expected = find_recipe("quick").config
        assert asked == [replace(expected, dataset="data", minutes=3.0)]

    def test_may_be_a_file_of_the_persons_own(self, tmp_path):
        path = tmp_path / "mine.json"
        path.write_text('{"line": "mine", "config": {"epochs": 3}}', encoding="utf-8")
        assert find_recipe(str(path)).config.epochs == 3

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "no recipe"),
            ('{"line": "x"}', "no recipe"),
            ('{"line": "x", "config": {"epoch": 3}}', "'epoch' is no field"),
            ('{"line": "x", "config": {"dataset": "/data"}}', "names no place on a machine"),
        ],
    )
    def test_that_makes_no_sense_says_so(self, tmp_path, content, message):
        path = tmp_path / "mine.json"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(CardiacSegError, match=message):
            find_recipe(str(path))

    def test_that_is_not_there_lists_those_that_are(self):
        with pytest.raises(CardiacSegError, match=r"no recipe is called 'x'; choose one of .*quick"):
            find_recipe("x")


class TestTheStore:
    def test_holds_every_slice_with_the_number_of_its_case(self, an_acdc_folder):
        store = load_store(acdc.find_cases(an_acdc_folder)[:3], ModelGrid(3.0, 4), CANONICAL, size=80)
        assert store.images.shape == store.labels.shape == (12, 80, 80)
        assert store.cases.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert (store.images.dtype, store.labels.dtype) == (torch.float16, torch.uint8)
        assert set(store.labels.unique().tolist()) == {0, 1, 2, 3}

    def test_has_the_middle_of_the_heart_of_each_case(self, an_acdc_folder):
        store = load_store(acdc.find_cases(an_acdc_folder)[:2], ModelGrid(3.0, 4), CANONICAL, size=80)
        for case in (0, 1):
            found = np.argwhere(store.labels[store.cases == case].any(0).numpy())
            middle = (found.min(axis=0) + found.max(axis=0)) / 2
            np.testing.assert_allclose(store.centers[store.cases == case], np.tile(middle, (4, 1)))

    @pytest.mark.parametrize(("spacing", "tolerance"), [(0.8, 0.1), (1.0, 0.1), (1.9, 0.3)])
    def test_resamples_labels_by_share_and_moves_no_border(self, tmp_path, spacing, tolerance):
        """A disk: its area and its middle are kept, which nearest neighbor would move by up to half a pixel."""
        rows, columns = np.meshgrid(np.arange(100) - 49.5, np.arange(100) - 49.5, indexing="ij")
        disk = np.hypot(rows * spacing - 7, columns * spacing + 4) < 25
        labels = np.repeat(disk[:, :, None], 2, axis=2).astype(np.uint8)
        image = Image(labels.astype(np.int16), np.diag([-spacing, -spacing, 8.0, 1.0]))
        write_image(tmp_path / "i.nii", image)
        write_labels(tmp_path / "l.nii", labels, image, CANONICAL)
        case = Case("p", "ED", tmp_path / "i.nii", tmp_path / "l.nii", CANONICAL)
        store = load_store([case], ModelGrid(1.5, 4), CANONICAL, size=128)
        found = np.argwhere(store.labels[0].numpy() == 1)
        assert len(found) * 1.5**2 == pytest.approx(disk.sum() * spacing**2, rel=0.01)
        middle = np.sort(np.abs((found.mean(axis=0) - 63.5) * 1.5))
        expected = np.sort(np.abs((np.argwhere(disk).mean(axis=0) - 49.5) * spacing))
        np.testing.assert_allclose(middle, expected, atol=tolerance)
        # The image is the label here, so that they have to agree at every border.
        bright = store.images[0].float() > (store.images.float().max() + store.images.float().min()) / 2
        assert (bright != (store.labels[0] == 1)).float().mean() < 0.001

    def test_names_the_case_that_is_spoiled(self, an_acdc_folder, tmp_path):
        case = acdc.find_cases(an_acdc_folder)[0]
        flat = read_image(case.image)
        write_image(tmp_path / "flat.nii.gz", Image(np.zeros_like(flat.array), flat.affine))
        with pytest.raises(CardiacSegError, match=r"flat\.nii\.gz: the image is constant"):
            load_store([replace(case, image=tmp_path / "flat.nii.gz")], ModelGrid(3.0, 4), CANONICAL)


def a_store_of(labels: np.ndarray, images: np.ndarray | None = None) -> SliceStore:
    """Slices (N, S, S) of one case each, with the middle of the slice as that of the heart."""
    images = labels if images is None else images
    centers = torch.full((len(labels), 2), (labels.shape[-1] - 1) / 2)
    return SliceStore(
        torch.from_numpy(np.asarray(images, np.float16)), torch.from_numpy(labels), centers, torch.arange(len(labels))
    )


@pytest.fixture
def without_intensities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the geometric part of the augmentation alone."""
    monkeypatch.setattr(augmentation, "change_intensities", lambda images, generator: images)


class TestAugmentation:
    CHOSEN = torch.zeros(128, dtype=torch.int64)

    def test_gives_crops_of_the_size_asked_for(self):
        store = a_store_of(np.random.default_rng(0).integers(0, 4, (3, 96, 96)).astype(np.uint8))
        images, labels = CardiacMRAugmentation()(store, torch.tensor([2, 0, 1, 1]), 64, torch.Generator())
        assert images.shape == labels.shape == (4, 1, 64, 64)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert labels.min() >= 0
        assert labels.max() <= 3
        assert images.isfinite().all()

    def test_moves_labels_with_the_image(self, without_intensities):
        """The image is its own label: wherever it goes, whatever bends it, the label has to be there."""
        rows, columns = np.meshgrid(np.arange(96), np.arange(96), indexing="ij")
        blobs = (np.sin(rows / 6.0) * np.cos(columns / 9.0 + rows / 30.0) > 0.2).astype(np.uint8)[None]
        images, labels = CardiacMRAugmentation()(a_store_of(blobs), self.CHOSEN, 64, torch.Generator().manual_seed(1))
        assert ((images > 0.5) != (labels == 1)).float().mean() < 2e-3
        assert 0.1 < labels.float().mean() < 0.9

    def test_turns_and_flips_in_all_eight_ways(self, without_intensities):
        """Two marks, one below and one to the right of the middle, in every arrangement and about equally often."""
        marks = np.zeros((1, 97, 97), np.uint8)
        marks[0, 66:71, 46:51] = 1
        marks[0, 46:51, 66:71] = 2
        plain = CardiacMRAugmentation(shift=0, anywhere=0, tilt=0, scale=0, bend=0)
        _, labels = plain(a_store_of(marks), self.CHOSEN, 64, torch.Generator().manual_seed(1))
        found: dict[tuple[int, ...], int] = {}
        for one in labels[:, 0]:
            middles = [(one == number).nonzero().float().mean(0) - 31.5 for number in (1, 2)]
            arrangement = tuple(int(sign) for middle in middles for sign in (middle / 15).round().clamp(-1, 1))
            found[arrangement] = found.get(arrangement, 0) + 1
        assert len(found) == 8
        assert min(found.values()) >= 5

    def test_sees_far_from_the_heart_only_sometimes(self, without_intensities):
        heart = np.zeros((1, 257, 257), np.uint8)
        heart[0, 118:139, 118:139] = 1
        seen = []
        for anywhere in (0.0, 1.0):
            crops = CardiacMRAugmentation(anywhere=anywhere)
            _, labels = crops(a_store_of(heart), self.CHOSEN, 96, torch.Generator().manual_seed(1))
            seen.append(float((labels == 1).any(3).any(2).float().mean()))
        assert seen[0] == 1.0
        assert 0.2 < seen[1] < 0.95

    def test_draws_the_same_for_the_same_seed(self):
        store = a_store_of(np.random.default_rng(0).integers(0, 4, (1, 96, 96)).astype(np.uint8))
        draw = [
            CardiacMRAugmentation()(store, self.CHOSEN[:4], 64, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
        ]
        assert torch.equal(draw[0][0], draw[1][0])
        assert torch.equal(draw[0][1], draw[1][1])
        assert not torch.equal(draw[0][0], draw[2][0])

    def test_of_intensities_moves_nothing(self):
        """What is bright stays bright where it was, and a whole batch stays finite."""
        images = torch.zeros(64, 1, 64, 64)
        images[:, :, 20:40, 30:50] = 3.0
        changed = change_intensities(images, torch.Generator().manual_seed(1))
        assert changed.isfinite().all()
        assert not torch.equal(changed, images)
        inner, outer = changed[:, 0, 22:38, 32:48].mean((1, 2)), changed[:, 0, :, :28].mean((1, 2))
        assert (inner > outer + 0.5).all()


class TestNeighbors:
    @pytest.fixture
    def a_store_of_two_cases(self) -> SliceStore:
        """Slices 1, 2, 3 of one case and 4, 5 of another; each is as bright as its number."""
        images = np.arange(1, 6, dtype=np.float16)[:, None, None] * np.ones((5, 32, 32), np.float16)
        store = a_store_of(np.zeros((5, 32, 32), np.uint8), images)
        return replace(store, cases=torch.tensor([0, 0, 0, 1, 1]))

    def test_are_those_of_the_same_case_and_zero_beyond_its_ends(self, a_store_of_two_cases):
        offsets = torch.tensor([-1, 0, 1]).expand(5, -1)
        found = a_store_of_two_cases.with_neighbors(torch.arange(5), offsets)[:, :, 0, 0]
        assert found.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 0], [0, 4, 5], [4, 5, 0]]

    def test_are_the_same_in_training_and_in_use(self, a_store_of_two_cases):
        offsets = torch.tensor([-1, 0, 1]).expand(3, -1)
        training = a_store_of_two_cases.with_neighbors(torch.arange(3), offsets)
        use = ModelGrid(1.5, 4, neighbors=1).with_neighbors(a_store_of_two_cases.images[:3].float().numpy())
        np.testing.assert_array_equal(training.numpy(), use)

    def test_come_in_either_order_and_sometimes_not_at_all(self, a_store_of_two_cases, without_intensities):
        plain = CardiacMRAugmentation(shift=0, anywhere=0, tilt=0, scale=0, bend=0, neighbors=1)
        chosen = torch.ones(200, dtype=torch.int64)
        images, _ = plain(a_store_of_two_cases, chosen, 16, torch.Generator().manual_seed(1))
        seen = [tuple(one.round().int().tolist()) for one in images[:, :, 8, 8]]
        assert set(seen) == {(1, 2, 3), (3, 2, 1), (0, 2, 0)}
        assert seen.count((0, 2, 0)) < 60


def test_dice_is_one_for_the_same_and_zero_for_what_only_one_has():
    labels, reference = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    assert dice_scores(labels, reference, CANONICAL) == {
        "LV": pytest.approx(2 / 3),
        "MYO": pytest.approx(2 / 3),
        "RV": 1.0,
    }
    assert dice_scores(np.array([3]), np.array([0]), CANONICAL)["RV"] == 0.0
