"""Volume nodes to arrays, and arrays to volume nodes."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from CardiacSegLib.errors import CardiacSegError


def image_from_volume_node(volume_node: slicer.vtkMRMLScalarVolumeNode) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a volume node and where they lie.

    A parent transform of the node is not applied: what is made from the volume lies on the same voxels and observes
    the same transform (:func:`CardiacSegLib.mrml.segmentations.fill_segmentation_node`).

    Args:
        volume_node: a scalar volume, a label map included.

    Returns:
        Array (I, J, K), a view of the node's voxels and not a copy; and the affine (4, 4) float64 from voxel indices
        to RAS millimeters.

    Raises:
        CardiacSegError: where the node has no voxels, or several values a voxel (a color image, a vector field).
    """
    name = volume_node.GetName()
    image = volume_node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise CardiacSegError(f"volume '{name}' has no voxels; load an image into it or choose another volume")
    if image.GetNumberOfScalarComponents() != 1:
        raise CardiacSegError(f"volume '{name}' has several values a voxel; convert it to a scalar volume first")
    return voxels_of(image), affine_of_volume_node(volume_node)


def voxels_of(image: vtk.vtkImageData) -> np.ndarray:
    """A view (I, J, K) of the voxels of an image that has one value a voxel."""
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).T


def affine_of_volume_node(volume_node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The affine (4, 4) float64 from voxel indices to RAS millimeters, without any parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return array_of_matrix(matrix)


def array_of_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """A matrix as float64 (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def lay_on_volume(image: slicer.vtkOrientedImageData, volume_node: slicer.vtkMRMLVolumeNode) -> None:
    """Give an image the geometry of a volume, to the last bit."""
    # Not through the 4x4 matrix: taking that apart again rounds.
    directions = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASDirectionMatrix(directions)
    image.SetDirections(array_of_matrix(directions)[:3, :3].tolist())
    image.SetSpacing(volume_node.GetSpacing())
    image.SetOrigin(volume_node.GetOrigin())


def add_volume_node(
    scene: slicer.vtkMRMLScene, array: np.ndarray, affine: np.ndarray, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a scalar volume node to a scene.

    Args:
        scene: where the node is added.
        array: voxels (I, J, K), copied.
        affine: (4, 4), voxel indices to RAS millimeters.
        name: of the node.
    """
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(affine, float).ravel())
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(image_data(array, vtk.vtkImageData()))
    node.CreateDefaultDisplayNodes()
    return node


def image_data(array: np.ndarray, image: vtk.vtkImageData) -> vtk.vtkImageData:
    """Put a copy of the voxels (I, J, K) into ``image``, whose geometry stays as it is, and return it."""
    # VTK knows neither Booleans nor half floats.
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    voxels = np.ascontiguousarray(array.T).astype(array.dtype.newbyteorder("="), copy=False)
    image.SetDimensions(array.shape)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels.ravel(), deep=True))
    return image
