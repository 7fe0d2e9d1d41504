"""Tests inside the Slicer application; CMake registers them, and they need no network."""

from __future__ import annotations

import unittest

import numpy as np
import slicer

import CardiacSeg
from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.mrml.segmentations import fill_segmentation_node, labels_from_segmentation_node
from CardiacSegLib.mrml.storage import load_segmentation, save_segmentation
from CardiacSegLib.mrml.terminology import load_terminology
from CardiacSegLib.terminology import CONTEXT_NAME, terminology_entry


class CardiacSegInSlicerTest(unittest.TestCase):
    """What only the application can show: its widgets, its scene, its other modules."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_thePanelOpens(self) -> None:
        slicer.util.selectModule("CardiacSeg")
        widget = slicer.modules.CardiacSegWidget
        self.assertFalse(widget.ui.applyButton.enabled)
        volumeNode = CardiacSeg.loadPhantom()[0]
        widget.initializeParameterNode()
        self.assertEqual(widget.ui.volumeSelector.currentNode(), volumeNode)
        self.assertEqual(widget.ui.applyButton.enabled, widget.ui.modelComboBox.count > 0)
        self.assertFalse(widget.ui.cancelButton.enabled)

    def test_theSceneCanBeClosedAndTheModuleReloaded(self) -> None:
        slicer.util.selectModule("CardiacSeg")
        CardiacSeg.loadPhantom()
        slicer.mrmlScene.Clear()
        slicer.util.reloadScriptedModule("CardiacSeg")
        self.assertFalse(slicer.modules.CardiacSegWidget.ui.applyButton.enabled)

    def test_thePhantomIsSampleData(self) -> None:
        CardiacSeg.registerSampleData()
        source = next(s for s in slicer.modules.sampleDataSources["CardiacSeg"] if s.customDownloader)
        nodes = source.customDownloader(source)
        self.assertEqual([node.GetName()[-2:] for node in nodes], ["ED", "ES"])

    def test_labelsComeBackVoxelForVoxel(self) -> None:
        volumeNode = CardiacSeg.loadPhantom()[0]
        shape = volumeNode.GetImageData().GetDimensions()
        labels = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
        segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        fill_segmentation_node(segmentationNode, labels, volumeNode, closed_surface=True)
        np.testing.assert_array_equal(labels_from_segmentation_node(segmentationNode, volumeNode), labels)
        file = save_segmentation(segmentationNode, f"{slicer.app.temporaryPath}/CardiacSegInSlicerTest.seg.nrrd")
        self.addCleanup(file.unlink)
        loaded = load_segmentation(slicer.mrmlScene, file)
        np.testing.assert_array_equal(labels_from_segmentation_node(loaded, volumeNode), labels)

    def test_slicerKnowsTheTerminology(self) -> None:
        logic = slicer.modules.terminologies.logic()
        load_terminology(logic)
        self.assertTrue(logic.IsTerminologyContextLoaded(CONTEXT_NAME))
        for structure in STRUCTURES.values():
            entry = slicer.vtkSlicerTerminologyEntry()
            self.assertTrue(logic.DeserializeTerminologyEntry(terminology_entry(structure), entry))
            self.assertEqual(entry.GetTypeObject().GetCodeValue(), structure.snomed_code)


if __name__ == "__main__":
    unittest.main()
