"""The choices of the panel, which are saved with the scene."""

# No "from __future__ import annotations": parameterNodeWrapper has to see the types of the parameters.
from typing import Annotated

from slicer import (
    vtkMRMLPlotChartNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
    vtkMRMLVectorVolumeNode,
)
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.clinical.body import BSA_FORMULAS, SEXES
from CardiacSegLib.inference.devices import DEVICES


@parameterNodeWrapper
class CardiacSegParameterNode:
    """What the person has chosen; saved with the scene.

    Attributes:
        inputVolume: the image to segment; where it belongs to a cine, its phases can be segmented too.
        wholeCine: whether they are.
        model: name of the bundle.
        segmentation: gets the result; a new one where None.
        device: where the network runs.
        turns: over how many turned copies of the image to average; 0 for what the model says.
        cleanUp: whether only the largest part of each structure is kept.
        doubt: whether to ask how sure the model is, too.
        show3D: whether to make surfaces for the 3D view.
        smoothing: of these surfaces.
        edPhase, esPhase: phases that the person chose for the measures, counted from 0; -1 where nobody did.
        resultsTable: holds the measures.
        volumeChart: shows the volumes over the heartbeat; None until a person asks for it.
        bullseye: shows the segments of the wall; None until a person asks for it.
        height, weight, age, heartRate: cm, kg, years and beats per minute as a person typed them; empty where they are
            not known.
        sex: "female", "male" or empty.
        bsaFormula: of the body surface area, a name of :data:`CardiacSegLib.clinical.body.BSA_FORMULAS`.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    wholeCine: bool = True
    model: str = DEFAULT_MODEL
    segmentation: vtkMRMLSegmentationNode
    device: Annotated[str, Choice(list(DEVICES))] = "auto"
    turns: int = 0
    cleanUp: bool = True
    doubt: bool = False
    show3D: bool = True
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5
    edPhase: int = -1
    esPhase: int = -1
    resultsTable: vtkMRMLTableNode
    volumeChart: vtkMRMLPlotChartNode
    bullseye: vtkMRMLVectorVolumeNode
    height: str = ""
    weight: str = ""
    age: str = ""
    heartRate: str = ""
    sex: Annotated[str, Choice(["", *SEXES])] = ""
    bsaFormula: Annotated[str, Choice(list(BSA_FORMULAS))] = "mosteller"
