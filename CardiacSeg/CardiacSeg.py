"""CardiacSeg: segments the heart in short-axis cardiac MR.

The work itself is done in a process of its own (CardiacSegLib.jobs); nothing here imports torch or MONAI, so that
Slicer starts at full speed with neither installed.
"""

# No "from __future__ import annotations": parameterNodeWrapper has to see the types of the parameters.
from pathlib import Path
from typing import Annotated, Optional, Union

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLSequenceNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES
from CardiacSegLib.bundles import DEFAULT_MODEL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.packages import ensurePackages
from CardiacSegLib.gui.requirements import missingPackages
from CardiacSegLib.inference.devices import DEVICES
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.mrml.segmentations import (
    add_segmentation_node,
    fill_segmentation_node,
    labels_from_segmentation_node,
)
from CardiacSegLib.mrml.sequences import (
    add_cine,
    add_segmentation_sequence,
    cine_from_sequence_node,
    proxy_of,
    sequence_of_proxy,
)
from CardiacSegLib.mrml.terminology import load_terminology
from CardiacSegLib.mrml.volumes import add_volume_node, image_from_volume_node
from CardiacSegLib.terminology import terminology_entry

PHANTOM_NAME = "CardiacSegPhantom"
PHANTOM_CINE_NAME = "CardiacSegPhantomCine"


class CardiacSeg(ScriptedLoadableModule):
    """The module as Slicer's module list shows it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "CardiacSeg"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        parent.dependencies = ["Plots", "Segmentations", "Sequences", "Tables", "Terminologies"]
        parent.contributors = ["The CardiacSeg contributors"]
        parent.helpText = _(
            "Segments the left ventricle, the myocardium and the right ventricle in short-axis cardiac MR. Choose a "
            "volume and press Segment; the result is a segmentation that you can edit in Segment Editor. Not a medical "
            'device: for research only. See the <a href="https://github.com/CardiacSeg/SlicerCardiacSeg">'
            "documentation</a>."
        )
        parent.acknowledgementText = _(
            "Networks and bundles by MONAI. The model that ships was trained on the ACDC data (Bernard et al., IEEE "
            "Transactions on Medical Imaging 2018) and is licensed CC BY-NC-SA 4.0 like them; its card says more."
        )
        slicer.app.connect("startupCompleted()", onStartupCompleted)


def onStartupCompleted():
    """Register what other modules of Slicer offer: the sample data and the terminology."""
    registerSampleData()
    load_terminology(slicer.modules.terminologies.logic())


def registerSampleData():
    """Add the phantom to the Sample Data module; it is made by code, so nothing is downloaded."""
    import SampleData

    for name, load in ((PHANTOM_NAME, loadPhantom), (PHANTOM_CINE_NAME, loadPhantomCine)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="CardiacSeg",
            sampleName=name,
            thumbnailFileName=str(Path(__file__).parent / "Resources" / "Icons" / "CardiacSegPhantom.png"),
            # The module asks for an address and a file name even where neither is used.
            uris="code:CardiacSegLib.phantom",
            fileNames=f"{name}.nrrd",
            nodeNames=name,
            customDownloader=lambda source, load=load: load(),
        )


def loadPhantom():
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


def loadPhantomCine():
    """Make the beating-heart phantom as a cine; returns the volume node that shows the phase of its browser."""
    from CardiacSegLib.phantom import make_phantom

    phantom = make_phantom()
    volumeNode = proxy_of(add_cine(slicer.mrmlScene, phantom.image, phantom.affine, PHANTOM_CINE_NAME))
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
    return volumeNode


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
        show3D: whether to make surfaces for the 3D view.
        smoothing: of these surfaces.
        edPhase, esPhase: phases that the person chose for the measures, counted from 0; -1 where nobody did.
        resultsTable: holds the measures.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    wholeCine: bool = True
    model: str = DEFAULT_MODEL
    segmentation: vtkMRMLSegmentationNode
    device: Annotated[str, Choice(list(DEVICES))] = "auto"
    turns: int = 0
    cleanUp: bool = True
    show3D: bool = True
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5
    edPhase: int = -1
    esPhase: int = -1
    resultsTable: vtkMRMLTableNode


class CardiacSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: its sections, and what they share."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.sections = []
        self._parameterNode = None

    def setup(self):
        """Called when the module is opened for the first time."""
        # Imported here, so that Slicer does not wait for the panel when it starts.
        from CardiacSegLib.gui.evaluate import EvaluateSection
        from CardiacSegLib.gui.models import ModelsSection
        from CardiacSegLib.gui.results import ResultsSection
        from CardiacSegLib.gui.segment import SegmentSection
        from CardiacSegLib.gui.train import TrainSection

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = CardiacSegLogic()
        self.results = ResultsSection(self.resourcePath("UI/Results.ui"))
        self.segment = SegmentSection(self.resourcePath("UI/Segment.ui"), self.logic, self.results.show)
        self.train = TrainSection(self.resourcePath("UI/Train.ui"), self.onModelAdded)
        self.evaluate = EvaluateSection(self.resourcePath("UI/Evaluate.ui"))
        self.models = ModelsSection(self.resourcePath("UI/Models.ui"), self.onModelsChanged)
        self.sections = [self.segment, self.results, self.train, self.evaluate, self.models]
        for section in self.sections:
            self.layout.addWidget(section.widget)
            section.widget.setMRMLScene(slicer.mrmlScene)
        self.layout.addStretch(1)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    def cleanup(self):
        """Called when the application closes or the module is reloaded; training runs go on."""
        self.setParameterNode(None)
        self.removeObservers()
        for section in self.sections:
            section.close()
        self.logic.close()

    def enter(self):
        """Called each time the module is opened."""
        self.initializeParameterNode()
        self.train.enter()
        self.segment.warmUp()

    def exit(self):
        """Called each time another module is opened; what runs goes on."""
        self.train.exit()

    def onSceneStartClose(self, caller, event):
        """The volume of a running segmentation is about to go."""
        if self.logic.isBusy:
            self.segment.onCancelButton()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Go on with the empty scene."""
        for section in (self.results, self.train, self.evaluate):
            section.onSceneClosed()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onModelAdded(self, name):
        """A run's model came into the library."""
        self.models.listModels(name)
        self.onModelsChanged()

    def onModelsChanged(self):
        """A model came or went."""
        self.segment.listModels()
        self.evaluate.listModels()

    def initializeParameterNode(self):
        """Observe the scene's parameter node, and choose the first volume where none is chosen."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            firstVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if firstVolume:
                self._parameterNode.inputVolume = firstVolume

    def setParameterNode(self, inputParameterNode: Optional[CardiacSegParameterNode]):
        """Show another parameter node, or none, in the panel."""
        if self._parameterNode:
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = inputParameterNode
        for section in self.sections:
            section.setParameterNode(inputParameterNode)
        if self._parameterNode:
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.onParameterNodeModified()

    def onParameterNodeModified(self, caller=None, event=None):
        """Something else was chosen, here or by a script."""
        for section in self.sections:
            section.update()


class CardiacSegLogic(ScriptedLoadableModuleLogic):
    """Segments volumes, with or without the panel: ``CardiacSegLogic().segment(volumeNode)`` in a script."""

    def __init__(self, client: Optional[WorkerClient] = None):
        ScriptedLoadableModuleLogic.__init__(self)
        self._client = client or WorkerClient()
        self._volumeNodeID = None
        self._sequenceNodeID = None

    def getParameterNode(self):
        """The choices of the panel."""
        return CardiacSegParameterNode(super().getParameterNode())

    @property
    def isBusy(self) -> bool:
        """Whether a segmentation is running."""
        return self._client.is_busy

    def segment(
        self,
        imageNode: Union[vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode],
        segmentationNode: Optional[vtkMRMLSegmentationNode] = None,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        *,
        turns: Optional[int] = None,
        cleanUp: bool = True,
        show3D: bool = False,
        smoothing: float = 0.5,
    ) -> vtkMRMLSegmentationNode:
        """Segment a volume or a cine and wait for the result.

        Args:
            imageNode: a short-axis stack, or the sequence of a cine.
            segmentationNode: gets the segments; a new node where None. For a cine it shows the phase that the
                sequence browser shows, and the browser has a sequence with all of them.
            model: name or folder of the bundle.
            device: auto, cuda, mps or cpu.
            turns: over how many turned copies of the image to average, 1 or 8; what the model says where None.
            cleanUp: whether only the largest part of each structure is kept.
            show3D: whether to make surfaces for the 3D view.
            smoothing: of these surfaces, 0 (none) to 1 (strong).

        Returns:
            The segmentation node.

        Raises:
            CardiacSegError: where something is missing or the image cannot be segmented.
        """
        ensurePackages()
        self.start(imageNode, model, device, turns=turns, cleanUp=cleanUp)
        self._client.wait()
        return self.finish(segmentationNode, show3D, smoothing)

    def warmUp(self, model: str = DEFAULT_MODEL, device: str = "auto"):
        """Load a model in the worker, which is started where there is none; returns at once."""
        self._client.warm_up(model, device)

    def start(
        self,
        imageNode: Union[vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode],
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        *,
        turns: Optional[int] = None,
        cleanUp: bool = True,
        wholeCine: bool = False,
    ):
        """Start a segmentation and return at once; poll() tells how it stands, finish() shows its result.

        ``wholeCine`` takes all phases of the cine that a volume node shows one phase of; the other arguments are
        those of segment().
        """
        isSequence = imageNode.IsA("vtkMRMLSequenceNode")
        sequenceNode = imageNode if isSequence else sequence_of_proxy(imageNode) if wholeCine else None
        image = cine_from_sequence_node(sequenceNode) if sequenceNode else image_from_volume_node(imageNode)
        self._client.submit(*image, model=model, device=device, turns=turns, cleanup=cleanUp)
        self._sequenceNodeID = sequenceNode.GetID() if sequenceNode else None
        self._volumeNodeID = None if sequenceNode else imageNode.GetID()

    def poll(self):
        """The events since the last call; raises a CardiacSegError where the worker died."""
        return self._client.poll()

    def finish(
        self,
        segmentationNode: Optional[vtkMRMLSegmentationNode] = None,
        show3D: bool = False,
        smoothing: float = 0.5,
    ) -> vtkMRMLSegmentationNode:
        """Show the result of the segmentation that has ended; arguments and result are those of segment()."""
        imageNode = slicer.mrmlScene.GetNodeByID(self._sequenceNodeID or self._volumeNodeID)
        if imageNode is None:
            raise CardiacSegError(_("The volume was removed while it was segmented; load it again"))
        labels = self._client.labels()
        convention = self._client.convention
        if self._sequenceNodeID:
            return add_segmentation_sequence(labels, imageNode, convention, segmentationNode, show3D)[1]
        if segmentationNode is None:
            return add_segmentation_node(labels, imageNode, convention, show3D, smoothing)
        fill_segmentation_node(segmentationNode, labels, imageNode, convention, show3D, smoothing)
        return segmentationNode

    def cancel(self):
        """End a running segmentation and its process."""
        self._client.cancel()

    def close(self):
        """End the worker."""
        self._client.close()


class CardiacSegTest(ScriptedLoadableModuleTest):
    """Segments the phantom inside the application."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):  # what the button "Reload and Test" calls
        self.setUp()
        self.test_phantomIsSegmented()

    def test_phantomIsSegmented(self):
        """Segments, geometry, terminology and Dice of the phantom's end-diastole."""
        from CardiacSegLib.evaluation.overlap import dice_scores
        from CardiacSegLib.phantom import make_phantom

        if missingPackages():
            self.skipTest(f"not installed: {', '.join(missingPackages())}")
        volumeNode = loadPhantom()[0]
        logic = CardiacSegLogic()
        self.addCleanup(logic.close)
        segmentationNode = logic.segment(volumeNode)

        phantom = make_phantom()
        truth = phantom.labels[..., phantom.ed_frame]
        labels = labels_from_segmentation_node(segmentationNode, volumeNode)
        self.assertGreater(min(dice_scores(labels, truth, CANONICAL).values()), 0.8)
        segmentation = segmentationNode.GetSegmentation()
        self.assertEqual(list(segmentation.GetSegmentIDs()), list(CANONICAL))
        for name in CANONICAL:
            segment = segmentation.GetSegment(name)
            entry = vtk.reference("")
            self.assertEqual(segment.GetName(), name)
            self.assertTrue(segment.GetTag(segment.GetTerminologyEntryTagName(), entry))
            self.assertEqual(str(entry), terminology_entry(STRUCTURES[name]))
