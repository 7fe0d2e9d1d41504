"""Pictures, such as the bullseye, as volume nodes, and the layout that shows one beside the heart.

A picture is a color volume of one slice. It lies far from every patient, so that no segmentation is drawn over it, and
a slice view of its own shows it, which follows neither the other views nor what is chosen in them.
"""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.nodes import nodes_of_class

#: Numbers of the layouts, without and with a plot view; those of Slicer itself lie below 500.
PICTURE_LAYOUT, PICTURE_AND_PLOT_LAYOUT = 31605, 31606
#: By which the slice view of the picture is known.
PICTURE_VIEW = "CardiacSegPicture"

#: Millimeters to a pixel: a picture is then about as wide as a heart, and a view that is fitted to either shows both.
_PIXEL_MM = 0.1
#: A view is on the slice of the picture wherever in this thickness it stands.
_THICKNESS_MM = 10.0
_FAR_AWAY_MM = 10000.0

_VIEW = '<item><view class="{kind}" singletontag="{tag}">{properties}</view></item>'
_PROPERTY = '<property name="{name}" action="default">{value}</property>'


def fill_picture_node(node: slicer.vtkMRMLVectorVolumeNode, path: Path) -> None:
    """Let a node of the scene show a picture; what it showed before is replaced.

    Args:
        node: gets the pixels, as RGB, and a place far from every patient.
        path: of a PNG.

    Raises:
        CardiacSegError: where the file is no such picture; the node stays as it is.
    """
    image = _pixels(path)
    modifying = node.StartModify()
    node.SetAndObserveImageData(image)
    _place(node)
    if hasattr(node, "SetVoxelVectorType"):  # since Slicer 5.10
        node.SetVoxelVectorType(node.VoxelVectorTypeColorRGB)
    _show_colors_as_they_are(node)
    node.EndModify(modifying)


def _pixels(path: Path) -> vtk.vtkImageData:
    reader = vtk.vtkPNGReader()
    if not Path(path).is_file() or not reader.CanReadFile(str(path)):
        raise CardiacSegError(f"{path}: is no PNG picture; draw it again")
    reader.SetFileName(str(path))
    colors = vtk.vtkImageExtractComponents()
    colors.SetInputConnection(reader.GetOutputPort())
    colors.SetComponents(0, 1, 2)
    colors.Update()
    image = vtk.vtkImageData()
    image.DeepCopy(colors.GetOutput())
    image.SetSpacing(1.0, 1.0, 1.0)  # a volume node keeps its geometry itself, and wants none in its pixels
    image.SetOrigin(0.0, 0.0, 0.0)
    return image


def _place(node: slicer.vtkMRMLVectorVolumeNode) -> None:
    """Upright in an axial view, whose right is the patient's left; VTK's first row is the lowest."""
    columns, rows, _ = node.GetImageData().GetDimensions()
    node.SetSpacing(_PIXEL_MM, _PIXEL_MM, _THICKNESS_MM)
    node.SetIJKToRASDirections(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    node.SetOrigin(_PIXEL_MM * columns / 2, -_PIXEL_MM * rows / 2, _FAR_AWAY_MM)


def _show_colors_as_they_are(node: slicer.vtkMRMLVectorVolumeNode) -> None:
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(255.0, 127.5)


def register_layouts(scene: slicer.vtkMRMLScene) -> None:
    """Tell the layouts to a scene that has views, so that one that was saved with it comes back."""
    layout_node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout_node is not None:
        layout_node.AddLayoutDescription(PICTURE_LAYOUT, layout_description(with_plot=False))
        layout_node.AddLayoutDescription(PICTURE_AND_PLOT_LAYOUT, layout_description(with_plot=True))


def layout_description(with_plot: bool) -> str:
    """A layout in Slicer's XML: the short axis and 3D above, the picture, and perhaps a plot, below."""
    red = _view("vtkMRMLSliceNode", "Red", orientation="Axial", viewlabel="R", viewcolor="#F34A33")
    solid = _view("vtkMRMLViewNode", "1", viewlabel="1")
    # A view group of its own: no other view moves this one or draws its place into it.
    picture = _view(
        *("vtkMRMLSliceNode", PICTURE_VIEW),
        **{"orientation": "Axial", "viewlabel": "B", "viewcolor": "#8C8C8C", "viewgroup": "31605"},
    )
    plot = _view("vtkMRMLPlotViewNode", "PlotView1", viewlabel="P") if with_plot else ""
    rows = "".join(
        f'<item splitSize="{size}"><layout type="horizontal">{views}</layout></item>'
        for size, views in ((500, red + solid), (350, plot + picture))
    )
    return f'<layout type="vertical" split="true">{rows}</layout>'


def _view(kind: str, tag: str, **properties: str) -> str:
    texts = (_PROPERTY.format(name=name, value=value) for name, value in properties.items())
    return _VIEW.format(kind=kind, tag=tag, properties="".join(texts))


def show_picture_in_layout(picture: slicer.vtkMRMLVectorVolumeNode, with_plot: bool) -> None:
    """Choose the layout for a picture, and let its view show it.

    Args:
        picture: a node of :func:`fill_picture_node`.
        with_plot: whether there is a plot to be shown beside it.
    """
    scene = picture.GetScene()
    register_layouts(scene)
    layout_node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout_node is not None:
        layout_node.SetViewArrangement(PICTURE_AND_PLOT_LAYOUT if with_plot else PICTURE_LAYOUT)
    show_picture(picture)


def show_picture(picture: slicer.vtkMRMLVectorVolumeNode) -> None:
    """Let the view for pictures show one, where that view has been opened."""
    view = picture_view(picture.GetScene())
    if view is None:
        return
    modifying = view.StartModify()
    view.SetDoPropagateVolumeSelection(False)  # a volume that a person chooses is for the other views
    view.SetLinkedControl(False)
    view.SetBackgroundVolumeID(picture.GetID())
    view.SetForegroundVolumeID(None)
    view.SetLabelVolumeID(None)
    view.EndModify(modifying)


def picture_view(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSliceCompositeNode | None:
    """What the slice view for pictures shows; None where it was never opened."""
    nodes = nodes_of_class(scene, "vtkMRMLSliceCompositeNode")
    return next((node for node in nodes if node.GetLayoutName() == PICTURE_VIEW), None)


def is_picture_layout(scene: slicer.vtkMRMLScene) -> bool:
    """Whether one of the layouts for pictures is shown."""
    layout_node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    return layout_node is not None and layout_node.GetViewArrangement() in (PICTURE_LAYOUT, PICTURE_AND_PLOT_LAYOUT)
