"""The phantom as sample data: made by code, so that nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from CardiacSegLib.mrml.browsers import proxy_of
from CardiacSegLib.mrml.sequences import add_cine
from CardiacSegLib.mrml.volumes import add_volume_node

PHANTOM_NAME = "CardiacSegPhantom"
PHANTOM_CINE_NAME = "CardiacSegPhantomCine"

_ICONS = Path(__file__).resolve().parents[2] / "Resources" / "Icons"


def registerSampleData() -> None:
    """Add the phantom to the Sample Data module, as two volumes and as a cine."""
    import SampleData

    for name, load in ((PHANTOM_NAME, loadPhantom), (PHANTOM_CINE_NAME, loadPhantomCine)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="CardiacSeg",
            sampleName=name,
            thumbnailFileName=str(_ICONS / f"{name}.png"),
            # The module asks for an address and a file name even where neither is used.
            uris="code:CardiacSegLib.phantom",
            fileNames=f"{name}.nrrd",
            nodeNames=name,
            customDownloader=lambda source, load=load: load(),
        )


def loadPhantom() -> list[Any]:
    """Make the beating-heart phantom; its end-diastole and end-systole become volume nodes, which are returned."""
    from CardiacSegLib.phantom import make_phantom

    phantom = make_phantom()
    frames = {"ED": phantom.ed_frame, "ES": phantom.es_frame}
    nodes = [
        add_volume_node(slicer.mrmlScene, phantom.image[..., frame], phantom.affine, f"{PHANTOM_NAME} {phase}")
        for phase, frame in frames.items()
    ]
    slicer.util.setSliceViewerLayers(background=nodes[0], fit=True)
    return nodes


def loadPhantomCine() -> Any:
    """Make the beating-heart phantom as a cine; returns the volume node that shows the phase of its browser."""
    from CardiacSegLib.phantom import make_phantom

    phantom = make_phantom()
    cine = add_cine(slicer.mrmlScene, phantom.image, phantom.affine, PHANTOM_CINE_NAME, phantom.frame_times)
    volumeNode = proxy_of(cine)
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
    return volumeNode
