"""Models made to do harm: every attack is made here by code, and each ends in one line and leaves nothing behind.

A canary is a folder that what a model brings along would make if it ran. It is never there.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import pickle
import shutil
import stat
import sys
import tarfile
import time
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from CardiacSegLib.bundles import INFERENCE, METADATA, ONNX, WEIGHTS, Bundle, note_onnx, sha256
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.requirements import SEGMENT_BY_TORCH, missingPackages, questionText
from CardiacSegLib.inference import runtime
from CardiacSegLib.inference.combining import TREES, load_rule
from CardiacSegLib.inference.monai_bundle import SegmentationRun
from CardiacSegLib.inference.onnx_check import check_onnx
from CardiacSegLib.inference.openvino_runtime import OpenVinoRuntime
from CardiacSegLib.inference.trees import Trees
from CardiacSegLib.models.copies import MOST_BYTES_OF_ONE, MOST_FILES
from CardiacSegLib.models.embedded_code import runs_code
from CardiacSegLib.models.facts import model_facts
from CardiacSegLib.models.library import UntrustedModelError, import_model
from CardiacSegLib.networks import build_network, network_definition
from CardiacSegLib.networks.encoder_weights import load_encoder_weights
from CardiacSegLib.networks.versions import MINIMUM
from CardiacSegLib.training.checkpoints import Checkpoints
from sent_models import Trap, change_json, files_of, zipped

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Where an attack leaves its trace."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def an_archive(a_sent_model: Path, tmp_path: Path) -> Path:
    """The whole model, packed."""
    return zipped(tmp_path / "gift.zip", files_of(a_sent_model, "gift/"))


def refused(run: Callable[[], object], *words: str) -> str:
    """Check that something ends in one line that says all this; return the line."""
    with pytest.raises(CardiacSegError) as caught:
        run()
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert all(word in message for word in words), message
    return message


def entry(
    name: str, content: bytes = b"evil", how: int = zipfile.ZIP_STORED, **fields: int
) -> Callable[[zipfile.ZipFile], object]:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("placeholder")
        info.filename, info.compress_type = name, how  # not as zipfile would mend the name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of duplicates
            archive.writestr(info, content)
        for field, value in fields.items():
            setattr(info, field, value)

    return add


def shared_bytes(archive: zipfile.ZipFile) -> None:
    """A thousand names for the same few bytes (Fifield, USENIX WOOT 2019)."""
    archive.writestr("gift/docs/0", bytes(900_000), zipfile.ZIP_DEFLATED)
    first = archive.filelist[-1]
    for number in range(1, 1000):
        info = zipfile.ZipInfo(f"gift/docs/{number}")
        for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
            setattr(info, field, getattr(first, field))
        archive.filelist.append(info)


def as_unix(kind: int) -> int:
    return (kind | 0o777) << 16


#: What is in an archive beside a whole model, and what is said.
ARCHIVES: dict[str, tuple[Callable[[zipfile.ZipFile], object], str]] = {
    "an absolute path": (entry("/tmp/evil.txt"), "outside of its folder"),
    "a way up": (entry("../evil.txt"), "outside of its folder"),
    "a way down and up": (entry("gift/../../evil.txt"), "outside of its folder"),
    "a way up as Windows writes it": (entry("gift\\..\\..\\evil.txt"), "outside of its folder"),
    "a drive": (entry("C:/evil.txt"), "outside of its folder"),
    "a drive without a slash": (entry("C:evil.txt"), "outside of its folder"),
    "another computer": (entry("\\\\server\\share\\evil.txt"), "outside of its folder"),
    "a hidden stream of NTFS": (entry("gift/docs/README.md:evil"), "outside of its folder"),
    "a link": (entry("gift/docs/a", b"/etc/passwd", external_attr=as_unix(stat.S_IFLNK)), "a link or device"),
    "a device": (entry("gift/docs/a", external_attr=as_unix(stat.S_IFCHR)), "a link or device"),
    "a pipe": (entry("gift/docs/a", external_attr=as_unix(stat.S_IFIFO)), "a link or device"),
    "a name twice": (entry(f"gift/{METADATA.as_posix()}"), "would be one file"),
    "a name twice by another way": (entry("gift/./configs/metadata.json"), "would be one file"),
    "a name in capitals": (entry("gift/configs/METADATA.json"), "would be one file"),
    "a folder in capitals": (entry("gift/CONFIGS/metadata.json"), "would be one file"),
    "a name in two forms of Unicode": (
        lambda archive: [
            archive.writestr(unicodedata.normalize(form, "gift/docs/cœur é.md"), b"") for form in ("NFC", "NFD")
        ],
        "would be one file",
    ),
    "a point at the end": (entry("gift/configs/metadata.json."), "names no file on every system"),
    "a space at the end": (entry("gift/configs/metadata.json "), "names no file on every system"),
    "a device of Windows": (entry("gift/docs/aux.txt"), "names no file on every system"),
    "a device of Windows for a folder": (entry("gift/CON/a.txt"), "names no file on every system"),
    "a line break in a name": (entry("gift/docs/a\nb.md"), "names no file on every system"),
    "a name that turns around": (entry("gift/docs/\u202egnp.exe"), "names no file on every system"),
    "a name with a zero": (entry("gift/docs/a.md\0.exe"), "names no file on every system"),
    "a very long name": (entry("gift/docs/" + "a" * 5000), "too long a name"),
    "folders without end": (entry("gift/" + "a/" * 90 + "b"), "too long a name"),
    "a file where a folder is": (entry("gift/configs"), "cannot be copied"),
    "a locked file": (entry("gift/docs/a", flag_bits=1), "locked or packed"),
    "a packing that few can unpack": (entry("gift/docs/a", how=zipfile.ZIP_BZIP2), "locked or packed"),
    "a bomb": (entry("gift/docs/a", bytes(5_000_000), how=zipfile.ZIP_DEFLATED), "unfolds to more than"),
    "a bomb of many files": (shared_bytes, "unfolds to more than"),
    "one very large file": (entry("gift/docs/a", b"", file_size=MOST_BYTES_OF_ONE + 1), "are no model"),
    "files that it counts among no model": (
        lambda archive: [archive.writestr(f"__MACOSX/{number}", b"") for number in range(MOST_FILES)],
        "files are no model",
    ),
    "a size that is a lie": (entry("gift/docs/a", bytes(1000), file_size=10), "cannot be copied"),
}


class TestAnArchive:
    @pytest.mark.parametrize("attack", ARCHIVES)
    def test_is_refused_with(self, attack, an_archive, own, tmp_path):
        add, words = ARCHIVES[attack]
        with zipfile.ZipFile(an_archive, "a") as archive:
            add(archive)
        before = sorted(tmp_path.rglob("*"))
        refused(lambda: import_model(an_archive), "gift.zip", words)
        assert set(tmp_path.rglob("*")) - set(before) <= {own}

    def test_that_is_whole_is_taken(self, an_archive, own):
        """So that what is refused above is refused for its attack."""
        assert import_model(an_archive).name == "gift"

    def test_with_any_byte_changed_is_taken_or_refused_in_one_line(self, an_archive, own):
        content, chance = np.frombuffer(an_archive.read_bytes(), np.uint8), np.random.default_rng(0)
        # Headers are few among the weights, so that most of the places are those of headers.
        last = np.arange(len(content) - 600, len(content))
        outcomes = set()
        for number in range(100):
            damaged = content.copy()
            places = chance.choice(last if number % 3 else len(content), size=1 + number % 4)
            damaged[places] = chance.integers(0, 256, len(places))
            an_archive.write_bytes(damaged.tobytes())
            try:
                import_model(an_archive, f"model {number}")
                outcomes.add("taken")
            except CardiacSegError as error:
                assert "\n" not in str(error)
                outcomes.add("refused")
        assert "refused" in outcomes
        assert not [path for path in own.iterdir() if path.name.startswith(".partial-")]

    @pytest.mark.skipif(os.name == "nt", reason="Windows has neither")
    @pytest.mark.parametrize("kind", ["link", "pipe"])
    def test_and_a_folder_with_a_link_or_a_pipe_is_refused(self, kind, a_sent_model, own, tmp_path):
        (a_sent_model / METADATA).unlink()
        if kind == "pipe":
            os.mkfifo(a_sent_model / METADATA)
        else:
            (a_sent_model / METADATA).symlink_to("/dev/zero")
        refused(lambda: import_model(a_sent_model), "gift")
        refused(lambda: Bundle.read(a_sent_model), "metadata.json is missing or damaged")  # and does not wait for ever


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped_again(content: bytes, how: int = zipfile.ZIP_STORED, rename: Callable[[str], str] = str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", how) as new:
        for info in old.infolist():
            new.writestr(rename(info.filename), old.read(info))
    return buffer.getvalue()


def locked(content: bytes) -> bytes:
    """Every file marked as locked in the archive's directory, where some readers look and others do not."""
    return content.replace(b"PK\x01\x02\0\0\0\0\0\0", b"PK\x01\x02\0\0\0\0\x01\0")


def as_tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def torchscript(_: Path) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def legacy(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


#: Files of weights that would run something, or fill the memory: from where the canary would be.
WEIGHTS_ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "a call among the tensors": lambda canary: saved({"weight": Trap(canary)}),
    "a call in place of the tensors": lambda canary: saved(Trap(canary)),
    "a bare pickle": lambda canary: pickle.dumps(Trap(canary), protocol=2),
    "a bare pickle of a newer kind": lambda canary: pickle.dumps({"weight": Trap(canary)}, protocol=4),
    "the format before 1.6": lambda canary: legacy({"weight": Trap(canary)}),
    "the format before 0.4": lambda canary: as_tar(pickle.dumps(Trap(canary), protocol=2)),
    "a pickle whose name is in capitals": lambda canary: zipped_again(
        saved({"weight": Trap(canary)}), rename=lambda name: name.replace("data.pkl", "DATA.PKL")
    ),
    "an archive marked as locked": lambda canary: locked(saved({"weight": Trap(canary)})),
    "a program of TorchScript": torchscript,
    "a whole network": lambda canary: saved(torch.nn.Linear(2, 2)),
    "a class of Python": lambda canary: saved({"weight": Path("x")}),
    "zeros that fill the memory": lambda canary: zipped_again(
        saved({"weight": torch.zeros(500_000)}), zipfile.ZIP_DEFLATED
    ),
    "half of an archive": lambda canary: saved({"weight": torch.zeros(5000)})[:9000],
    "noise": lambda canary: np.random.default_rng(0).bytes(3000),
    "noise that begins as an archive": lambda canary: b"PK\x03\x04" + np.random.default_rng(0).bytes(3000),
    "nothing": lambda canary: b"",
}


@pytest.fixture(scope="module")
def a_network() -> torch.nn.Module:
    """One that takes weights of an encoder."""
    return build_network(network_definition("unet-mobilenetv2", 1, 4))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
class TestAFileOfWeights:
    """It has the right hash: whoever changes the weights changes the metadata, too."""

    @pytest.fixture(params=WEIGHTS_ATTACKS)
    def content(self, request, canary) -> bytes:
        return WEIGHTS_ATTACKS[request.param](canary)

    def test_runs_nothing_wherever_it_is_read(self, content, a_sent_model, a_network, tmp_path):
        (a_sent_model / WEIGHTS).write_bytes(content)
        change_json(a_sent_model / METADATA, lambda m: m["cardiacseg"].update(sha256=sha256(a_sent_model / WEIGHTS)))
        refused(Bundle.read(a_sent_model).load_network, "model.pt: no weights of this network")
        weights = str(a_sent_model / WEIGHTS)
        refused(lambda: SegmentationRun(torch.nn.Identity(), weights, 1.5, 4, [1, 99], 0, 1, {"LV": 1}, "cpu"), weights)
        refused(lambda: load_encoder_weights(a_network, weights), "model.pt: cannot be read as weights")
        for name in ("last", "previous", "best"):
            shutil.copy(weights, tmp_path / f"{name}.pt")
        refused(Checkpoints(tmp_path).load, "last.pt: damaged", "start the run again")
        refused(Checkpoints(tmp_path).load_best, "best.pt: missing or damaged")

    def test_is_shown_to_the_person_and_not_taken_without_consent(self, content, a_sent_model, own):
        (a_sent_model / WEIGHTS).write_bytes(content)
        change_json(a_sent_model / METADATA, lambda m: m["cardiacseg"].update(sha256=sha256(a_sent_model / WEIGHTS)))
        (line, *_) = runs_code(a_sent_model)
        assert line.startswith(f"{WEIGHTS.as_posix()}: ")
        with pytest.raises(UntrustedModelError):
            import_model(a_sent_model)

    def test_is_not_opened_where_its_hash_is_not_that_of_the_metadata(self, canary, a_sent_model):
        (a_sent_model / WEIGHTS).write_bytes(WEIGHTS_ATTACKS["a bare pickle"](canary))
        refused(Bundle.read(a_sent_model).load_network, "SHA-256 is not the one")
        weights = str(a_sent_model / WEIGHTS)
        run = [torch.nn.Identity(), weights, 1.5, 4, [1, 99], 0, 1, {"LV": 1}, "cpu"]
        refused(lambda: SegmentationRun(*run), "SHA-256 is not the one")

    def test_of_encoders_has_the_hash_in_its_name(self, a_network, tmp_path):
        torch.save({"weight": torch.zeros(1)}, tmp_path / "mobilenet_v2-7ebf99e0.pth")
        refused(
            lambda: load_encoder_weights(a_network, tmp_path / "mobilenet_v2-7ebf99e0.pth"), "SHA-256 is not the one"
        )

    def test_would_have_run_without_the_guard(self, tmp_path):
        """The attacks are real."""
        for number, attack in enumerate(("a call in place of the tensors", "the format before 1.6")):
            content = WEIGHTS_ATTACKS[attack](tmp_path / str(number))
            torch.load(io.BytesIO(content), weights_only=False)
            assert (tmp_path / str(number)).is_dir()

    @pytest.mark.skipif(os.name == "nt", reason="needs a file system with sparse files")
    def test_larger_than_any_model_is_not_read(self, a_sent_model):
        with (a_sent_model / WEIGHTS).open("wb") as weights:
            weights.truncate(10**12)
        refused(Bundle.read(a_sent_model).load_network, "model.pt: is larger than any model")


@pytest.mark.parametrize(
    "edit",
    [
        {"filters": [10**6, 10**6, 10**6]},
        {"kernel_size": [[10**6, 10**6], [3, 3], [3, 3]], "filters": [8, 16, 32]},
        {"in_channels": 10**9},
    ],
    ids=["wide", "with wide kernels", "of many channels"],
)
def test_a_network_that_would_fill_the_memory_is_not_built(edit, a_sent_model):
    change_json(a_sent_model / INFERENCE, lambda config: config["network_def"].update(edit))
    start = time.process_time()
    refused(Bundle.read(a_sent_model).load_network, "inference.json: network 'DynUNet' cannot be built")
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "edit",
    [
        lambda ours: ours["grid"].update(spacing=1e-9),
        lambda ours: ours["grid"].update(multiple=10**9),
        lambda ours: ours["grid"].update(neighbors=10**9),
        lambda ours: ours.update(turns=10**12),
        lambda ours: ours.update(turns="9" * 5000),
        lambda ours: ours.update(labels={"LV": 1e400}),
    ],
)
def test_a_grid_that_would_fill_the_memory_is_refused(edit, a_sent_model):
    change_json(a_sent_model / METADATA, lambda metadata: edit(metadata["cardiacseg"]))
    refused(lambda: Bundle.read(a_sent_model), "metadata.json: lacks what CardiacSeg needs")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, " " * 17_000_000, "9" * 100_000, "\ud800"])
def test_metadata_made_to_break_readers_is_refused(text, a_sent_model):
    (a_sent_model / METADATA).write_text(text, encoding="utf-8", errors="surrogatepass")
    refused(lambda: Bundle.read(a_sent_model))


def array_file(header: str, version: bytes = b"\x01\x00") -> bytes:
    """A file of numpy with any header, and hardly any numbers."""
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + header.encode("latin1") + bytes(16)


def objects(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(canary)], object), allow_pickle=True)
    return buffer.getvalue()


#: Files of numpy in place of each array of the trees.
ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "objects": objects,
    "an object within": lambda _: array_file("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }"),
    "more than the memory": lambda _: array_file(f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({10**13},)}}"),
    "more than there is": lambda _: array_file(f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({10**40},)}}"),
    "less than nothing": lambda _: array_file("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}"),
    "parentheses without end": lambda _: array_file("(" * 9000),
    "signs without end": lambda _: array_file("-" * 9000 + "1"),
    "a call": lambda _: array_file("__import__('os').mkdir('canary')"),
    "a pickle": lambda canary: pickle.dumps(Trap(canary)),
    "an unknown version": lambda _: array_file("{}", b"\x09\x00"),
    "noise": lambda _: np.random.default_rng(0).bytes(500),
}


class TestAFileOfTrees:
    @pytest.mark.parametrize("attack", ARRAYS)
    def test_runs_nothing(self, attack, canary, tmp_path):
        content = ARRAYS[attack](canary)
        with zipfile.ZipFile(tmp_path / TREES, "w") as archive:
            for name in ("roots", "features", "thresholds", "left", "right", "values", "depth", "boosted"):
                archive.writestr(f"{name}.npy", content)
        refused(lambda: Trees.read(tmp_path / TREES), f"{TREES}: holds no trees")

    @pytest.mark.parametrize("attack", ["objects", "an object within", "a pickle", "signs without end", "noise"])
    def test_is_shown_to_the_person(self, attack, canary, tmp_path):
        (tmp_path / "more.npy").write_bytes(ARRAYS[attack](canary))
        (line,) = runs_code(tmp_path)
        assert line.startswith("more.npy: ")

    def test_that_unfolds_to_more_than_the_memory_is_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / TREES, "w") as archive:
            archive.writestr("roots.npy", b"")
            archive.getinfo("roots.npy").file_size = 10**9
        refused(lambda: Trees.read(tmp_path / TREES), "holds no trees")

    def test_with_more_trees_than_the_memory_can_ask_is_refused(self, tmp_path):
        nodes = {name: np.zeros(1, np.int32) for name in ("features", "left", "right")}
        more = {"thresholds": np.zeros(1), "values": np.zeros((1, 4), np.float32), "depth": 1, "boosted": False}
        np.savez_compressed(tmp_path / TREES, roots=np.zeros(10**6, np.int32), **nodes, **more)
        refused(lambda: Trees.read(tmp_path / TREES), "1000000 trees")

    def test_is_not_opened_where_its_hash_is_not_that_of_the_metadata(self, canary, tmp_path):
        (tmp_path / TREES).write_bytes(pickle.dumps(Trap(canary)))
        spec = {"method": "stacked-forest", "members": 1, "columns": [[0]], "sha256": "0" * 64}
        refused(lambda: load_rule(spec, tmp_path, 2), "SHA-256 is not the one")


def network(*nodes: onnx.NodeProto, tensors: tuple[TensorProto, ...] = (), output: str = "y") -> onnx.ModelProto:
    """A network as ONNX from slices ``x``, as small as can be."""
    sizes = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        nodes or [helper.make_node("Sigmoid", ["x"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def elsewhere(location: str) -> TensorProto:
    """One number that stands in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def adding(location: str) -> bytes:
    model = network(helper.make_node("Add", ["x", "w"], ["y"]), tensors=(elsewhere(location),))
    return model.SerializeToString()


def in_a_branch(location: str) -> bytes:
    """The reference stands in a graph within an operator of the graph."""
    constant = helper.make_node("Constant", [], ["y"], value=elsewhere(location))
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    condition = numpy_helper.from_array(np.array(True), "c")
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return network(node, tensors=(condition,)).SerializeToString()


def huge_constant(count: int) -> bytes:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return network(*nodes, tensors=(numpy_helper.from_array(np.array([count]), "s"),)).SerializeToString()


#: Files in place of the network as ONNX, and what is said; an operator and a size only OpenVINO finds wrong.
NETWORKS_AS_ONNX: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"\n", "the network breaks off"),
    "noise": (lambda: np.random.default_rng(1).bytes(5000), ""),
    "a text": (lambda: b"hello " * 100, ""),
    "another format of OpenVINO": (lambda: b'<?xml version="1.0"?><net name="a" version="11"></net>', ""),
    "half a network": (lambda: adding("w.bin")[:-30], ""),
    "a pickle": (lambda: pickle.dumps({}), ""),
    "a file beside it": (lambda: adding("w.bin"), "it takes numbers from another file"),
    "a file above it": (lambda: adding("../w.bin"), "it takes numbers from another file"),
    "a file of the system": (lambda: adding("/etc/passwd"), "it takes numbers from another file"),
    "a file in a branch": (lambda: in_a_branch("../w.bin"), "it takes numbers from another file"),
    "an operator that nobody has": (
        lambda: network(helper.make_node("Evil", ["x"], ["y"], domain="evil")).SerializeToString(),
        "OpenVINO cannot run it",
    ),
    "a constant larger than the memory": (lambda: huge_constant(10**13), "OpenVINO cannot run it"),
}


class TestAFileOfOnnx:
    @pytest.mark.parametrize("attack", NETWORKS_AS_ONNX)
    def test_is_refused_with(self, attack, a_sent_model, tmp_path, monkeypatch):
        make, words = NETWORKS_AS_ONNX[attack]
        monkeypatch.chdir(a_sent_model)  # from where OpenVINO would take what lies beside it
        np.zeros(1, np.float32).tofile("w.bin")
        (a_sent_model / ONNX).write_bytes(make())
        bundle = note_onnx(Bundle.read(a_sent_model))
        refused(lambda: runtime.load_runtime(bundle, "cpu:openvino"), "model.onnx: OpenVINO cannot run it", words)

    @pytest.mark.parametrize(
        "attack", [name for name, (_, words) in NETWORKS_AS_ONNX.items() if words != "OpenVINO cannot run it"]
    )
    def test_is_not_imported_either(self, attack, a_sent_model, own):
        (a_sent_model / ONNX).write_bytes(NETWORKS_AS_ONNX[attack][0]())
        note_onnx(Bundle.read(a_sent_model))
        refused(lambda: import_model(a_sent_model), "gift", "cannot be used")
        assert list(own.iterdir()) == []

    def test_that_computes_something_else_is_refused_when_it_does(self, a_sent_model):
        (a_sent_model / ONNX).write_bytes(network(helper.make_node("Shape", ["x"], ["y"])).SerializeToString())
        loaded = runtime.load_runtime(note_onnx(Bundle.read(a_sent_model)), "cpu:openvino")
        refused(lambda: loaded.probabilities(np.zeros((2, 1, 8, 8), np.float32)), "gives no probabilities of slices")

    def test_is_not_opened_where_its_hash_is_not_that_of_the_metadata(self, a_sent_model, own):
        (a_sent_model / ONNX).write_bytes(network().SerializeToString())
        bundle = note_onnx(Bundle.read(a_sent_model))
        (a_sent_model / ONNX).write_bytes(b"hello")
        refused(lambda: runtime.load_runtime(bundle, "cpu:openvino"), "SHA-256 is not the one")
        refused(lambda: import_model(a_sent_model), "SHA-256 is not the one")

    @pytest.mark.skipif(os.name == "nt", reason="needs a file system with sparse files")
    def test_larger_than_any_model_is_not_read(self, a_sent_model):
        (a_sent_model / ONNX).write_bytes(network().SerializeToString())
        bundle = note_onnx(Bundle.read(a_sent_model))
        with (a_sent_model / ONNX).open("wb") as file:
            file.truncate(10**12)
        refused(lambda: runtime.load_runtime(bundle, "cpu:openvino"), "model.onnx: is larger than any model")

    def test_that_is_one_runs(self, a_sent_model):
        """So that what is refused above is refused for its attack."""
        (a_sent_model / ONNX).write_bytes(network().SerializeToString())
        loaded = OpenVinoRuntime(a_sent_model / ONNX)
        assert loaded.probabilities(np.zeros((2, 1, 8, 8), np.float32)).shape == (2, 1, 8, 8)

    def test_with_any_byte_changed_is_looked_through_or_refused(self):
        content, chance = np.frombuffer(in_a_branch("w.bin"), np.uint8), np.random.default_rng(0)
        for _ in range(500):
            damaged = content.copy()
            damaged[chance.choice(len(content), 3)] = chance.integers(0, 256, 3)
            try:
                check_onnx(damaged.tobytes()[: chance.integers(1, len(content) + 1)])
            except ValueError as error:
                assert "\n" not in str(error)


#: Changes of a bundle that have MONAI or Python run something, and what the person is shown of it.
CODE: dict[str, tuple[str, str, str]] = {
    "an expression": ("configs/inference.json", '{"a": "$print(1)"}', "a = $print(1)"),
    "an import": ("configs/inference.json", '{"imports": ["$import os"]}', "imports::0 = $import os"),
    "an expression deep within": ("configs/x.json", '{"a": [{"b": [["$exit(7)"]]}]}', "a::0::b::0::0 = $exit(7)"),
    "an expression behind spaces": ("configs/x.json", '{"a": "  $exit(7)"}', "a = $exit(7)"),
    "an expression written by its number": ("configs/x.json", '{"a": "\\u0024exit(7)"}', "a = $exit(7)"),
    "an expression in a key": ("configs/x.json", '{"$exit(7)": 1}', "$exit(7) = 1"),
    "an expression behind a harmless twin": ("configs/x.json", '{"a": "$exit(7)", "a": 1}', "a = $exit(7)"),
    "a call": ("configs/x.json", '{"a": {"_target_": "os.system", "command": "x"}}', "a::_target_ = os.system"),
    "a call of what runs text": ("configs/x.json", '{"a": {"_target_": "builtins.eval"}}', "_target_ = builtins.eval"),
    "a call behind a harmless twin": (
        "configs/x.json",
        '{"_target_": "subprocess.run", "_target_": "monai.networks.nets.DynUNet"}',
        "_target_ = subprocess.run",
    ),
    "a call by the way to it": ("configs/x.json", '{"a::_target_": "os.system"}', "a::_target_ = os.system"),
    "a call by merging": ("configs/x.json", '{"+a": {"_target_": "os.system"}}', "_target_ = os.system"),
    "a call of a list": ("configs/x.json", '{"_target_": ["os.system"]}', "_target_ = ['os.system']"),
    "what a call requires": ("configs/x.json", '{"a": {"_requires_": ["$exit(7)"]}}', "a::_requires_::0 = $exit(7)"),
    "whether a call is disabled": ("configs/x.json", '{"a": {"_disabled_": "$exit(7)"}}', "a::_disabled_ = $exit(7)"),
    "the debugger": ("configs/x.json", '{"a": {"_mode_": "debug"}}', "a::_mode_ = debug"),
    "a part of another file": ("configs/x.json", '{"a": "%/etc/other.json::run"}', "a = %/etc/other.json::run"),
    "an expression in the metadata": ("configs/more_metadata.json", '{"version": "$exit(7)"}', "version = $exit(7)"),
    "JSON that is none": ("configs/x.json", "{", "JSON that cannot be looked through"),
    "JSON without end": ("configs/x.json", "[" * 100_000, "JSON that cannot be looked through"),
    "JSON of another alphabet": ("configs/x.json", '\ufeff{"a": 1}', "JSON that cannot be looked through"),
    "an expression in YAML": ("configs/x.yaml", "a: $print(1)", "line 1 = a: $print(1)"),
    "a folded expression in YAML": ("configs/x.yml", "a: >-\n  $exit(7)", "line 2 = $exit(7)"),
    "a call in YAML": ("configs/x.yaml", "a: {_target_: os.system}", "line 1 = a: {_target_: os.system}"),
    "a call in YAML by a complex key": ("configs/x.yaml", "? _target_\n: os.system", "line 1 = ? _target_"),
    "a call in YAML by an anchor": ("configs/x.yaml", "b: &x os.system\n_target_: *x", "line 2 = _target_: *x"),
    "an object of Python in YAML": (
        "configs/x.yaml",
        "a: !!python/object/apply:os.system ['x']",
        "line 1 = a: !!python/object/apply:os.system ['x']",
    ),
    "an object of Python by its long name": (
        "configs/x.yaml",
        "a: !<tag:yaml.org,2002:python/name:os.system>",
        "line 1 = a: !<tag:",
    ),
    "a part of another file in YAML": ("configs/x.yaml", "a: '%b::c'", "line 1 = a: '%b::c'"),
    "letters by their numbers in YAML": ("configs/x.yaml", 'a: "\\x24exit(7)"', "line 1 = a:"),
    "a configuration in Python": ("configs/train.py", "exit(7)", "a file of code"),
    "a package": ("scripts/__init__.py", "exit(7)", "a file of code"),
    "a module in place of torch": ("torch.py", "exit(7)", "a file of code"),
    "a library": ("lib/fast.SO", "x", "a file of code"),
    "a configuration of logging": ("configs/logging.conf", "[x]", "whose arguments Python evaluates"),
    "a program": ("docs/run", "#!/bin/sh\nrm -r ~", "a file of a kind that no model needs"),
    "a page": ("docs/card.html", "<script>x</script>", "a file of a kind that no model needs"),
    "an archive": ("docs/more.tar.gz", "x", "a file of a kind that no model needs"),
    "a link of Windows": ("docs/card.lnk", "x", "a file of a kind that no model needs"),
}


class TestCodeThatAModelBrings:
    @pytest.mark.parametrize("attack", CODE)
    def test_is_found_shown_and_refused_without_consent(self, attack, a_sent_model, own, monkeypatch):
        name, text, shown = CODE[attack]
        monkeypatch.setattr(sys, "path", [str(a_sent_model), *sys.path])  # as where `python -m` starts in it
        (a_sent_model / name).parent.mkdir(exist_ok=True)
        if name == "configs/inference.json":
            change_json(a_sent_model / INFERENCE, lambda config: config.update(json.loads(text)))
        else:
            (a_sent_model / name).write_text(text, encoding="utf-8")
        with pytest.raises(UntrustedModelError) as caught:
            import_model(a_sent_model)
        (line,) = caught.value.lines
        assert line.startswith(f"{name}: ")
        assert shown in line
        assert not own.exists() or list(own.iterdir()) == []

    def test_is_shown_so_that_nothing_hides_in_it(self, a_sent_model):
        """A character that turns the text around, one that is not seen, and a line break."""
        (a_sent_model / "configs" / "x.json").write_text(
            json.dumps({"a": "$exit(7) \u202e\u200b\n harmless"}), encoding="utf-8"
        )
        (a_sent_model / "docs" / "card\u202emd.py").write_text("", encoding="utf-8")
        found = runs_code(a_sent_model)
        assert len(found) == 2
        assert all(line.isprintable() for line in found)
        assert "\\u202e" in found[0]
        assert "docs/card\\u202emd.py" in found[1]

    def test_is_never_run_by_cardiacseg_even_with_consent(self, canary, a_sent_model, own, monkeypatch):
        """Everything that showing and loading a model do, on one that has a trap wherever code may stand."""
        trap = f"$__import__('os').mkdir({str(canary)!r})"
        more = {"bundle_root": trap, "imports": [trap], "initialize": [trap], "run": [trap], trap: trap}
        change_json(a_sent_model / INFERENCE, lambda config: config.update(more))
        change_json(a_sent_model / METADATA, lambda metadata: metadata.update(version=trap, name=trap))
        (a_sent_model / "scripts").mkdir()
        for name in ("torch.py", "scripts/__init__.py"):
            (a_sent_model / name).write_text(f"import os; os.mkdir({str(canary)!r})", encoding="utf-8")
        bundle = import_model(a_sent_model, trust_code=True)
        monkeypatch.chdir(bundle.folder)
        assert model_facts(bundle).name == "gift"
        bundle.load_network()

    def test_reaches_no_network_of_a_bundle(self, canary, a_sent_model):
        trap = {"_target_": "os.mkdir", "path": str(canary)}
        change_json(a_sent_model / INFERENCE, lambda config: config.update(network_def=trap))
        refused(Bundle.read(a_sent_model).load_network, "network 'os.mkdir' is not known")


class TestAnOldPackage:
    """What Slicer or another extension has installed before."""

    @pytest.mark.parametrize(("package", "version"), [("torch", "2.9.1+cpu"), ("torch", "2.5.1"), ("monai", "1.5.1")])
    def test_is_refused_with_the_reason_and_the_remedy(self, package, version, a_bundle, monkeypatch):
        import monai

        monkeypatch.setattr({"torch": torch, "monai": monai}[package], "__version__", version)
        wanted = f"pip install --upgrade '{package}>={MINIMUM[package]}'"
        words = f"{package} {version} is too old, {MINIMUM[package]} or later is needed: "
        refused(a_bundle.load_network, words, wanted)
        refused(lambda: runtime.load_runtime(a_bundle, "cpu:torch"), words, wanted)

    def test_reads_no_checkpoint_and_no_encoder(self, a_network, monkeypatch, tmp_path):
        torch.save({"a": torch.zeros(1)}, tmp_path / "best.pt")
        monkeypatch.setattr(torch, "__version__", "2.4.0")
        refused(Checkpoints(tmp_path).load_best, "torch 2.4.0 is too old", "pip install")
        refused(lambda: load_encoder_weights(a_network, tmp_path / "best.pt"), "torch 2.4.0 is too old")
        refused(lambda: load_encoder_weights(a_network, "download"), "torch 2.4.0 is too old")

    def test_leaves_the_work_to_openvino_and_says_so(self, a_sent_model, monkeypatch):
        monkeypatch.setattr(torch, "__version__", "2.4.0")
        monkeypatch.setattr(runtime, "_may_have_graphics_card", lambda: True)
        (a_sent_model / ONNX).write_bytes(network().SerializeToString())
        described = runtime.load_runtime(note_onnx(Bundle.read(a_sent_model))).described
        assert described.startswith("OpenVINO on ")
        assert "(no graphics card, torch 2.4.0 is too old, 2.10 or later is needed: " in described

    def test_is_upgraded_by_the_panel_which_says_why(self, monkeypatch):
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.4.0")
        assert "torch" in missingPackages(SEGMENT_BY_TORCH)
        text = questionText(["torch", "monai"], "Linux", False)
        assert "torch 2.10 or later (1.4.0 is too old)" in text
        assert "torch is upgraded because in older ones a file of weights can run code." in text
        assert "monai is upgraded because older ones unpack archives and load files unsafely." in text

    def test_is_not_what_pip_installs(self):
        text = PYPROJECT.read_text(encoding="utf-8")
        assert all(f'"{package}>={version}"' in text for package, version in MINIMUM.items())
