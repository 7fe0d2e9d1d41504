"""Sequence browsers: which node of the scene shows which frame of which sequence."""

from __future__ import annotations

import slicer

from CardiacSegLib.mrml.nodes import nodes_of_class


def browsers(scene: slicer.vtkMRMLScene | None) -> list[slicer.vtkMRMLSequenceBrowserNode]:
    """The browsers of a scene."""
    return nodes_of_class(scene, "vtkMRMLSequenceBrowserNode") if scene is not None else []


def browser_of(sequence_node: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLSequenceBrowserNode | None:
    """The browser that a sequence is scrolled with, the first where there are several."""
    found = browsers(sequence_node.GetScene())
    return next((node for node in found if node.IsSynchronizedSequenceNode(sequence_node, True)), None)


def sequence_of_proxy(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLSequenceNode | None:
    """The sequence of which a node of the scene shows one frame: what a person picks is that node."""
    sequences = (browser.GetSequenceNode(node) for browser in browsers(node.GetScene()))
    return next((sequence for sequence in sequences if sequence is not None), None)


def proxy_of(sequence_node: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLNode | None:
    """The node of the scene that shows the selected frame of a sequence."""
    browser = browser_of(sequence_node)
    return browser.GetProxyNode(sequence_node) if browser is not None else None


def update_proxies(browser: slicer.vtkMRMLSequenceBrowserNode) -> None:
    """Show the selected frame now.

    In Slicer the logic of the module Sequences has done so already. This one, which has no scene and so watches
    nothing, does it where nobody else would.
    """
    slicer.vtkSlicerSequencesLogic().UpdateProxyNodesFromSequences(browser)


def add_browser(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLSequenceBrowserNode:
    """A new browser, which scrolls nothing yet."""
    # Not AddNewNodeByClass: without the application nobody has told the scene of this class.
    browser = slicer.vtkMRMLSequenceBrowserNode()
    browser.SetName(f"{name} browser")
    return scene.AddNode(browser)


def browse(
    browser: slicer.vtkMRMLSequenceBrowserNode,
    sequence: slicer.vtkMRMLSequenceNode,
    proxy: slicer.vtkMRMLNode,
    *,
    save_changes: bool = False,
) -> None:
    """Scroll a sequence with a browser, shown by that very node.

    With ``save_changes`` the node and the frame that it shows are one: what a person edits is in the sequence.
    """
    modifying = browser.StartModify()  # or Slicer would make a proxy of its own in between
    browser.AddSynchronizedSequenceNode(sequence)
    browser.AddProxyNode(proxy, sequence, False)
    browser.SetSaveChanges(sequence, save_changes)
    if browser.GetSelectedItemNumber() < 0:
        browser.SetSelectedItemNumber(0)
    browser.EndModify(modifying)
    update_proxies(browser)
