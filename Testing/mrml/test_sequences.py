"""Cines in the scene: what a person picks, scrolls, segments and edits."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from CardiacSegLib.anatomy import ACDC, CANONICAL
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.mrml.browsers import browser_of, proxy_of, sequence_of_proxy
from CardiacSegLib.mrml.nodes import node_ids, nodes_of_class
from CardiacSegLib.mrml.pieces import Work, finished
from CardiacSegLib.mrml.segmentation_sequences import (
    add_segmentation_sequence,
    cine_of,
    segmentation_sequence_in_pieces,
    segmentation_sequence_of,
)
from CardiacSegLib.mrml.segmentations import add_segmentation_node, labels_from_segmentation_node
from CardiacSegLib.mrml.sequences import (
    add_cine,
    cine_from_sequence_node,
    cine_in_pieces,
    frame_times,
    show_frame,
    shown_frame,
)
from CardiacSegLib.mrml.storage import create_scene
from CardiacSegLib.mrml.volumes import affine_of_volume_node, image_from_volume_node

SHAPE = (12, 10, 5)
FRAMES = 4


def some_affine() -> np.ndarray:
    directions, _ = np.linalg.qr(np.random.default_rng(11).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = directions * (1.4, 1.4, 8.0)
    affine[:3, 3] = (-40.0, 22.5, 7.0)
    return affine


@pytest.fixture(params=["in Slicer", "without the application"])
def a_scene(request: pytest.FixtureRequest) -> slicer.vtkMRMLScene:
    """As in Slicer, where the logic of the module Sequences watches the scene; and where nobody does."""
    scene = create_scene()
    if request.param == "in Slicer":
        logic = slicer.vtkSlicerSequencesLogic()
        logic.SetMRMLScene(scene)
        scene.logics = (*scene.logics, logic)
    return scene


@pytest.fixture
def an_array() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, (*SHAPE, FRAMES)).astype(np.int16)


@pytest.fixture
def a_cine(a_scene, an_array) -> slicer.vtkMRMLSequenceNode:
    return add_cine(a_scene, an_array, some_affine(), "heart", [0.0, 33.5, 67.0, 100.25])


@pytest.fixture
def some_labels() -> np.ndarray:
    """All three structures and the background, another pattern in each frame."""
    return np.random.default_rng(2).integers(0, 4, (*SHAPE, FRAMES)).astype(np.uint8)


class TestACine:
    def test_comes_back_as_it_was_put_in(self, a_cine, an_array):
        array, affine = cine_from_sequence_node(a_cine)
        assert array.dtype == an_array.dtype
        np.testing.assert_array_equal(array, an_array)
        np.testing.assert_allclose(affine, some_affine(), atol=1e-12)

    def test_comes_a_frame_a_piece_and_lies_in_memory_frame_by_frame(self, a_cine, an_array):
        work = Work(cine_in_pieces(a_cine))
        for frame in range(1, FRAMES + 1):
            work.go_on(0.0)
            assert work.share == frame / FRAMES
        array, _ = work.finish()
        np.testing.assert_array_equal(array, an_array)
        assert array.flags.f_contiguous, "anything else takes many times as long to write"

    def test_is_one_volume_with_one_browser_in_the_scene(self, a_cine, a_scene):
        (volume,) = nodes_of_class(a_scene, "vtkMRMLScalarVolumeNode")
        (browser,) = nodes_of_class(a_scene, "vtkMRMLSequenceBrowserNode")
        assert volume.GetName() == "heart"
        assert volume.GetDisplayNode() is not None
        assert proxy_of(a_cine) is volume
        assert browser_of(a_cine) is browser
        assert sequence_of_proxy(volume) is a_cine

    def test_shows_the_frame_that_is_asked_for(self, a_cine, an_array):
        volume = proxy_of(a_cine)
        assert shown_frame(a_cine) == 0
        np.testing.assert_array_equal(image_from_volume_node(volume)[0], an_array[..., 0])
        show_frame(a_cine, 2)
        assert shown_frame(a_cine) == 2
        assert proxy_of(a_cine) is volume
        assert volume.GetName() == "heart"
        np.testing.assert_array_equal(image_from_volume_node(volume)[0], an_array[..., 2])
        np.testing.assert_allclose(affine_of_volume_node(volume), some_affine(), atol=1e-12)

    def test_knows_its_times_in_milliseconds(self, a_cine):
        np.testing.assert_allclose(frame_times(a_cine), [0.0, 33.5, 67.0, 100.25])
        a_cine.SetIndexUnit("s")
        np.testing.assert_allclose(frame_times(a_cine), [0.0, 33500.0, 67000.0, 100250.0])

    def test_without_times_is_numbered(self, a_scene, an_array):
        cine = add_cine(a_scene, an_array, some_affine(), "heart")
        assert frame_times(cine) is None
        assert [cine.GetNthIndexValue(frame) for frame in range(FRAMES)] == ["0", "1", "2", "3"]

    def test_of_more_than_ten_frames_keeps_their_order(self, a_scene):
        array = np.broadcast_to(np.arange(12, dtype=np.int16), (3, 4, 2, 12))
        np.testing.assert_array_equal(cine_from_sequence_node(add_cine(a_scene, array, np.eye(4), "v"))[0], array)

    @pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 2.0, 1.0, 3.0], [0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 2.0, np.nan]])
    def test_with_times_that_do_not_fit_is_refused_and_adds_nothing(self, a_scene, an_array, times):
        before = node_ids(a_scene)
        with pytest.raises(CardiacSegError, match="'heart' has 4 frames; their times must be as many rising"):
            add_cine(a_scene, an_array, np.eye(4), "heart", times)
        with pytest.raises(CardiacSegError, match="four dimensions"):
            add_cine(a_scene, an_array[..., 0], np.eye(4), "heart")
        assert node_ids(a_scene) == before

    def test_has_no_frame_beyond_its_last(self, a_cine):
        with pytest.raises(CardiacSegError, match="has 4 frames, so frame 5 is none of them"):
            show_frame(a_cine, 4)

    def test_is_not_what_any_other_volume_belongs_to(self, a_cine, a_scene):
        other = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "another")
        assert sequence_of_proxy(other) is None
        unseen = a_scene.AddNode(slicer.vtkMRMLSequenceNode())
        assert browser_of(unseen) is None
        assert proxy_of(unseen) is None


class TestASequenceThatIsNoCine:
    def test_is_refused_where_it_is_empty(self):
        empty = slicer.vtkMRMLSequenceNode()
        empty.SetName("hollow")
        with pytest.raises(CardiacSegError, match="sequence 'hollow' has no frame"):
            cine_from_sequence_node(empty)

    def test_is_refused_where_a_frame_is_no_image(self, a_cine):
        a_cine.SetDataNodeAtValue(slicer.vtkMRMLSegmentationNode(), a_cine.GetNthIndexValue(2))
        with pytest.raises(CardiacSegError, match="sequence 'heart sequence', frame 3: is no image but Segmentation"):
            cine_from_sequence_node(a_cine)

    def test_is_refused_where_a_frame_has_no_voxels(self, a_cine):
        a_cine.GetNthDataNode(1).SetAndObserveImageData(None)
        with pytest.raises(CardiacSegError, match=r"frame 2: volume .* has no voxels"):
            cine_from_sequence_node(a_cine)

    def test_is_refused_where_a_frame_has_another_shape(self, a_cine, a_scene, an_array):
        other = add_cine(create_scene(), an_array[:-1], some_affine(), "smaller")
        a_cine.SetDataNodeAtValue(other.GetNthDataNode(0), a_cine.GetNthIndexValue(1))
        with pytest.raises(
            CardiacSegError, match=r"frame 2: has \(11, 10, 5\) voxels and the first frame \(12, 10, 5\)"
        ):
            cine_from_sequence_node(a_cine)

    def test_is_refused_where_a_frame_lies_elsewhere(self, a_cine):
        a_cine.GetNthDataNode(3).SetOrigin(1.0, 2.0, 3.0)
        with pytest.raises(CardiacSegError, match="frame 4: lies elsewhere than the first frame"):
            cine_from_sequence_node(a_cine)


class TestLabelsOfACine:
    def test_are_shown_frame_by_frame_as_the_cine_is_scrolled(self, a_cine, some_labels):
        sequence, node = add_segmentation_sequence(some_labels, a_cine)
        volume = proxy_of(a_cine)
        for frame in (0, 3, 1, 2):
            show_frame(a_cine, frame)
            assert proxy_of(sequence) is node
            np.testing.assert_array_equal(labels_from_segmentation_node(node, volume), some_labels[..., frame])

    def test_have_the_names_the_times_and_the_browser_of_the_cine(self, a_cine, some_labels):
        sequence, node = add_segmentation_sequence(some_labels, a_cine)
        assert node.GetName() == "heart segmentation"
        assert list(node.GetSegmentation().GetSegmentIDs()) == ["LV", "MYO", "RV"]
        assert node.GetDisplayNode() is not None
        assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is proxy_of(a_cine)
        assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("time", "ms")
        np.testing.assert_array_equal(frame_times(sequence), frame_times(a_cine))
        assert browser_of(sequence) is browser_of(a_cine)
        assert browser_of(a_cine).GetMasterSequenceNode() is a_cine
        assert segmentation_sequence_of(a_cine) is sequence
        assert cine_of(sequence) is a_cine

    def test_bring_one_segmentation_one_display_and_one_sequence(self, a_cine, a_scene, some_labels):
        add_segmentation_sequence(some_labels, a_cine)
        kinds = {"vtkMRMLSegmentationNode": 1, "vtkMRMLSegmentationDisplayNode": 1, "vtkMRMLSequenceNode": 2}
        kinds |= {"vtkMRMLScalarVolumeNode": 1, "vtkMRMLSequenceBrowserNode": 1}
        assert {kind: len(nodes_of_class(a_scene, kind)) for kind in kinds} == kinds

    def test_of_another_numbering_are_understood(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine, ACDC)
        found = labels_from_segmentation_node(node, proxy_of(a_cine), ACDC)
        np.testing.assert_array_equal(found, some_labels[..., 0])

    def test_lie_where_the_patient_was_moved_to(self, a_cine, a_scene, some_labels):
        transform = a_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "where the patient lies")
        proxy_of(a_cine).SetAndObserveTransformNodeID(transform.GetID())
        _, node = add_segmentation_sequence(some_labels, a_cine)
        show_frame(a_cine, 1)
        assert node.GetParentTransformNode() is transform

    def test_stay_at_the_frame_that_the_person_looks_at(self, a_cine, some_labels):
        show_frame(a_cine, 2)
        _, node = add_segmentation_sequence(some_labels, a_cine)
        assert shown_frame(a_cine) == 2
        np.testing.assert_array_equal(labels_from_segmentation_node(node, proxy_of(a_cine)), some_labels[..., 2])

    def test_are_kept_as_edited_in_that_frame_alone(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        volume = proxy_of(a_cine)
        show_frame(a_cine, 1)
        paint_nothing_into(node, "LV")
        for frame in (0, 2, 3):
            show_frame(a_cine, frame)
            np.testing.assert_array_equal(labels_from_segmentation_node(node, volume), some_labels[..., frame])
        show_frame(a_cine, 1)
        expected = np.where(some_labels[..., 1] == CANONICAL["LV"], 0, some_labels[..., 1])
        np.testing.assert_array_equal(labels_from_segmentation_node(node, volume), expected)

    def test_keep_the_look_that_a_person_gave_a_segment(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        node.GetDisplayNode().SetSegmentOpacity2DFill("LV", 0.25)
        node.GetDisplayNode().SetSegmentVisibility("RV", False)
        show_frame(a_cine, 3)
        assert node.GetDisplayNode().GetSegmentOpacity2DFill("LV") == 0.25
        assert not node.GetDisplayNode().GetSegmentVisibility("RV")

    def test_have_surfaces_where_those_are_asked_for(self, a_cine):
        labels = np.zeros((*SHAPE, FRAMES), np.uint8)
        labels[3:9, 3:8, 1:4] = CANONICAL["LV"]
        sequence, _ = add_segmentation_sequence(labels, a_cine, closed_surface=True)
        for frame in range(FRAMES):
            segment = sequence.GetNthDataNode(frame).GetSegmentation().GetSegment("LV")
            assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() > 0

    def test_have_surfaces_as_smooth_as_is_asked_for(self, a_cine):
        labels = np.zeros((*SHAPE, FRAMES), np.uint8)
        labels[3:9, 3:8, 1:4] = CANONICAL["LV"]
        areas = []
        for smoothing in (0.0, 1.0):
            sequence, _ = add_segmentation_sequence(labels, a_cine, closed_surface=True, smoothing=smoothing)
            areas.append([surface_area(sequence.GetNthDataNode(frame)) for frame in range(FRAMES)])
        assert (np.array(areas[1]) < 0.95 * np.array(areas[0])).all()

    def test_can_go_into_the_segmentation_that_the_person_chose(self, a_cine, a_scene, some_labels):
        chosen = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "my result")
        _, node = add_segmentation_sequence(some_labels, a_cine, segmentation_node=chosen)
        assert node is chosen
        assert node.GetName() == "my result"
        show_frame(a_cine, 1)
        np.testing.assert_array_equal(labels_from_segmentation_node(chosen, proxy_of(a_cine)), some_labels[..., 1])
        assert nodes_of_class(a_scene, "vtkMRMLSegmentationNode") == [chosen]

    def test_of_a_cine_without_a_browser_get_one(self, a_scene, an_array, some_labels):
        cine = slicer.vtkMRMLSequenceNode()
        cine.SetName("lonely")
        source = add_cine(create_scene(), an_array, some_affine(), "source")
        for frame in range(FRAMES):
            cine.SetDataNodeAtValue(source.GetNthDataNode(frame), str(frame))
        a_scene.AddNode(cine)
        sequence, node = add_segmentation_sequence(some_labels, cine)
        assert browser_of(sequence) is browser_of(cine) is not None
        show_frame(cine, 3)
        np.testing.assert_array_equal(labels_from_segmentation_node(node, proxy_of(cine)), some_labels[..., 3])


class TestANewResult:
    def test_replaces_the_earlier_one(self, a_cine, a_scene, some_labels):
        first = add_segmentation_sequence(some_labels, a_cine)
        show_frame(a_cine, 2)
        before = node_ids(a_scene)
        others = some_labels[::-1].copy()
        assert add_segmentation_sequence(others, a_cine) == first
        assert node_ids(a_scene) == before
        np.testing.assert_array_equal(labels_from_segmentation_node(first[1], proxy_of(a_cine)), others[..., 2])
        show_frame(a_cine, 0)
        np.testing.assert_array_equal(labels_from_segmentation_node(first[1], proxy_of(a_cine)), others[..., 0])

    def test_in_another_segmentation_leaves_but_that_one(self, a_cine, a_scene, some_labels):
        add_segmentation_sequence(some_labels, a_cine)
        chosen = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "my result")
        add_segmentation_sequence(some_labels[::-1].copy(), a_cine, segmentation_node=chosen)
        assert nodes_of_class(a_scene, "vtkMRMLSegmentationNode") == [chosen]
        show_frame(a_cine, 1)
        np.testing.assert_array_equal(
            labels_from_segmentation_node(chosen, proxy_of(a_cine)), some_labels[::-1, :, :, 1]
        )

    def test_keeps_what_a_person_drew_beside_the_structures(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        show_frame(a_cine, 1)
        scar = slicer.vtkSegment()
        scar.SetName("Scar")
        node.GetSegmentation().AddSegment(scar, "Scar")
        show_frame(a_cine, 0)
        add_segmentation_sequence(some_labels, a_cine)
        assert node.GetSegmentation().GetSegment("Scar") is None
        show_frame(a_cine, 1)
        assert node.GetSegmentation().GetSegment("Scar") is not None

    def test_keeps_the_look_of_a_segment_that_is_in_one_frame_alone(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        show_frame(a_cine, 1)
        node.GetSegmentation().AddSegment(slicer.vtkSegment(), "Scar")
        node.GetDisplayNode().SetSegmentOpacity2DFill("Scar", 0.25)
        for frame in (0, 2, 1):
            show_frame(a_cine, frame)
        assert node.GetDisplayNode().GetSegmentOpacity2DFill("Scar") == 0.25

    def test_comes_also_where_the_person_removed_the_segmentation(self, a_cine, a_scene, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        a_scene.RemoveNode(node)
        _, node = add_segmentation_sequence(some_labels, a_cine)
        assert node.GetScene() is a_scene
        np.testing.assert_array_equal(labels_from_segmentation_node(node, proxy_of(a_cine)), some_labels[..., 0])


class TestLabelsInPieces:
    """What a person may do between two pieces."""

    @pytest.fixture
    def begun(self, a_cine, some_labels):
        """The pieces of a result, two of four frames of which are ready."""
        pieces = segmentation_sequence_in_pieces(some_labels, a_cine)
        while next(pieces) < 0.4:
            pass
        return pieces

    def test_begin_at_nothing_and_end_with_all_in_the_scene(self, a_cine, some_labels):
        shares, before = [], node_ids(a_cine.GetScene())
        pieces = segmentation_sequence_in_pieces(some_labels, a_cine, closed_surface=True)
        for share in pieces:
            shares.append(share)
            assert (node_ids(a_cine.GetScene()) == before) == (share < 1)
        assert shares[0] == 0.0 and shares == sorted(shares) and shares[-1] == 1.0
        assert len(shares) > 3 * FRAMES, "the surface of each segment is a piece"

    def test_leave_the_scene_as_it_was_where_they_are_closed(self, a_cine, begun, a_scene):
        before = node_ids(a_scene)
        begun.close()
        assert node_ids(a_scene) == before
        assert segmentation_sequence_of(a_cine) is None

    def test_leave_an_earlier_result_as_it_was_where_they_are_closed(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        pieces = segmentation_sequence_in_pieces(some_labels[::-1].copy(), a_cine, segmentation_node=node)
        while next(pieces) < 0.7:
            pass
        pieces.close()
        for frame in range(FRAMES):
            show_frame(a_cine, frame)
            found = labels_from_segmentation_node(node, proxy_of(a_cine))
            np.testing.assert_array_equal(found, some_labels[..., frame])

    def test_keep_what_a_person_draws_meanwhile(self, a_cine, some_labels):
        _, node = add_segmentation_sequence(some_labels, a_cine)
        pieces = segmentation_sequence_in_pieces(some_labels, a_cine)
        while next(pieces) < 0.7:
            pass
        node.GetSegmentation().AddSegment(slicer.vtkSegment(), "Scar")  # frame 1 was ready already
        finished(pieces)
        assert list(node.GetSegmentation().GetSegmentIDs()) == ["LV", "MYO", "RV", "Scar"]
        show_frame(a_cine, 1)
        assert node.GetSegmentation().GetSegment("Scar") is None

    def test_are_shown_at_the_frame_to_which_the_person_has_scrolled(self, a_cine, begun, some_labels):
        show_frame(a_cine, 3)
        _, node = finished(begun)
        np.testing.assert_array_equal(labels_from_segmentation_node(node, proxy_of(a_cine)), some_labels[..., 3])

    def test_fail_where_the_cine_is_removed(self, a_cine, begun, a_scene):
        a_scene.RemoveNode(a_cine)
        before = node_ids(a_scene)
        with pytest.raises(CardiacSegError, match="'heart sequence' is in the scene no more"):
            finished(begun)
        assert node_ids(a_scene) == before

    def test_fail_where_the_scene_is_closed(self, begun, a_scene):
        a_scene.Clear()
        before = node_ids(a_scene)
        with pytest.raises(CardiacSegError, match="scene no more"):
            finished(begun)
        assert node_ids(a_scene) == before

    def test_come_in_a_new_segmentation_where_the_chosen_one_is_removed(self, a_cine, a_scene, some_labels):
        chosen = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "my result")
        pieces = segmentation_sequence_in_pieces(some_labels, a_cine, segmentation_node=chosen)
        next(pieces)
        a_scene.RemoveNode(chosen)
        _, node = finished(pieces)
        assert nodes_of_class(a_scene, "vtkMRMLSegmentationNode") == [node]

    def test_come_where_an_earlier_result_is_removed(self, a_cine, a_scene, some_labels):
        sequence, node = add_segmentation_sequence(some_labels, a_cine)
        pieces = segmentation_sequence_in_pieces(some_labels, a_cine)
        next(pieces)
        a_scene.RemoveNode(node)
        a_scene.RemoveNode(sequence)
        again, _ = finished(pieces)
        assert again is segmentation_sequence_of(a_cine)
        assert again.GetNumberOfDataNodes() == FRAMES


class TestFailure:
    @pytest.fixture
    def a_result(self, a_cine, some_labels):
        return add_segmentation_sequence(some_labels, a_cine)

    def test_with_labels_of_another_shape_leaves_the_scene_as_it_was(self, a_cine, a_scene, some_labels):
        before = node_ids(a_scene)
        with pytest.raises(CardiacSegError, match=r"do not fit sequence 'heart sequence' of \(12, 10, 5, 4\)"):
            add_segmentation_sequence(some_labels[..., :3], a_cine)
        assert node_ids(a_scene) == before

    def test_in_the_last_frame_leaves_the_scene_as_it_was(self, a_cine, a_scene, some_labels):
        some_labels[..., -1] = 9
        before = node_ids(a_scene)
        with pytest.raises(CardiacSegError, match="not in the convention"):
            add_segmentation_sequence(some_labels, a_cine)
        assert node_ids(a_scene) == before
        assert segmentation_sequence_of(a_cine) is None

    def test_leaves_an_earlier_result_whole(self, a_cine, a_result, some_labels):
        broken = some_labels[::-1].copy()
        broken[..., -1] = 9
        with pytest.raises(CardiacSegError):
            add_segmentation_sequence(broken, a_cine)
        for frame in range(FRAMES):
            show_frame(a_cine, frame)
            found = labels_from_segmentation_node(a_result[1], proxy_of(a_cine))
            np.testing.assert_array_equal(found, some_labels[..., frame])

    def test_does_not_touch_the_result_of_another_cine(self, a_scene, a_result, an_array, some_labels):
        other = add_cine(a_scene, an_array, some_affine(), "another heart")
        with pytest.raises(CardiacSegError, match="'heart segmentation' shows sequence 'heart segmentation sequence'"):
            add_segmentation_sequence(some_labels, other, segmentation_node=a_result[1])

    def test_leaves_the_segmentation_that_the_person_chose(self, a_cine, some_labels):
        volume = proxy_of(a_cine)
        chosen = add_segmentation_node(some_labels[..., 0], volume)
        some_labels[..., -1] = 9
        with pytest.raises(CardiacSegError):
            add_segmentation_sequence(some_labels, a_cine, segmentation_node=chosen)
        np.testing.assert_array_equal(labels_from_segmentation_node(chosen, volume), some_labels[..., 0])


def surface_area(node) -> float:
    """Of the left ventricle, mm²."""
    properties = vtk.vtkMassProperties()
    properties.SetInputData(node.GetSegmentation().GetSegment("LV").GetRepresentation("Closed surface"))
    return properties.GetSurfaceArea()


def paint_nothing_into(node, segment_id: str) -> None:
    """Clear a segment as Segment Editor does: its voxels change in place."""
    assert slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, segment_id)
