"""Every architecture by its name: what it gives, that it learns, that it is kept; and what a definition may not do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser
from torch import nn

from CardiacSegLib import networks
from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.bundles import write_bundle
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.evaluation.overlap import dice_scores
from CardiacSegLib.inference.model_grid import ModelGrid
from CardiacSegLib.networks import (
    NETWORKS,
    build_network,
    network_definition,
    network_multiple,
)
from CardiacSegLib.networks.blocks import conv_chain
from CardiacSegLib.networks.encoder_decoder import EncoderDecoder, SpatialChannelAttention
from CardiacSegLib.networks.encoder_weights import load_encoder_weights
from CardiacSegLib.networks.light_unet import LightUNet
from CardiacSegLib.networks.mobilenetv2 import MobileNetV2Encoder
from CardiacSegLib.networks.segnet import SegNet
from CardiacSegLib.networks.unpooling import UnpoolingNetwork
from CardiacSegLib.phantom import Phantom

every_name = pytest.mark.parametrize("name", NETWORKS)
WITH_LEVELS = [name for name, entry in NETWORKS.items() if entry.filters]
WITH_ENCODER = [name for name, entry in NETWORKS.items() if entry.encoder]
CLASSES = len(CANONICAL) + 1


def small_filters(name: str) -> tuple[int, ...]:
    """Channels that are quickly computed, where a network's can be chosen."""
    if name == "basic-unet":
        return (8, 8, 16, 16, 32)
    return (8, 16, 32) if NETWORKS[name].filters else ()


def small_definition(name: str, channels: int = 1) -> dict:
    return network_definition(name, channels, CLASSES, small_filters(name))


def small_network(name: str, channels: int = 1) -> nn.Module:
    torch.manual_seed(5)
    return build_network(small_definition(name, channels))


@pytest.fixture(scope="module")
def slices(a_phantom: Phantom) -> tuple[torch.Tensor, torch.Tensor]:
    """Every second pixel of a beating heart: images (T, K, 1, 32, 32) and labels (T, K, 1, 32, 32)."""
    image, labels = (torch.from_numpy(array[::2, ::2].T.copy()) for array in (a_phantom.image, a_phantom.labels))
    image = image.float()
    return ((image - image.mean()) / image.std())[:, :, None], labels.long()[:, :, None]


class TestEveryNetwork:
    @every_name
    def test_gives_logits_of_the_image_s_size(self, name):
        network = small_network(name).eval()
        smallest = network_multiple(name, small_filters(name))
        with torch.inference_mode():
            for size in [(smallest, 2 * smallest), (96, 64)]:
                assert network(torch.randn(1, 1, *size)).shape == (1, CLASSES, *size)

    @pytest.mark.parametrize(
        "name",  # encoders of published sizes take half of the time
        [pytest.param(name, marks=pytest.mark.long if name in WITH_ENCODER else ()) for name in NETWORKS],
    )
    def test_learns_what_it_is_shown(self, name, slices):
        """One frame is kept back. Labels by chance, or all the same, have a mean Dice below 0.15."""
        network = small_network(name).to(memory_format=torch.channels_last)
        images, labels = slices
        steps, rate = (80, 1e-2) if small_filters(name) else (30, 5e-3)
        train(network, images[:2].flatten(0, 1), labels[:2].flatten(0, 1), steps, rate)
        with torch.inference_mode():
            found = network.eval()(images[2]).argmax(1, keepdim=True)
        dice = dice_scores(found.numpy(), labels[2].numpy(), CANONICAL)
        assert np.mean(list(dice.values())) > 0.4, dice

    @every_name
    def test_is_reached_by_gradients_everywhere(self, name):
        network = small_network(name).train()
        (network(torch.randn(2, 1, 64, 64)) * torch.randn(2, CLASSES, 64, 64)).sum().backward()
        weights = network.named_parameters()
        assert [name for name, weight in weights if weight.grad is None or not weight.grad.any()] == []

    @every_name
    def test_takes_slices_with_neighbors_in_bfloat16(self, name):
        network = small_network(name, channels=3).to(memory_format=torch.channels_last).train()
        images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images)
        logits.float().logsumexp(1).mean().backward()
        assert logits.shape == (2, CLASSES, 64, 64)
        assert all(weight.grad.isfinite().all() for weight in network.parameters())

    @every_name
    def test_comes_out_of_a_bundle_as_it_went_in(self, name, tmp_path):
        definition, images = small_definition(name), torch.randn(2, 1, 64, 64)
        network = build_network(definition)
        with torch.no_grad():
            network(images)  # so that the statistics of batch normalization are not those of a new network
        network = network.half().float().eval()  # a bundle keeps half precision
        grid = ModelGrid(1.5, network_multiple(name, small_filters(name)))
        bundle = write_bundle(tmp_path / "model", "model", network, definition, grid, CANONICAL, {})
        with torch.inference_mode():
            assert torch.equal(bundle.load_network().eval()(images), network(images))
        monais = ConfigParser(json.loads((bundle.folder / "configs" / "inference.json").read_text("utf-8")))
        assert type(monais.get_parsed_content("network_def")) is type(network)

    @every_name
    def test_is_of_the_size_that_its_paper_or_its_table_says(self, name):
        """In millions of weights; built without memory. The ranges hold the numbers below, and other head sizes."""
        with torch.device("meta"):
            network = build_network(network_definition(name, 1, CLASSES))
        weights = sum(weight.numel() for weight in network.parameters())
        assert weights / 1e6 == pytest.approx(MILLIONS[name], rel=0.01)

    @every_name
    def test_says_what_it_is_in_one_line(self, name):
        assert 20 < len(NETWORKS[name].line) < 120
        assert "\n" not in NETWORKS[name].line


#: SegNet: 29.5 and DeconvNet: 252 as their authors say; U-Net (basic-unet): 31.0 in Ronneberger's form.
MILLIONS = {
    "dynunet": 5.16,
    "light-unet": 1.55,
    "unet": 1.63,
    "basic-unet": 31.1,
    "segresnet": 6.30,
    "attention-unet": 1.99,
    "flexible-unet-resnet34": 23.8,
    "flexible-unet-efficientnet": 5.37,
    "unet-dropout": 1.94,
    "residual-unet": 32.4,
    "dense-unet": 24.5,
    "encoder-decoder": 6.98,
    "encoder-decoder-attention": 7.42,
    "unet-attention": 8.20,
    "segnet": 29.4,
    "deconvnet": 251.8,
    "deeplabv3plus": 2.71,
    "unet-densenet121": 12.8,
    "unet-mobilenetv2": 3.54,
}


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int, rate: float) -> None:
    """Show all slices in every step, then let the averages of batch normalization settle, as they do in a long run."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, fused=True)
    rare = torch.tensor([1.0, 5.0, 5.0, 5.0])
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels[:, 0], rare).backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(20):
            network(images)


class TestTheTable:
    def test_is_read_without_torch_and_monai(self):
        script = (
            "import sys; from CardiacSegLib.networks import NETWORKS, network_definition; "
            "[network_definition(name, 1, 4) for name in NETWORKS]; print(*{'torch', 'monai'} & set(sys.modules))"
        )
        environment = os.environ | {"PYTHONPATH": str(Path(networks.__file__).resolve().parents[2])}
        command = [sys.executable, "-c", script]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == ""

    @every_name
    def test_gives_definitions_that_json_keeps(self, name):
        definition = small_definition(name)
        assert json.loads(json.dumps(definition)) == definition

    @pytest.mark.parametrize("name", WITH_LEVELS)
    def test_says_what_sizes_must_be_divisible_by(self, name):
        """A level more halves once more; an odd size at some level does not come back, or does not fit."""
        levels = len(NETWORKS[name].filters)
        halvings = levels if name in {"segnet", "deconvnet", "light-unet"} else levels - 1
        assert network_multiple(name) == network_multiple(name, NETWORKS[name].filters) == 2**halvings

    def test_doubles_the_multiple_for_a_level_more(self):
        assert network_multiple("dynunet", (8, 16, 32)) == 4
        assert network_multiple("dynunet", (8, 16, 32, 64)) == 8
        assert network_multiple("segnet", (8, 16, 32)) == 8
        assert network_multiple("deeplabv3plus") == 16

    @pytest.mark.parametrize("of", [lambda name: network_definition(name, 1, 4), network_multiple])
    def test_lists_its_names_for_one_that_it_lacks(self, of: Callable[[str], object]):
        with pytest.raises(CardiacSegError, match="network 'u-net' is not known; choose one of dynunet, light-unet, "):
            of("u-net")

    @pytest.mark.parametrize(
        ("name", "filters", "message"),
        [
            *((name, (8, 16), f"network '{name}' has fixed channels; leave filters out") for name in WITH_ENCODER),
            ("basic-unet", (8, 16, 32), "'basic-unet' has five levels, give five numbers"),
            ("segresnet", (8, 16, 24), "'segresnet' double with each level"),
            ("segresnet", (12, 24, 48), "'segresnet' double with each level"),
            ("segnet", (64,), "give two levels or more"),
            ("unet", (8, 0, 16), "give two levels or more, each with a channel or more"),
        ],
    )
    def test_refuses_filters_that_a_network_cannot_have(self, name, filters, message):
        with pytest.raises(CardiacSegError, match=message):
            network_definition(name, 1, 4, filters)

    def test_still_knows_the_network_of_older_bundles(self):
        definition = network_definition("dynunet", 3, 4, (8, 16, 32))
        assert definition["_target_"] == "monai.networks.nets.DynUNet"
        assert (definition["filters"], definition["strides"]) == ([8, 16, 32], [1, 2, 2])


class TestADefinitionFromAStranger:
    @pytest.mark.parametrize(
        "target",
        [
            "os.system",
            "",
            "DynUNet",
            "stranger.DynUNet",
            "monai.networks.nets.FlexibleUNet",  # it can download
            "CardiacSegLib.bundles.sha256",
            "CardiacSegLib.networks.segnet.conv_chain",
            "CardiacSegLib.networks.encoder_weights.load_encoder_weights",
        ],
    )
    def test_names_one_of_the_table_s_classes(self, target):
        with pytest.raises(CardiacSegError, match=re.escape(f"network '{target}' is not known; choose one of DynUNet")):
            build_network({"_target_": target})

    @every_name
    @pytest.mark.parametrize("expression", ["$print(7)", "@x", "%x"])
    def test_is_not_evaluated(self, name, expression, capsys):
        with pytest.raises(CardiacSegError, match="has an expression as argument"):
            build_network({**small_definition(name), "in_channels": expression})
        with pytest.raises(CardiacSegError, match="has an expression as argument"):
            build_network({**small_definition(name), "more": [{"deep": expression}]})
        assert capsys.readouterr().out == ""

    @every_name
    def test_builds_nothing_within(self, name, tmp_path):
        trap = {"_target_": "os.mkdir", "path": str(tmp_path / "trapped")}
        with pytest.raises(CardiacSegError, match="cannot be built"):
            build_network({**small_definition(name), "in_channels": trap})
        assert not (tmp_path / "trapped").exists()

    @pytest.mark.parametrize(
        "arguments",
        [
            {"_target_": "CardiacSegLib.networks.encoder_unet.EncoderUNet", "backbone": "resnet1000"},
            {"_target_": "CardiacSegLib.networks.encoder_unet.EncoderUNet", "backbone": "resnet34", "pretrained": True},
            {"_target_": "CardiacSegLib.networks.encoder_decoder.EncoderDecoder", "filters": []},
            {"_target_": "CardiacSegLib.networks.encoder_decoder.EncoderDecoder", "filters": [8]},
            {"_target_": "CardiacSegLib.networks.encoder_decoder.EncoderDecoder", "filters": "many"},
            {"_target_": "CardiacSegLib.networks.segnet.SegNet", "filters": 8},
            {"_target_": "CardiacSegLib.networks.segnet.SegNet", "filters": [-8, 8]},
        ],
    )
    def test_has_arguments_that_fit(self, arguments):
        with pytest.raises(CardiacSegError, match="cannot be built"):
            build_network({"in_channels": 1, "out_channels": 4, **arguments})


class TestUnpooling:
    def test_puts_each_maximum_back_to_its_pixel(self):
        network = UnpoolingNetwork([nn.Identity()], nn.Identity(), [nn.Identity()], nn.Identity())
        image = torch.tensor([[1.0, 2, 0, 0], [3, 9, 0, 5], [4, 0, 1, 1], [0, 0, 8, 1]])[None, None]
        expected = torch.tensor([[0.0, 0, 0, 0], [0, 9, 0, 5], [4, 0, 0, 0], [0, 0, 8, 0]])[None, None]
        assert torch.equal(network(image), expected)

    @pytest.mark.parametrize("name", ["segnet", "deconvnet"])
    def test_tells_apart_what_pooling_alone_does_not(self, name):
        """Two images whose finest features differ only by where in each 2 x 2 window the maximum is."""
        network = small_network(name).eval()
        network.encoder[0] = nn.Identity()
        coarse = torch.rand(1, 8, 16, 16)
        corner, opposite = torch.zeros(2, 1, 8, 32, 32)
        corner[..., ::2, ::2], opposite[..., 1::2, 1::2] = coarse, coarse
        assert torch.equal(F.max_pool2d(corner, 2), F.max_pool2d(opposite, 2))
        with torch.inference_mode():
            assert not torch.allclose(network(corner), network(opposite), atol=1e-3)

    def test_mirrors_vgg(self):
        """13 convolutions down, 13 up, the last for the classes."""
        network = SegNet(3, 4, (64, 128, 256, 512, 512))
        convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        channels = [conv.in_channels for conv in convs] + [convs[-1].out_channels]
        down = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512]
        assert channels == [*down, 512, 512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 4]


class TestTheParts:
    def test_dropout_grows_with_depth(self):
        network = EncoderDecoder(1, 4, (8, 16, 32), dropout=(0.1, 0.3))
        rates = [[part.p for part in level.modules() if isinstance(part, nn.Dropout)] for level in network.encoder]
        assert np.allclose(rates, [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])

    def test_skip_connections_carry_what_the_narrow_end_loses(self):
        """With the narrow end silenced only a network with skip connections still answers the image."""
        images = torch.randn(1, 1, 16, 16)
        for skips in (True, False):
            torch.manual_seed(0)
            network = EncoderDecoder(1, 4, (8, 16, 32), skips=skips).eval()
            nn.init.zeros_(network.rise[0].weight)
            with torch.inference_mode():
                answer = network(images) - network(torch.zeros_like(images))
            assert bool(answer.abs().max() > 1e-3) == skips

    def test_a_light_u_net_works_at_half_the_resolution_and_loses_no_pixel(self):
        """Every pixel of a block of two by two has an answer of its own, and changes all four."""
        torch.manual_seed(0)
        network, images = LightUNet(1, 4, (8, 16, 32)).eval(), torch.randn(1, 1, 16, 16)
        sizes = []
        network.encoder[0].register_forward_hook(lambda module, inputs, output: sizes.append(output.shape))
        with torch.inference_mode():
            answer = network(images)
            for row, column in ((6, 6), (6, 7), (7, 6), (7, 7)):
                changed = images.clone()
                changed[..., row, column] += 1
                assert (network(changed) - answer)[0, :, 6:8, 6:8].abs().min() > 0
        assert sizes[0] == (1, 8, 8, 8)
        assert torch.unique(answer[0, 0, 6:8, 6:8]).numel() == 4

    def test_attention_weighs_channels_and_pixels(self):
        attention, features = SpatialChannelAttention(4), torch.rand(2, 4, 6, 5)
        weights = attention(features) / features
        pixels = torch.sigmoid(attention.spatial[0](features))
        channels = weights - pixels
        assert torch.allclose(channels, channels[..., :1, :1].expand_as(channels), atol=1e-5)
        assert weights.min() > 0
        assert weights.max() < 2

    def test_weights_keep_the_deviation_through_relu(self):
        torch.manual_seed(0)
        network = EncoderDecoder(1, 4, (64, 64))
        conv = network.encoder[0][1].conv
        assert float(conv.weight.detach().std()) == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.03)

    def test_a_chain_goes_from_channels_to_channels(self):
        chain = conv_chain(2, 3, 5)
        assert [(part.conv.in_channels, part.conv.out_channels) for part in chain] == [(2, 3), (3, 5)]

    @pytest.mark.parametrize(("stride", "sizes"), [(32, [32, 16, 8, 4, 2]), (16, [32, 16, 8, 4, 4])])
    def test_an_encoder_shrinks_no_more_than_its_output_stride(self, stride, sizes):
        encoder = MobileNetV2Encoder(1, output_stride=stride).eval()
        with torch.inference_mode():
            features = encoder(torch.randn(1, 1, 64, 64))
        assert [feature.shape[-1] for feature in features] == sizes
        assert tuple(feature.shape[1] for feature in features) == encoder.channels

    def test_dilated_convolutions_answer_as_strided_ones_do(self):
        """With the same weights, every second pixel at an output stride of 16 is what a stride of 32 gives.

        Blocks behind the stride see further by dilation, so that trained weights keep their meaning.
        """
        strided, dilated = MobileNetV2Encoder(1), MobileNetV2Encoder(1, output_stride=16)
        dilated.load_state_dict(strided.state_dict())
        with torch.inference_mode():
            images = torch.randn(1, 1, 128, 128)
            expected, found = strided.eval()(images)[-1], dilated.eval()(images)[-1]
        assert torch.allclose(found[..., ::2, ::2], expected, atol=1e-4)


def published_names(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An encoder's weights as the files that are published name them, with something that classifies."""
    renamed = {
        "unet-densenet121": (r"\.layers\.(norm|conv)(\d)\.", r".\1.\2."),
        "flexible-unet-efficientnet": (r"^_blocks\.\d+\.", "_blocks."),
    }.get(name, ("", ""))
    old = {re.sub(*renamed, key): value for key, value in state.items() if "num_batches" not in key}
    return {**old, "classifier.1.weight": torch.zeros(1000, 8), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("name", WITH_ENCODER)
class TestEncoderWeights:
    @pytest.fixture
    def colors(self, name: str) -> nn.Module:
        """The encoder as it is published, for three colors, with some statistics of images."""
        encoder = small_network(name, channels=3).encoder
        with torch.no_grad():
            encoder(torch.rand(2, 3, 64, 64))
        return encoder.eval()

    @pytest.fixture
    def a_file(self, name: str, colors: nn.Module, tmp_path: Path) -> Path:
        torch.save(published_names(name, colors.state_dict()), tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    def test_are_all_that_the_published_encoder_has(self, name, colors):
        """Weights of torchvision's classifiers less those of their classifying ends."""
        weights = {
            "ResNet-34": 21_797_672 - 513_000,
            "DenseNet-121": 7_978_856 - 1_025_000,
            "EfficientNet-B0": 5_288_548 - 1_281_000 - 412_160,
            "MobileNetV2": 3_504_872 - 1_281_000 - 412_160,
        }
        assert sum(weight.numel() for weight in colors.parameters()) == weights[NETWORKS[name].encoder]

    @pytest.mark.long
    def test_answer_a_gray_image_as_before(self, name, colors, a_file):
        gray = torch.rand(1, 1, 64, 64)
        for channels in (1, 3, 5):
            network = small_network(name, channels).eval()
            load_encoder_weights(network, a_file)
            with torch.inference_mode():
                found, expected = network.encoder(gray.expand(-1, channels, -1, -1)), colors(gray.expand(-1, 3, -1, -1))
            assert all(torch.allclose(ours, theirs, atol=1e-3) for ours, theirs in zip(found, expected))

    def test_keep_colors_where_there_are_three_channels(self, name, colors, a_file):
        network = small_network(name, channels=3)
        load_encoder_weights(network, a_file)
        assert torch.equal(next(network.encoder.parameters()), next(colors.parameters()))

    def test_are_downloaded_where_there_is_no_file(self, name, colors, monkeypatch):
        asked = {}

        def download(address: str, **options: object) -> dict[str, torch.Tensor]:
            asked.update(options, address=address)
            return published_names(name, colors.state_dict())

        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
        network = small_network(name, channels=3)
        load_encoder_weights(network, "download")
        assert torch.equal(next(network.encoder.parameters()), next(colors.parameters()))
        assert re.fullmatch(r"https://.*-[0-9a-f]{8}\.pth", asked["address"])
        assert asked["weights_only"]
        assert asked["check_hash"]

    def test_are_asked_for_as_a_file_where_there_is_no_connection(self, name, monkeypatch):
        def fail(*_: object, **__: object) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
        with pytest.raises(CardiacSegError, match=r"cannot be downloaded \(no route to host\); give it as a file"):
            load_encoder_weights(small_network(name), "download")

    def test_are_refused_from_a_file_that_does_not_fit(self, name, colors, a_file):
        weights = torch.load(a_file, weights_only=True)
        last = list(published_names(name, dict(colors.named_parameters())))[-3]
        damages: list[object] = [
            {key: value for key, value in weights.items() if key != last},
            {**weights, last: torch.zeros(7)},
            {"state_dict": weights},
            [weights],
            {},
        ]
        network = small_network(name)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        for damaged in damages:
            torch.save(damaged, a_file)
            with pytest.raises(CardiacSegError, match=r"weights\.pth: no weights of this encoder; give https://"):
                load_encoder_weights(network, a_file)
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class TestAFileOfEncoderWeights:
    @pytest.mark.parametrize("content", [None, b"", b"no weights"])
    def test_is_there_and_is_one(self, content: bytes | None, tmp_path):
        path = tmp_path / "weights.pth"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CardiacSegError, match=r"weights\.pth: cannot be read as weights"):
            load_encoder_weights(small_network("unet-mobilenetv2"), path)

    @pytest.mark.parametrize("name", ["segnet", "unet", "encoder-decoder"])
    def test_is_for_networks_with_such_an_encoder(self, name, tmp_path):
        with pytest.raises(CardiacSegError, match=r"no encoder weights for .*; choose one of flexible-unet-resnet34, "):
            load_encoder_weights(small_network(name), tmp_path / "weights.pth")

    def test_is_read_with_the_names_that_newer_files_have(self, tmp_path):
        """torchvision's own DenseNet has no point within 'norm1', the file that it publishes does."""
        network = small_network("unet-densenet121")
        state = {name: value + 1 for name, value in network.encoder.state_dict().items()}
        torch.save({name.replace(".layers.", "."): value for name, value in state.items()}, tmp_path / "new.pth")
        load_encoder_weights(network, tmp_path / "new.pth")
        assert all(torch.equal(value, state[name]) for name, value in network.encoder.state_dict().items())


@pytest.mark.parametrize(
    ("encoder", "names"),
    [
        (
            "unet-mobilenetv2",
            {
                "features.0.0.weight": (32, 1, 3, 3),
                "features.1.conv.0.0.weight": (32, 1, 3, 3),
                "features.1.conv.1.weight": (16, 32, 1, 1),
                "features.1.conv.2.running_mean": (16,),
                "features.2.conv.0.1.weight": (96,),
                "features.17.conv.1.0.weight": (960, 1, 3, 3),
                "features.17.conv.3.bias": (320,),
            },
        ),
        (
            "flexible-unet-resnet34",
            {
                "conv1.weight": (64, 1, 7, 7),
                "layer2.0.downsample.0.weight": (128, 64, 1, 1),
                "layer2.0.downsample.1.running_var": (128,),
                "layer4.2.bn2.bias": (512,),
            },
        ),
    ],
)
def test_the_names_of_the_weights_are_torchvision_s(encoder: str, names: dict[str, Sequence[int]]) -> None:
    state = small_network(encoder).encoder.state_dict()
    assert {name: tuple(state[name].shape) for name in names} == names
