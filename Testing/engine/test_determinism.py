"""Same input, model, runtime and thread count: the same bits, in whatever process; and each result says what it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CardiacSegLib.bundles import find_bundle
from CardiacSegLib.images import Image, read_image, write_image
from CardiacSegLib.inference.provenance import Provenance
from CardiacSegLib.inference.segmenter import Segmenter
from CardiacSegLib.jobs.processes import engine_environment
from CardiacSegLib.phantom import Phantom

#: Labels an image and tells a hash of the probabilities: labels could be alike by luck.
LABEL = """
import hashlib, json, sys
from CardiacSegLib.images import read_image
from CardiacSegLib.inference.segmenter import Segmenter

path, model, device = sys.argv[1:]
image, segmenter = read_image(path), Segmenter.load(model, device, turns=1)
labels, probabilities = segmenter.predict(image.array, image.affine)
hashes = [hashlib.sha256(array.tobytes()).hexdigest() for array in (labels, probabilities)]
print(json.dumps({"hashes": hashes, "heart": int((labels > 0).sum()), **segmenter.provenance.fields()}))
"""


def label_in_a_process(path: Path, model: str, device: str, threads: int) -> dict[str, Any]:
    environment = {
        **engine_environment(),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": str(os.getpid() + threads),
    }
    command = [sys.executable, "-c", LABEL, str(path), model, device]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestTheSameBits:
    @pytest.mark.parametrize(
        ("device", "threads"),
        [
            ("cpu:openvino", 1),
            pytest.param("cpu:openvino", 2, marks=pytest.mark.long),
            pytest.param("cpu:torch", 1, marks=pytest.mark.long),
            pytest.param("cpu:torch", 2, marks=pytest.mark.long),
        ],
    )
    def test_come_from_two_processes(self, a_phantom_file, device, threads):
        one, other = (label_in_a_process(a_phantom_file, "short-axis-cine", device, threads) for _ in range(2))
        assert one == other
        assert one["heart"] > 100
        assert one["threads"] == threads
        bundle = find_bundle("short-axis-cine")
        assert one["sha256"] == (bundle.onnx_hash if device == "cpu:openvino" else bundle.hash)

    def test_come_from_one_process_again_and_after_other_images(self, a_segmenter, a_phantom_image, a_phantom):
        first = a_segmenter.predict(a_phantom_image.array, a_phantom_image.affine)
        a_segmenter.segment(a_phantom.image[:48, :, :3], a_phantom.affine)
        again = a_segmenter.predict(a_phantom_image.array, a_phantom_image.affine)
        for one, other in zip(first, again):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.long
    def test_of_labels_come_from_a_cine_and_from_its_phases(self, a_phantom: Phantom):
        """By the model that ships. Probabilities may differ in their last bits: more slices go through at once."""
        segmenter = Segmenter.load("short-axis-cine", "cpu:openvino", turns=1)
        together = segmenter.segment(a_phantom.image, a_phantom.affine)
        for frame in range(together.shape[3]):
            alone = segmenter.segment(a_phantom.image[..., frame], a_phantom.affine)
            assert (alone != together[..., frame]).mean() < 1e-4

    def test_of_a_file_come_from_its_copy_as_another_format(self, a_segmenter, a_phantom_image: Image, tmp_path):
        for name in ("a.nii.gz", "a.nrrd"):
            write_image(tmp_path / name, a_phantom_image)
        labels = [a_segmenter.segment(i.array, i.affine) for i in map(read_image, sorted(tmp_path.iterdir()))]
        np.testing.assert_array_equal(*labels)


class TestWhatIsRecorded:
    def test_leaves_out_what_nobody_knows(self):
        assert Provenance().fields().keys() == {"version"}
        assert Provenance().lines().keys() == {"Made by"}

    def test_comes_back_from_json(self, a_segmenter):
        made = a_segmenter.provenance.timed(1.23456)
        assert Provenance.of_fields(json.loads(json.dumps(made.fields()))) == made
        assert made.fields()["seconds"] == 1.235

    def test_says_which_options_were_chosen(self, a_segmenter):
        other = a_segmenter.with_options(turns=8, cleanup=False).provenance
        assert (other.turns, other.cleanup) == (8, False)
        assert other.how.endswith("the mean over 8 turned copies, without clean-up")
