"""CardiacSeg: segments the heart in short-axis cardiac MR.

The work itself is done in a process of its own (CardiacSegLib.jobs); nothing here imports torch or MONAI, so that
Slicer starts at full speed with neither installed.
"""

import math
from typing import Optional, Union

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLSequenceNode
from slicer.i18n import tr as _
from slicer.i18n import translate
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
from CardiacSegLib.gui.parameter_node import CardiacSegParameterNode
from CardiacSegLib.gui.requirements import missingPackages, purposeOfSegmenting
from CardiacSegLib.gui.sample_data import loadPhantom, registerSampleData
from CardiacSegLib.gui.sample_data import loadPhantomCine as loadPhantomCine  # for scripts
from CardiacSegLib.jobs.client import WorkerClient
from CardiacSegLib.mrml.browsers import sequence_of_proxy
from CardiacSegLib.mrml.outcomes import outcome_in_pieces
from CardiacSegLib.mrml.pictures import register_layouts
from CardiacSegLib.mrml.pieces import Pieces, Work
from CardiacSegLib.mrml.provenance import note_provenance
from CardiacSegLib.mrml.segmentation_sequences import update_results
from CardiacSegLib.mrml.segmentations import labels_from_segmentation_node
from CardiacSegLib.mrml.sequences import cine_in_pieces
from CardiacSegLib.mrml.terminology import load_terminology
from CardiacSegLib.mrml.volumes import image_from_volume_node
from CardiacSegLib.terminology import terminology_entry

#: How long this process works before it lets the application live; a single piece may take longer.
_SECONDS_AT_ONCE = 0.01


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
    """Register what other modules of Slicer offer: the sample data, the terminology and the layouts."""
    registerSampleData()
    load_terminology(slicer.modules.terminologies.logic())
    register_layouts(slicer.mrmlScene)


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
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
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
        for section in (self.train, self.evaluate):
            section.onSceneClosed()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """A scene was loaded; its choices came before what they name, and not all are bound to widgets."""
        update_results(slicer.mrmlScene)
        if self._parameterNode or self.parent.isEntered:
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
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            firstVolume = next((node for node in volumes if not node.IsA("vtkMRMLVectorVolumeNode")), None)
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
        self._imageNodeID = None
        self._work = None
        self._isImport = False

    def getParameterNode(self):
        """The choices of the panel."""
        return CardiacSegParameterNode(super().getParameterNode())

    @property
    def isBusy(self) -> bool:
        """Whether a segmentation is running, or its result on the way into the scene."""
        return self.isWorking or self._client.is_busy

    @property
    def isWorking(self) -> bool:
        """Whether this process, not the worker, has work left to do; poll() and importMore() do it."""
        return self._work is not None

    @property
    def isImporting(self) -> bool:
        """Whether the result is on the way into the scene."""
        return self.isWorking and self._isImport

    @property
    def importShare(self) -> float:
        """How much of the result is ready to be shown; at 1 it is in the scene, and what is left is to tidy up."""
        return self._work.share if self.isImporting else 0.0

    def segment(
        self,
        imageNode: Union[vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode],
        segmentationNode: Optional[vtkMRMLSegmentationNode] = None,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        *,
        turns: Optional[int] = None,
        cleanUp: bool = True,
        doubt: bool = False,
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
            turns: over how many turned copies of the image to average: 1, 2, 4 or 8; what the model says where None.
            cleanUp: whether only the largest part of each structure is kept.
            doubt: whether to ask how sure the model is, too; CardiacSegLib.mrml.doubt tells what it said.
            show3D: whether to make surfaces for the 3D view.
            smoothing: of these surfaces, 0 (none) to 1 (strong).

        Returns:
            The segmentation node.

        Raises:
            CardiacSegError: where something is missing or the image cannot be segmented.
        """
        ensurePackages(purposeOfSegmenting(str(model), device))
        self.start(imageNode, model, device, turns=turns, cleanUp=cleanUp, doubt=doubt)
        if self.isWorking:
            self._goOn(math.inf)
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
        doubt: bool = False,
        wholeCine: bool = False,
    ):
        """Start a segmentation and return at once; poll() tells how it stands, and once it has ended startImport() or
        finish() shows its result.

        ``wholeCine`` takes all phases of the cine that a volume node shows one phase of; the other arguments are
        those of segment().
        """
        if self.isBusy:
            raise CardiacSegError(_("A segmentation is running; wait for it or cancel it first"))
        sequenceNode = sequence_of_proxy(imageNode) if wholeCine else None
        self._imageNodeID = (sequenceNode or imageNode).GetID()
        options = {"model": model, "device": device, "turns": turns, "cleanup": cleanUp, "doubt": doubt}
        self._work, self._isImport = Work(self._exporting(sequenceNode or imageNode, options)), False
        self._goOn()

    def _exporting(self, imageNode, options) -> Pieces[None]:
        """Hand the image to the worker."""
        isCine = imageNode.IsA("vtkMRMLSequenceNode")
        image = (yield from cine_in_pieces(imageNode)) if isCine else image_from_volume_node(imageNode)
        yield from self._client.submit_in_pieces(*image, **options)

    def poll(self):
        """The events since the last call; raises a CardiacSegError where the worker died."""
        if self.isWorking and not self._isImport:
            self._goOn()
            return []
        return self._client.poll()

    def startImport(
        self,
        segmentationNode: Optional[vtkMRMLSegmentationNode] = None,
        show3D: bool = False,
        smoothing: float = 0.5,
    ):
        """Begin to bring the result of the segmentation that has ended into the scene; importMore() goes on with it.

        The scene stays as it is until importShare is 1. The arguments are those of segment().
        """
        self._work, self._isImport = Work(self._importing(segmentationNode, show3D, smoothing)), True

    def importMore(self) -> Optional[vtkMRMLSegmentationNode]:
        """Go on for some milliseconds; returns the segmentation node once the result is in the scene."""
        return self._goOn()

    def finish(
        self,
        segmentationNode: Optional[vtkMRMLSegmentationNode] = None,
        show3D: bool = False,
        smoothing: float = 0.5,
    ) -> vtkMRMLSegmentationNode:
        """Show the result of the segmentation that has ended; arguments and result are those of segment()."""
        self.startImport(segmentationNode, show3D, smoothing)
        return self._goOn(math.inf)

    def _importing(self, segmentationNode, show3D, smoothing) -> Pieces[vtkMRMLSegmentationNode]:
        """Show the result."""
        imageNode = slicer.mrmlScene.GetNodeByID(self._imageNodeID)
        if imageNode is None:
            raise CardiacSegError(_("The volume was removed while it was segmented; load it again"))
        labels, doubt = self._client.labels(), self._client.doubt()
        yield 0.0
        options = (self._client.convention, segmentationNode, show3D, smoothing)
        made = self._client.provenance
        segmentationNode = yield from outcome_in_pieces(imageNode, doubt, labels, *options)
        note_provenance(imageNode, segmentationNode, made)
        return segmentationNode

    def _goOn(self, seconds=_SECONDS_AT_ONCE):
        """Do some of the work of this process; what it gives once it is done, None before."""
        work = self._work
        try:
            work.go_on(seconds)
        finally:
            if work.is_done:
                self._work = None
        return work.result

    def cancel(self):
        """End a running segmentation and its process; where the result is not yet in the scene, it stays away."""
        work, self._work = self._work, None
        if work is not None:
            work.close()
        else:
            self._client.cancel()

    def close(self):
        """End the worker, and what is under way."""
        self._work = None
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
