"""Scenes and files for hosts that have no application: what Slicer's own loading and saving does there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing
from CardiacSegLib.jobs.owned_folders import owned_folder
from CardiacSegLib.mrml.segmentation_sequences import update_results


def create_scene() -> slicer.vtkMRMLScene:
    """A scene in which volumes, segmentations and tables work, for use without the Slicer application."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
    segmentations.SetMRMLScene(scene)
    scene.RegisterNodeClass(slicer.vtkMRMLSequenceBrowserNode())  # or one in a file would not be known
    # A logic takes its nodes along when it goes, the default color tables among them: the scene has to keep them.
    scene.logics = (application, segmentations)
    return scene


def load_volume(scene: slicer.vtkMRMLScene, path: str | Path, name: str = "") -> slicer.vtkMRMLScalarVolumeNode:
    """Load an image file (NIfTI, NRRD, MetaImage, one DICOM file) as a scalar volume node.

    Args:
        scene: where the node is added.
        path: of the file.
        name: of the node; the file's name without its extensions where empty.

    Raises:
        CardiacSegError: where the file is missing or cannot be read; nothing is then added to the scene.
    """
    path = Path(path)
    if not path.is_file():
        raise CardiacSegError(f"{path} does not exist; give the path of an image file")
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name or path.name.split(".")[0])
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)
    if not storage.ReadData(node) or node.GetImageData() is None:
        scene.RemoveNode(node)
        raise CardiacSegError(f"{path} cannot be read as an image; check that it is complete and of a known format")
    node.CreateDefaultDisplayNodes()
    return node


def load_segmentation(scene: slicer.vtkMRMLScene, path: str | Path, name: str = "") -> slicer.vtkMRMLSegmentationNode:
    """Load a ``.seg.nrrd`` file as a segmentation node.

    Raises:
        CardiacSegError: where the file is missing or cannot be read; nothing is then added to the scene.
    """
    path = Path(path)
    if not path.is_file():
        raise CardiacSegError(f"{path} does not exist; give the path of a segmentation file")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name or path.name.split(".")[0])
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        scene.RemoveNode(node)
        raise CardiacSegError(f"{path} cannot be read as a segmentation; check that it is a complete .seg.nrrd file")
    node.CreateDefaultDisplayNodes()
    return node


def save_segmentation(segmentation_node: slicer.vtkMRMLSegmentationNode, path: str | Path) -> Path:
    """Write a segmentation node as ``.seg.nrrd``; the file appears under its name only when it is complete.

    Args:
        segmentation_node: what to write.
        path: ends in ``.seg.nrrd``; an existing file is replaced.

    Returns:
        The path.

    Raises:
        CardiacSegError: where the path has another extension or cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(".seg.nrrd"):
        raise CardiacSegError(f"{path} does not end in .seg.nrrd; name the segmentation file so")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    with replacing(path) as partial:
        storage.SetFileName(str(partial))
        if not storage.WriteData(segmentation_node):
            raise CardiacSegError(f"{path}: cannot be written; check that its disk is not full")
    return path


def save_scene(scene: slicer.vtkMRMLScene, path: str | Path) -> Path:
    """Write a scene with all its data as one file.

    Args:
        scene: what to write.
        path: ends in ``.mrb``; an existing file is replaced.

    Returns:
        The path.

    Raises:
        CardiacSegError: where the path has another extension or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".mrb":
        raise CardiacSegError(f"{path} does not end in .mrb; name the file of a scene so")
    with replacing(path) as partial, owned_folder() as folder, _cached(scene):
        file = folder / path.name  # what is in it is named after it
        if not scene.WriteToMRB(str(file)):
            raise CardiacSegError(f"{path}: cannot be written; check that its disk is not full")
        shutil.copyfile(file, partial)
    return path


def load_scene(scene: slicer.vtkMRMLScene, path: str | Path) -> None:
    """Add all that a file of :func:`save_scene`, or of Slicer, holds to a scene.

    Raises:
        CardiacSegError: where the file is missing or cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise CardiacSegError(f"{path} does not exist; give the path of a scene")
    before = Path.cwd()
    try:
        with _cached(scene):
            if not scene.ReadFromMRB(str(path)):
                raise CardiacSegError(f"{path} cannot be read as a scene; check that it is a complete .mrb file")
    finally:
        os.chdir(before)  # a damaged file leaves this process in a folder that is no more
    update_results(scene)


@contextmanager
def _cached(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Give a scene what it unpacks its files with, which in Slicer it has; its folder goes afterwards."""
    if scene.GetCacheManager() is not None:
        yield
        return
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    with owned_folder() as folder:
        (folder / "cache").mkdir()  # VTK takes none that is not empty
        cache.SetRemoteCacheDirectory(str(folder / "cache"))
        scene.SetCacheManager(cache)
        scene.SetDataIOManager(manager)
        try:
            yield
        finally:
            scene.SetDataIOManager(None)
            scene.SetCacheManager(None)
