"""Tests inside the Slicer application; CMake registers them, and they need no network."""

from __future__ import annotations

import shutil
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import slicer

import CardiacSeg
from CardiacSegLib.anatomy import STRUCTURES
from CardiacSegLib.bundles import Bundle
from CardiacSegLib.gui.requirements import TRAIN, missingPackages
from CardiacSegLib.jobs.runs import TrainingRun
from CardiacSegLib.mrml.browsers import browser_of, proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.cases import export_cases
from CardiacSegLib.mrml.segmentation_sequences import add_segmentation_sequence
from CardiacSegLib.mrml.segmentations import (
    add_segmentation_node,
    fill_segmentation_node,
    labels_from_segmentation_node,
)
from CardiacSegLib.mrml.sequences import cine_from_sequence_node
from CardiacSegLib.mrml.storage import load_segmentation, save_segmentation
from CardiacSegLib.mrml.terminology import load_terminology
from CardiacSegLib.mrml.volumes import add_volume_node
from CardiacSegLib.phantom import PhantomOptions, make_phantom
from CardiacSegLib.terminology import CONTEXT_NAME, terminology_entry


class CardiacSegInSlicerTest(unittest.TestCase):
    """What only the application can show: its widgets, its scene, its other modules."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_thePanelOpens(self) -> None:
        slicer.util.selectModule("CardiacSeg")
        widget = slicer.modules.CardiacSegWidget
        self.assertFalse(widget.segment.ui.segmentButton.enabled)
        volumeNode = CardiacSeg.loadPhantom()[0]
        widget.initializeParameterNode()
        self.assertEqual(widget.segment.ui.volumeSelector.currentNode(), volumeNode)
        self.assertEqual(widget.segment.ui.segmentButton.enabled, widget.segment.ui.modelComboBox.count > 0)
        self.assertFalse(widget.segment.ui.cancelButton.enabled)

    def test_everySectionIsThere(self) -> None:
        slicer.util.selectModule("CardiacSeg")
        widget = slicer.modules.CardiacSegWidget
        for section in widget.sections:
            self.assertTrue(section.widget.isVisible())
        self.assertGreater(widget.train.ui.networkComboBox.count, 10)
        self.assertGreaterEqual(widget.models.ui.modelsTable.rowCount, 2)

    def test_theSceneCanBeClosedAndTheModuleReloaded(self) -> None:
        slicer.util.selectModule("CardiacSeg")
        CardiacSeg.loadPhantom()
        slicer.mrmlScene.Clear()
        slicer.util.reloadScriptedModule("CardiacSeg")
        self.assertFalse(slicer.modules.CardiacSegWidget.segment.ui.segmentButton.enabled)

    def test_choicesAreSavedWithTheScene(self) -> None:
        parameterNode = CardiacSeg.CardiacSegLogic().getParameterNode()
        parameterNode.turns, parameterNode.cleanUp = 8, False
        path = f"{slicer.app.temporaryPath}/CardiacSegInSlicerTest.mrb"
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(path)
        again = CardiacSeg.CardiacSegLogic().getParameterNode()
        self.assertEqual((again.turns, again.cleanUp), (8, False))

    def test_thePhantomIsSampleData(self) -> None:
        CardiacSeg.registerSampleData()
        volumes, cine = (s.customDownloader(s) for s in slicer.modules.sampleDataSources["CardiacSeg"][-2:])
        self.assertEqual([node.GetName()[-2:] for node in volumes], ["ED", "ES"])
        self.assertEqual(sequence_of_proxy(cine).GetNumberOfDataNodes(), 20)

    def test_theLabelsOfACineFollowItsBrowser(self) -> None:
        cine = sequence_of_proxy(CardiacSeg.loadPhantomCine())
        labels = np.zeros(cine_from_sequence_node(cine)[0].shape, np.uint8)
        labels[20:40, 20:40, 3:6, 7] = 1
        _, segmentationNode = add_segmentation_sequence(labels, cine)
        for frame, expected in ((7, True), (0, False)):
            browser_of(cine).SetSelectedItemNumber(frame)
            slicer.app.processEvents()
            volumeNode = proxy_of(cine)
            self.assertEqual(labels_from_segmentation_node(segmentationNode, volumeNode).any(), expected)

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

    def test_oneEpochIsTrainedOnTheSegmentationsOfTheScene(self) -> None:
        if missingPackages(TRAIN):
            self.skipTest(f"not installed: {', '.join(missingPackages(TRAIN))}")
        folder = Path(tempfile.mkdtemp(prefix="CardiacSegInSlicerTest"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        for seed in range(1, 6):
            options = PhantomOptions(frames=1, slices=4, spacing=(3.0, 3.0, 10.0), size=(64, 64), seed=seed)
            phantom = make_phantom(options)
            image, labels = phantom.image[..., 0], phantom.labels[..., 0]
            add_segmentation_node(labels, add_volume_node(slicer.mrmlScene, image, phantom.affine, f"Patient {seed}"))
        cases = export_cases(slicer.mrmlScene, None, folder / "cases")
        run = TrainingRun.start(["--dataset", cases, "--epochs", 1, "--device", "cpu"], folder / "run")
        self.addCleanup(run.kill)
        end = time.monotonic() + 300
        while run.is_alive and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.1)
        self.assertEqual((run.state, run.error), ("finished", None))
        self.assertEqual(list(Bundle.read(run.bundle).convention), ["LV", "MYO", "RV"])
        self.assertEqual(len(run.history()), 1)


if __name__ == "__main__":
    unittest.main()
