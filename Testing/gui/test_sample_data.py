"""What a person finds in the module Sample Data under CardiacSeg."""

from __future__ import annotations

import pytest
import slicer
from PIL import Image

from CardiacSegLib.mrml.browsers import sequence_of_proxy


@pytest.fixture
def sources(module) -> dict:
    """What the module has registered, by name."""
    return {source.sampleName: source for source in slicer.modules.sampleDataSources["CardiacSeg"]}


def test_the_phantom_is_there_as_volumes_and_as_a_cine(sources):
    assert list(sources) == ["CardiacSegPhantom", "CardiacSegPhantomCine"]


def test_each_has_a_picture_of_its_own_in_the_size_that_slicer_shows(sources):
    pictures = []
    for source in sources.values():
        with Image.open(source.thumbnailFileName) as picture:
            assert picture.size == (260, 280)
            pictures.append(picture.tobytes())
    assert len(set(pictures)) == 2


def test_a_click_loads_end_diastole_and_end_systole(sources):
    source = sources["CardiacSegPhantom"]
    assert [node.GetName() for node in source.customDownloader(source)] == [
        "CardiacSegPhantom ED",
        "CardiacSegPhantom ES",
    ]


def test_a_click_loads_a_cine_that_can_be_scrolled(sources):
    source = sources["CardiacSegPhantomCine"]
    assert sequence_of_proxy(source.customDownloader(source)).GetNumberOfDataNodes() == 20


def test_a_script_finds_both_in_the_module(module):
    assert len(module.loadPhantom()) == 2
    assert module.loadPhantomCine().GetName() == "CardiacSegPhantomCine"
