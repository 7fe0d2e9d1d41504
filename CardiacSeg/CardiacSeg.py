"""CardiacSeg: segments the heart in short-axis cardiac MR.

The work itself is done in a process of its own (CardiacSegLib.jobs); nothing here imports torch or MONAI, so that
Slicer starts at full speed with neither installed.
"""

# No "from __future__ import annotations": parameterNodeWrapper has to see the types of the parameters.
from pathlib import Path
from typing import Annotated, Optional

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from CardiacSegLib.anatomy import CANONICAL, STRUCTURES
from CardiacSegLib.bundles import DEFAULT_MODEL, list_models
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.gui.packages import ensurePackages, missingPackages
from CardiacSegLib.jobs.client import WorkerClient, error_text
from CardiacSegLib.mrml.segmentations import (
    SegmentationLogic,
    add_segmentation_node,
    fill_segmentation_node,
    labels_from_segmentation_node,
)
from CardiacSegLib.mrml.terminology import load_terminology
from CardiacSegLib.mrml.volumes import add_volume_node, image_from_volume_node
from CardiacSegLib.terminology import terminology_entry

try:
    from slicer.i18n import tr as _
    from slicer.i18n import translate
except ImportError:  # hosts that are not translated
    _, translate = str, lambda context, text: text

POLL_INTERVAL_MS = 50
PHANTOM_NAME = "CardiacSegPhantom"


class CardiacSeg(ScriptedLoadableModule):
    """The module as Slicer's module list shows it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "CardiacSeg"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        parent.dependencies = ["Segmentations", "Terminologies"]
        parent.contributors = ["The CardiacSeg contributors"]
        parent.helpText = _(
            "Segments the left ventricle, the myocardium and the right ventricle in short-axis cardiac MR. Choose a "
            "volume and press Apply; the result is a segmentation that can be edited in Segment Editor. Not a medical "
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

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="CardiacSeg",
        sampleName=PHANTOM_NAME,
        thumbnailFileName=str(Path(__file__).parent / "Resources" / "Icons" / "CardiacSegPhantom.png"),
        # The module asks for an address and a file name even where neither is used.
        uris="code:CardiacSegLib.phantom",
        fileNames=f"{PHANTOM_NAME}.nrrd",
        nodeNames=PHANTOM_NAME,
        customDownloader=lambda source: loadPhantom(),
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


@parameterNodeWrapper
class CardiacSegParameterNode:
    """What the person has chosen; saved with the scene.

    Attributes:
        inputVolume: the image to segment.
        model: name of the bundle.
        device: where the network runs.
        segmentation: gets the result; a new one where None.
        show3D: whether to make surfaces for the 3D view.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: str = DEFAULT_MODEL
    device: Annotated[str, Choice(["auto", "cuda", "mps", "cpu"])] = "auto"
    segmentation: vtkMRMLSegmentationNode
    show3D: bool = False


class CardiacSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        """Called when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CardiacSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CardiacSegLogic()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self.onTimer)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self._listModels()
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self.onModelChanged)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancelButton)
        self.initializeParameterNode()

    def cleanup(self):
        """Called when the application closes or the module is reloaded."""
        self._timer.stop()
        self.setParameterNode(None)
        self.removeObservers()
        self.logic.close()

    def enter(self):
        """Called each time the module is opened."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time another module is opened; a running segmentation goes on."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None

    def onSceneStartClose(self, caller, event):
        """The volume of a running segmentation is about to go."""
        if self.logic.isBusy:
            self.onCancelButton()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Go on with the empty scene."""
        if self.parent.isEntered:
            self.initializeParameterNode()

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
            if self._parameterNodeGuiTag is not None:
                self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
                self._parameterNodeGuiTag = None
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = inputParameterNode
        if self._parameterNode:
            # Widgets name their parameter in the .ui file, by the dynamic property SlicerParameterName.
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self._showModel()
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _listModels(self):
        try:
            self.ui.modelComboBox.addItems([model.name for model in list_models()])
        except CardiacSegError as error:
            self._showStatus(str(error), isError=True)

    def _showModel(self):
        index = self.ui.modelComboBox.findText(self._parameterNode.model)
        if index >= 0:
            self.ui.modelComboBox.setCurrentIndex(index)
        self.onModelChanged()

    def onModelChanged(self):
        """The models are known at run time only, so that this combo box cannot be bound to its parameter."""
        if self._parameterNode and self.ui.modelComboBox.currentText:
            self._parameterNode.model = self.ui.modelComboBox.currentText

    def _checkCanApply(self, caller=None, event=None):
        isBusy = self.logic.isBusy
        volume = self._parameterNode.inputVolume if self._parameterNode else None
        hasModel = self.ui.modelComboBox.count > 0
        self.ui.applyButton.enabled = bool(volume) and hasModel and not isBusy
        self.ui.cancelButton.enabled = isBusy
        self.ui.progressBar.visible = isBusy
        if isBusy:
            self.ui.applyButton.toolTip = _("A segmentation is running")
        elif not volume:
            self.ui.applyButton.toolTip = _("Choose a volume first")
        elif not hasModel:
            self.ui.applyButton.toolTip = _("There is no model; install CardiacSeg again")
        else:
            self.ui.applyButton.toolTip = _("Segment the volume")

    def onApplyButton(self):
        """Start the segmentation; the timer follows it."""
        parameters = self._parameterNode
        try:
            ensurePackages()
            self.logic.start(parameters.inputVolume, parameters.model, parameters.device)
        except CardiacSegError as error:
            self._showStatus(str(error), isError=True)
            return
        self._showStatus(_("Starting"))
        self.ui.progressBar.setValue(0)
        self._timer.start()
        self._checkCanApply()

    def onCancelButton(self):
        """End the segmentation at once; the scene stays as it was."""
        self.logic.cancel()
        self._showStatus(_("Canceled"))
        self._stopFollowing()

    def onTimer(self):
        """Show what the worker has said since the last time."""
        try:
            for event in self.logic.poll():
                self._onEvent(event)
        except CardiacSegError as error:
            self._showStatus(str(error), isError=True)
        if not self.logic.isBusy:
            self._stopFollowing()

    def _onEvent(self, event):
        if event["event"] == "stage":
            self._showStatus(event["text"])
        elif event["event"] == "progress":
            self.ui.progressBar.setValue(round(100 * event["fraction"]))
        elif event["event"] == "error":
            raise CardiacSegError(error_text(event))
        elif event["event"] == "result":
            parameters = self._parameterNode
            parameters.segmentation = self.logic.finish(parameters.segmentation, parameters.show3D)
            self._showStatus(_("Done in {seconds:.1f} s").format(seconds=event["seconds"]))

    def _stopFollowing(self):
        self._timer.stop()
        self._checkCanApply()

    def _showStatus(self, text, isError=False):
        self.ui.statusLabel.text = text
        self.ui.statusLabel.setStyleSheet("color: #d03030" if isError else "")


class CardiacSegLogic(ScriptedLoadableModuleLogic):
    """Segments volumes, with or without the panel: ``CardiacSegLogic().segment(volumeNode)`` in a script."""

    def __init__(self, client: Optional[WorkerClient] = None):
        ScriptedLoadableModuleLogic.__init__(self)
        self._client = client or WorkerClient()
        self._volumeNodeID = None

    def getParameterNode(self):
        """The choices of the panel."""
        return CardiacSegParameterNode(super().getParameterNode())

    @property
    def isBusy(self) -> bool:
        """Whether a segmentation is running."""
        return self._client.is_busy

    def segment(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        segmentationNode: Optional[vtkMRMLSegmentationNode] = None,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        show3D: bool = False,
    ) -> vtkMRMLSegmentationNode:
        """Segment a volume and wait for the result.

        Args:
            volumeNode: a short-axis stack.
            segmentationNode: gets the segments; a new node where None.
            model: name or folder of the bundle.
            device: auto, cuda, mps or cpu.
            show3D: whether to make surfaces for the 3D view.

        Returns:
            The segmentation node.

        Raises:
            CardiacSegError: where something is missing or the volume cannot be segmented.
        """
        ensurePackages()
        self._client.model, self._client.device = model, device
        return SegmentationLogic(self._client).segment(volumeNode, segmentationNode, show3D)

    def start(self, volumeNode: vtkMRMLScalarVolumeNode, model: str = DEFAULT_MODEL, device: str = "auto"):
        """Start a segmentation and return at once; poll() tells how it stands, finish() shows its result."""
        self._client.submit(*image_from_volume_node(volumeNode), model=model, device=device)
        self._volumeNodeID = volumeNode.GetID()

    def poll(self):
        """The events since the last call; raises a CardiacSegError where the worker died."""
        return self._client.poll()

    def finish(
        self, segmentationNode: Optional[vtkMRMLSegmentationNode] = None, show3D: bool = False
    ) -> vtkMRMLSegmentationNode:
        """Show the result of the segmentation that has ended; arguments and result are those of segment()."""
        volumeNode = slicer.mrmlScene.GetNodeByID(self._volumeNodeID)
        if volumeNode is None:
            raise CardiacSegError(_("The volume was removed while it was segmented; load it again"))
        labels = self._client.labels()
        arguments = (labels, volumeNode, self._client.convention, show3D)
        if segmentationNode is None:
            return add_segmentation_node(*arguments)
        fill_segmentation_node(segmentationNode, *arguments)
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
