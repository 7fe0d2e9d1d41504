"""Every metric against another program's: MONAI's, SimpleITK's and scikit-learn's, on blobs and on real labels.

The blobs are drawn by chance on voxels that are 1.4 x 1.7 x 8 mm; some touch the border of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import monai.metrics
import numpy as np
import pytest
import SimpleITK as sitk
import sklearn.metrics
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.distance import directed_hausdorff

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.datasets.cases import read_case
from CardiacSegLib.datasets.layouts import find_cases
from CardiacSegLib.evaluation.overlap import (
    Overlap,
    confusion_matrix,
    dice_scores,
    emptiness,
    mean_iou,
    overlaps,
    pixel_accuracy,
)
from CardiacSegLib.evaluation.roc import VoxelCounts, heart_box
from CardiacSegLib.evaluation.surfaces import SurfaceDistances, surface_distances
from CardiacSegLib.geometry import voxel_spacing

SPACING = (1.4, 1.7, 8.0)
EXACT = 1e-6


def blobs(seed: int, shape: tuple[int, ...] = (44, 38, 9)) -> np.ndarray:
    """Three structures side by side, uint8."""
    chance = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(chance.standard_normal(shape), (4, 4, 1)[: len(shape)]) for _ in range(4)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def disturbed(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same labels with their outlines moved."""
    chance = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter((labels == number).astype(float), 1.5) for number in range(4)]
    noise = [ndimage.gaussian_filter(chance.standard_normal(labels.shape), 2) for _ in range(4)]
    return np.argmax([field + 0.6 * one for field, one in zip(fields, noise)], axis=0).astype(np.uint8)


@pytest.fixture(params=range(5))
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Labels, their reference and the spacing."""
    reference = blobs(request.param)
    return disturbed(reference, request.param + 100), reference, SPACING


@pytest.fixture
def real_pair(acdc_training: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A patient whom two experts labeled: the same images are in ACDC twice, with other labels."""
    cases = {case.name: case for case in find_cases(acdc_training)}
    image, reference = read_case(cases["patient074_ED"], CANONICAL)
    _, labels = read_case(cases["patient076_ED"], CANONICAL)
    return labels, reference, voxel_spacing(image.affine)


def masks(pair: tuple[np.ndarray, np.ndarray, object]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in CANONICAL.values():
        yield pair[0] == number, pair[1] == number


def itk_image(array: np.ndarray, spacing: tuple[float, ...] = SPACING) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.uint8).T)
    image.SetSpacing([float(step) for step in spacing])
    return image


def edges(mask: np.ndarray) -> np.ndarray:
    """By SimpleITK, on an image with a border of nothing around it."""
    padded = sitk.ConstantPad(itk_image(mask), [1] * 3, [1] * 3, 0)
    return sitk.GetArrayFromImage(sitk.LabelContour(padded, fullyConnected=False)).T.astype(bool)


def monai_tensor(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None].float()


def assert_overlap_agrees(pair: tuple[np.ndarray, np.ndarray, object]) -> None:
    labels, reference, _ = pair
    found = overlaps(confusion_matrix(labels, reference, CANONICAL), CANONICAL)
    by_itk = sitk.LabelOverlapMeasuresImageFilter()
    by_itk.Execute(itk_image(labels), itk_image(reference))  # its target is the reference
    for (name, number), (ours, theirs) in zip(CANONICAL.items(), masks(pair)):
        by_sklearn = Overlap(
            sklearn.metrics.f1_score(theirs.ravel(), ours.ravel()),
            sklearn.metrics.jaccard_score(theirs.ravel(), ours.ravel()),
            sklearn.metrics.precision_score(theirs.ravel(), ours.ravel()),
            sklearn.metrics.recall_score(theirs.ravel(), ours.ravel()),
            sklearn.metrics.accuracy_score(theirs.ravel(), ours.ravel()),
        )
        assert found[name] == pytest.approx(by_sklearn, abs=EXACT)
        assert found[name].dice == pytest.approx(by_itk.GetDiceCoefficient(number), abs=EXACT)
        assert found[name].jaccard == pytest.approx(by_itk.GetJaccardCoefficient(number), abs=EXACT)
        assert found[name].precision == pytest.approx(1 - by_itk.GetFalseDiscoveryRate(number), abs=EXACT)
        assert found[name].recall == pytest.approx(1 - by_itk.GetFalseNegativeError(number), abs=EXACT)
        by_monai = monai.metrics.compute_dice(monai_tensor(ours), monai_tensor(theirs))
        assert found[name].dice == pytest.approx(by_monai.item(), abs=EXACT)
        assert found[name].dice == pytest.approx(dice_scores(labels, reference, CANONICAL)[name], abs=EXACT)


def monai_distances(ours: np.ndarray, theirs: np.ndarray, spacing: tuple[float, ...]) -> SurfaceDistances:
    """MONAI counts in single precision: at 20 mm that is 2e-6 mm."""
    tensors, kept = (monai_tensor(ours), monai_tensor(theirs)), {"spacing": [float(step) for step in spacing]}
    kept["include_background"] = True
    return SurfaceDistances(
        monai.metrics.compute_hausdorff_distance(*tensors, **kept).item(),
        monai.metrics.compute_hausdorff_distance(*tensors, percentile=95, **kept).item(),
        monai.metrics.compute_average_surface_distance(*tensors, symmetric=True, **kept).item(),
    )


def assert_distances_agree(pair: tuple[np.ndarray, np.ndarray, tuple[float, ...]]) -> None:
    spacing = pair[2]
    for ours, theirs in masks(pair):
        found = surface_distances(ours, theirs, spacing)
        assert found == pytest.approx(monai_distances(ours, theirs, spacing), abs=EXACT, rel=1e-6)
        surfaces = edges(ours), edges(theirs)
        by_itk = sitk.HausdorffDistanceImageFilter()
        by_itk.Execute(*(itk_image(surface, spacing) for surface in surfaces))
        assert found.hd == pytest.approx(by_itk.GetHausdorffDistance(), abs=EXACT)
        points = [np.argwhere(surface) * np.asarray(spacing) for surface in surfaces]
        by_scipy = max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])
        assert found.hd == pytest.approx(by_scipy, abs=EXACT)
        # SimpleITK takes the mean of the two means, where MONAI takes that of all surface voxels. Weighed by the
        # number of voxels of either surface, its two directed means are ours.
        sizes = [len(those) for those in points]
        means = [distances_to(other, surface, spacing).mean() for surface, other in (surfaces, surfaces[::-1])]
        assert by_itk.GetAverageHausdorffDistance() == pytest.approx(np.mean(means), abs=EXACT)
        assert found.asd == pytest.approx(np.average(means, weights=sizes), abs=EXACT)


def distances_to(surface: np.ndarray, others: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """From every voxel of ``others`` to a surface, by SimpleITK's distance map."""
    away = sitk.SignedMaurerDistanceMap(itk_image(surface, spacing), False, False, True)
    return np.abs(sitk.GetArrayFromImage(away).T.astype(float))[others]


class TestOverlap:
    def test_agrees_with_three_other_programs(self, pair):
        assert_overlap_agrees(pair)

    @pytest.mark.data
    def test_agrees_on_the_labels_of_two_experts(self, real_pair):
        assert_overlap_agrees(real_pair)

    def test_confusion_iou_and_accuracy_agree_with_scikit_learn(self, pair):
        labels, reference = pair[0].ravel(), pair[1].ravel()
        confusion = confusion_matrix(*pair[:2], CANONICAL)
        np.testing.assert_array_equal(confusion, sklearn.metrics.confusion_matrix(reference, labels))
        by_sklearn = sklearn.metrics.jaccard_score(reference, labels, average="macro")
        assert mean_iou(confusion) == pytest.approx(by_sklearn, abs=EXACT)
        by_sklearn = sklearn.metrics.accuracy_score(reference, labels)
        assert pixel_accuracy(confusion) == pytest.approx(by_sklearn, abs=EXACT)

    def test_the_classes_stand_in_the_order_of_their_numbers(self):
        labels, reference = np.array([1, 1, 2, 3]), np.array([1, 3, 2, 0])
        assert confusion_matrix(labels, reference, {"RV": 3, "LV": 1, "MYO": 2}).tolist() == [
            *([0, 0, 0, 1], [0, 1, 0, 0]),
            *([0, 0, 1, 0], [0, 1, 0, 0]),
        ]

    def test_of_nothing_against_nothing_is_one_and_against_something_zero(self):
        labels, reference = np.array([0, 1, 2, 0]), np.array([0, 1, 0, 3])
        confusion = confusion_matrix(labels, reference, CANONICAL)
        found = overlaps(confusion, CANONICAL)
        assert found["LV"] == (1, 1, 1, 1, 1)
        assert found["MYO"] == found["RV"] == (0, 0, 0, 0, 0.75)
        assert emptiness(confusion, CANONICAL) == {"MYO": "invented", "RV": "missed"}
        nothing = confusion_matrix(np.zeros(4, int), np.zeros(4, int), CANONICAL)
        assert overlaps(nothing, CANONICAL)["LV"] == (1, 1, 1, 1, 1)
        assert emptiness(nothing, CANONICAL) == dict.fromkeys(CANONICAL, "absent")
        assert mean_iou(nothing) == 1.0  # of the background, the only class that is there


class TestDistances:
    def test_agree_with_three_other_programs(self, pair):
        assert_distances_agree(pair)

    @pytest.mark.data
    def test_agree_on_the_labels_of_two_experts(self, real_pair):
        assert_distances_agree(real_pair)

    def test_between_surfaces_are_not_those_between_solids(self):
        """Why SimpleITK's filter, given the structures themselves, says less: a solid's inside is no way off."""
        large = np.zeros((21, 21, 5), bool)
        large[2:19, 2:19] = True
        hollow = large.copy()
        hollow[8:13, 8:13, 1:4] = False
        by_itk = sitk.HausdorffDistanceImageFilter()
        by_itk.Execute(itk_image(hollow), itk_image(large))
        assert by_itk.GetHausdorffDistance() < surface_distances(hollow, large, SPACING).hd
        assert surface_distances(hollow, large, SPACING) == pytest.approx(monai_distances(hollow, large, SPACING))

    def test_count_the_distance_of_slices(self):
        reference = np.zeros((10, 10, 6), bool)
        reference[3:7, 3:7, 1:4] = True
        labels = reference.copy()
        labels[3:7, 3:7, 4] = True
        assert surface_distances(labels, reference, SPACING).hd == 8.0
        assert surface_distances(labels.transpose(2, 0, 1), reference.transpose(2, 0, 1), (8.0, 1.4, 1.7)).hd == 8.0

    def test_are_undefined_where_either_is_empty(self):
        something, nothing = np.ones((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
        assert surface_distances(something, nothing, SPACING) is None
        assert surface_distances(nothing, something, SPACING) is None
        assert surface_distances(nothing, nothing, SPACING) is None

    def test_in_a_single_slice_are_those_of_outlines(self):
        reference = blobs(3, (60, 50)) == 1
        labels = ndimage.shift(reference.astype(float), (3, 0), order=0) > 0
        found = surface_distances(labels[:, :, None], reference[:, :, None], (1.4, 1.7, 8.0))
        tensors = monai_tensor(labels), monai_tensor(reference)
        by_monai = monai.metrics.compute_hausdorff_distance(*tensors, include_background=True, spacing=[1.4, 1.7])
        assert found.hd == pytest.approx(by_monai.item(), abs=EXACT)
        assert found == surface_distances(labels, reference, (1.4, 1.7))

    def test_are_quick_in_a_large_image(self):
        """The box around both is looked at, not the image."""
        small = np.zeros((20, 20, 8), bool)
        small[5:15, 5:15, 2:6] = True
        wide = [np.zeros((1200, 1200, 40), bool) for _ in range(2)]
        wide[0][600:620, 600:620, 9:17], wide[1][601:621, 600:620, 9:17] = small, small
        moved = np.zeros((21, 20, 8), bool), np.zeros((21, 20, 8), bool)
        moved[0][:20], moved[1][1:] = small, small
        assert surface_distances(*wide, SPACING) == surface_distances(*moved, SPACING)


class TestRoc:
    @pytest.fixture
    def probabilities(self, pair) -> np.ndarray:
        """As a network gives them, (4, I, J, K)."""
        chance = np.random.default_rng(1)
        logits = np.stack([4.0 * (pair[1] == number) for number in range(4)]) + 2.5 * chance.standard_normal(
            (4, 44, 38, 9)
        )
        return torch.from_numpy(logits).softmax(0).float().numpy()

    @pytest.fixture
    def affine(self) -> np.ndarray:
        return np.diag([*SPACING, 1.0])

    def test_the_area_is_that_of_all_voxels_one_by_one(self, pair, probabilities, affine):
        counts = VoxelCounts(CANONICAL)
        counts.add(probabilities, pair[1], affine)
        for name, number in CANONICAL.items():
            truth = (pair[1] == number).ravel()
            exact = sklearn.metrics.roc_auc_score(truth, probabilities[number].ravel())
            assert counts.curves()[name].auc == pytest.approx(exact, abs=1e-5)

    def test_the_points_lie_on_the_curve(self, pair, probabilities, affine):
        counts = VoxelCounts(CANONICAL)
        counts.add(probabilities, pair[1], affine)
        curve = counts.curves()["RV"]
        assert len(curve.fpr) == len(curve.tpr) <= 200
        assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
        fpr, tpr, _ = sklearn.metrics.roc_curve(
            (pair[1] == 3).ravel(), probabilities[3].ravel(), drop_intermediate=False
        )
        away, _ = cKDTree(np.stack([fpr, tpr], 1)).query(np.stack([curve.fpr, curve.tpr], 1))
        assert away.max() < 1e-3
        assert sklearn.metrics.auc(curve.fpr, curve.tpr) == pytest.approx(curve.auc, abs=1e-3)

    def test_cases_add_up(self, pair, probabilities, affine):
        once, twice = VoxelCounts(CANONICAL), VoxelCounts(CANONICAL)
        once.add(probabilities, pair[1], affine)
        for _ in range(2):
            twice.add(probabilities, pair[1], affine)
        assert once.curves() == twice.curves()

    def test_voxels_far_from_the_heart_do_not_count(self, affine):
        heart = np.zeros((200, 200, 9), bool)
        heart[90:110, 100:120, 3:6] = True
        box = heart_box(heart, affine)
        assert box == (slice(75, 125), slice(88, 132), slice(2, 7))
        assert heart_box(heart & False, affine) is None

    def test_a_structure_that_is_nowhere_has_no_curve(self, probabilities, affine):
        reference = np.zeros((44, 38, 9), np.uint8)
        reference[10:20, 10:20, 3:5] = 1
        counts = VoxelCounts(CANONICAL)
        counts.add(probabilities, reference, affine)
        assert set(counts.curves()) == {"LV"}
        nothing = VoxelCounts(CANONICAL)
        nothing.add(probabilities, reference * 0, affine)
        assert nothing.curves() == {}
