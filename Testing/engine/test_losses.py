"""Losses by name: they teach, they are finite wherever training may take them, and they mean what their papers say."""

from __future__ import annotations

import itertools

import monai.losses
import pytest
import torch
from monai.losses import DiceCELoss

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.training import losses
from CardiacSegLib.training.choices import LOSSES
from CardiacSegLib.training.losses import BoundaryLoss, LovaszSoftmaxLoss, build_loss, median_frequency_weights
from CardiacSegLib.training.optimizers import build_optimizer
from CardiacSegLib.training.schedules import build_schedule
from tiny_training import class_shares, learn, mean_dice_of, phantom_batch, tiny_network

every_loss = pytest.mark.parametrize("name", LOSSES)


def loss_of(name: str) -> torch.nn.Module:
    return build_loss(name, class_shares(phantom_batch()[1]))


def sure_of(labels: torch.Tensor, margin: float = 50.0) -> torch.Tensor:
    """Logits of a network that is certain of these labels."""
    return margin * torch.nn.functional.one_hot(labels[:, 0], 4).movedim(-1, 1).float()


def test_every_name_has_a_line_and_a_builder():
    assert list(LOSSES) == list(losses.BUILDERS)
    assert all(LOSSES.values())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(CardiacSegError, match=r"loss 'hinge' is not known; choose one of dice-ce, dice, .*boundary"):
        build_loss("hinge", torch.ones(4) / 4)


@every_loss
def test_teaches_a_network_what_a_phantom_looks_like(name):
    network = tiny_network()
    assert mean_dice_of(network) < 0.15
    learn(network.train(), loss_of(name), build_optimizer("adamw", network, 2e-2, 0.0), build_schedule("cosine"), 60)
    assert mean_dice_of(network) > 0.5


def a_single_pixel(labels: torch.Tensor) -> torch.Tensor:
    alone = torch.zeros_like(labels)
    alone[0, 0, 5, 5] = 1
    return alone


AWKWARD = {
    "nothing": torch.zeros_like,
    "one structure everywhere": lambda labels: torch.full_like(labels, 2),
    "a structure that is nowhere": lambda labels: labels.masked_fill(labels == 3, 0),
    "an empty slice beside others": lambda labels: torch.cat([labels, torch.zeros_like(labels[:1])]),
    "a single pixel": a_single_pixel,
}


@every_loss
@pytest.mark.parametrize("case", AWKWARD)
@pytest.mark.parametrize("margin", [0.0, 50.0])
def test_is_finite_with_a_finite_gradient_whatever_the_labels_and_the_logits(name, case, margin):
    labels = AWKWARD[case](phantom_batch()[1][:3])
    chance = torch.randint(4, labels.shape, generator=torch.Generator().manual_seed(1))
    for believed in (labels, (labels + 1) % 4, chance):
        logits = (sure_of(believed, 2 * margin) - margin).requires_grad_()
        loss = loss_of(name)(logits, labels)
        loss.backward()
        assert loss.shape == ()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


@every_loss
def test_grows_with_the_distance_between_labels_and_is_least_without_any(name):
    _, labels = phantom_batch()
    loss = loss_of(name)
    values = [float(loss(sure_of(labels.roll(pixels, -1)), labels)) for pixels in (0, 1, 2, 4)]
    assert values[0] < values[1] < values[2] < values[3]
    undecided = float(loss(torch.zeros(len(labels), 4, *labels.shape[2:]), labels))
    assert values[0] < undecided
    if name != "boundary":  # whose distances are negative inside
        assert values[0] == pytest.approx(0, abs=1e-3)


@every_loss
def test_has_no_gradient_left_where_everything_is_right(name):
    _, labels = phantom_batch()
    logits = sure_of(labels).requires_grad_()
    loss_of(name)(logits, labels).backward()
    assert logits.grad.abs().max() < 1e-6


@every_loss
def test_does_not_depend_on_the_order_of_the_batch(name):
    _, labels = phantom_batch()
    logits = torch.randn(len(labels), 4, *labels.shape[2:], generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = loss_of(name)
    torch.testing.assert_close(loss(logits[order], labels[order]), loss(logits, labels))


def test_the_default_is_that_of_the_shipped_model():
    _, labels = phantom_batch()
    logits = torch.randn(len(labels), 4, *labels.shape[2:], generator=torch.Generator().manual_seed(1))
    expected = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)(logits, labels)
    assert loss_of(next(iter(LOSSES)))(logits, labels) == expected


@pytest.mark.parametrize(
    ("name", "part", "weight"), [("dice-focal", lambda: loss_of("focal"), 1.0), ("boundary", BoundaryLoss, 0.1)]
)
def test_a_sum_is_that_of_dice_and_its_part(name, part, weight):
    _, labels = phantom_batch()
    logits = torch.randn(len(labels), 4, *labels.shape[2:], generator=torch.Generator().manual_seed(1))
    expected = loss_of("dice")(logits, labels) + weight * part()(logits, labels)
    torch.testing.assert_close(loss_of(name)(logits, labels), expected)


def test_generalized_dice_weighs_classes_as_in_its_paper():
    _, labels = phantom_batch()
    logits = sure_of(labels.roll(2, -1), 3.0)
    found, truth = (values.double().sum((0, 2, 3)) for values in (logits.softmax(1), sure_of(labels, 1.0)))
    both = (logits.softmax(1) * sure_of(labels, 1.0)).double().sum((0, 2, 3))
    expected = 1 - 2 * (both / truth**2).sum() / ((found + truth) / truth**2).sum()
    assert float(loss_of("generalized-dice")(logits, labels)) == pytest.approx(float(expected), rel=1e-3)


class TestClassWeights:
    def test_are_the_median_share_over_the_own(self):
        weights = median_frequency_weights(torch.tensor([0.9, 0.05, 0.04, 0.01]))
        torch.testing.assert_close(weights, torch.tensor([0.04 / 0.9, 0.8, 1.0, 4.0]))

    def test_treat_a_class_that_never_occurs_like_the_rarest_that_does(self):
        weights = median_frequency_weights(torch.tensor([0.9, 0.08, 0.02, 0.0]))
        torch.testing.assert_close(weights, torch.tensor([0.08 / 0.9, 1.0, 4.0, 4.0]))

    def test_make_an_error_in_a_rare_class_more_expensive(self):
        """The same number of pixels of each structure is missed, by networks that are sure of it."""
        labels = torch.zeros(1, 1, 32, 32, dtype=torch.int64)
        labels[..., :8, :8], labels[..., 16:24, :8] = 1, 2
        missed = {number: sure_of(labels.masked_fill(labels == number, 0), 5.0) for number in (1, 2)}
        weighted = build_loss("weighted-dice-ce", torch.tensor([0.9, 0.08, 0.01, 0.01]))
        assert weighted(missed[2], labels) > 2 * weighted(missed[1], labels)
        plain = build_loss("dice-ce", torch.tensor([0.9, 0.08, 0.01, 0.01]))
        torch.testing.assert_close(plain(missed[2], labels), plain(missed[1], labels))

    def test_go_to_the_device_with_the_loss(self):
        assert all(buffer.device.type == "meta" for buffer in loss_of("weighted-dice-ce").to("meta").buffers())
        assert list(loss_of("weighted-dice-ce").buffers())


class TestTversky:
    def test_finds_a_missed_pixel_much_worse_than_a_false_one(self):
        labels = torch.zeros(1, 1, 16, 16, dtype=torch.int64)
        labels[..., 4:12, 4:12] = 1
        more, less = labels.clone(), labels.clone()
        more[..., 4:12, 12:14], less[..., 4:12, 10:12] = 1, 0
        for name, ratio in (("tversky", 2.7), ("dice", 1.3)):
            loss = loss_of(name)
            assert float(loss(sure_of(less), labels) / loss(sure_of(more), labels)) == pytest.approx(ratio, abs=0.1)


class TestLovaszSoftmax:
    def test_is_one_minus_the_jaccard_index_of_labels(self):
        labels = torch.randint(3, (2, 1, 9, 7), generator=torch.Generator().manual_seed(1))
        believed = torch.randint(4, labels.shape, generator=torch.Generator().manual_seed(2))
        indices = [
            ((labels == number) & (believed == number)).sum() / ((labels == number) | (believed == number)).sum()
            for number in labels.unique()  # what the batch does not hold counts nothing
        ]
        expected = 1 - torch.stack(indices).mean()
        torch.testing.assert_close(LovaszSoftmaxLoss()(sure_of(believed), labels), expected)

    def test_is_the_extension_of_the_jaccard_loss_of_sets_of_wrong_pixels(self):
        """Equation 9 of the paper, term by term."""
        labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1]).view(1, 1, 2, 4)
        logits = torch.randn(1, 2, 2, 4, generator=torch.Generator().manual_seed(3))
        expected = 0.0
        for number in (0, 1):
            truth = set((labels.flatten() == number).nonzero().flatten().tolist())
            errors = (logits.softmax(1)[:, number].flatten() - (labels.flatten() == number).float()).abs().tolist()
            order = sorted(range(8), key=lambda pixel: -errors[pixel])
            wrong = [set(order[:count]) for count in range(9)]
            # With these pixels wrong, the class is believed to be where exactly one of both sets holds a pixel.
            jaccard_losses = [1 - len(truth - pixels) / len(truth | pixels) for pixels in wrong]
            steps = [after - before for before, after in itertools.pairwise(jaccard_losses)]
            expected += sum(errors[pixel] * step for pixel, step in zip(order, steps)) / 2
        assert float(LovaszSoftmaxLoss()(logits, labels)) == pytest.approx(expected, rel=1e-5)

    def test_has_the_gradient_of_its_values(self):
        labels = torch.randint(3, (2, 1, 3, 4), generator=torch.Generator().manual_seed(1))
        logits = torch.randn(2, 3, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        assert torch.autograd.gradcheck(lambda values: LovaszSoftmaxLoss()(values, labels), logits.requires_grad_())


class TestBoundary:
    @pytest.fixture
    def a_square(self) -> torch.Tensor:
        labels = torch.zeros(1, 1, 64, 64, dtype=torch.int64)
        labels[..., 4:20, 4:20] = 1
        return labels

    @pytest.mark.parametrize(("name", "dearer"), [("boundary", True), ("dice", False)])
    def test_finds_an_error_worse_the_farther_it_is_away(self, a_square, name, dearer):
        values = []
        for column in (24, 40, 56):
            believed = a_square.clone()
            believed[..., 10:14, column : column + 4] = 1
            values.append(float(loss_of(name)(sure_of(believed), a_square)))
        assert (values[0] < values[1] < values[2]) == dearer

    def test_is_dice_alone_where_a_slice_holds_no_structure(self, a_square):
        empty = torch.zeros_like(a_square)
        logits = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(loss_of("boundary")(logits, empty), loss_of("dice")(logits, empty))

    @pytest.mark.skipif(not hasattr(monai.losses, "BoundaryLoss"), reason="this MONAI is too old to have one")
    @pytest.mark.parametrize("case", AWKWARD)
    def test_is_that_of_monai(self, case):
        labels = AWKWARD[case](phantom_batch()[1][:3])
        logits = torch.randn(len(labels), 4, *labels.shape[2:], generator=torch.Generator().manual_seed(1))
        expected = monai.losses.BoundaryLoss(softmax=True, to_onehot_y=True, include_background=False)(logits, labels)
        torch.testing.assert_close(BoundaryLoss()(logits, labels), expected)
