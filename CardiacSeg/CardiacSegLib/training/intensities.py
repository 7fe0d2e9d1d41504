"""What may happen to the intensities of a batch: each change strikes a share of the samples, and costs only for those.

Images are float32 (N, C, H, W), about zero mean and unit deviation. The channels of a sample are slices of one image
and change alike; only noise is every pixel's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def uniform(low: float, high: float, shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """Numbers from ``low`` to ``high``, all as likely."""
    return low + (high - low) * torch.rand(*shape, generator=generator)


def smooth_field(count: int, channels: int, size: int, knots: int, generator: torch.Generator) -> torch.Tensor:
    """Random fields that vary smoothly from -1 to 1, (N, C, size, size)."""
    coarse = uniform(-1, 1, (count, channels, knots, knots), generator)
    # Cubic interpolation along the columns and then along the rows: F.interpolate takes ten times as long for both.
    cubic = F.interpolate(torch.eye(knots)[None, None], (size, knots), mode="bicubic", align_corners=True)[0, 0]
    return cubic @ coarse @ cubic.T


def gamma(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Intensities, brought to 0..1 and back, raised to a power."""
    power = torch.exp(_for_each(images, -0.5, 0.5, generator))
    low = images.amin((1, 2, 3), keepdim=True)
    reach = (images.amax((1, 2, 3), keepdim=True) - low).clamp_min(1e-6)
    return ((images - low) / reach).pow(power) * reach + low


def contrast_and_brightness(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Intensities multiplied by a factor, and a number added."""
    return images * torch.exp(_for_each(images, -0.4, 0.4, generator)) + _for_each(images, -0.3, 0.3, generator)


def window(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What is darker or brighter than a narrow window shows is cut off; the rest keeps its mean and deviation."""
    deviation, mean = torch.std_mean(images, (1, 2, 3), correction=0, keepdim=True)
    low = mean - deviation * _for_each(images, 0.4, 1.5, generator)
    high = mean + deviation * _for_each(images, 0.6, 2.5, generator)
    cut = torch.clamp(images, low, high)
    left, middle = torch.std_mean(cut, (1, 2, 3), correction=0, keepdim=True)
    return (cut - middle) * (deviation / left.clamp_min(1e-6)) + mean


def bias_field(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The sensitivity of a coil, which changes smoothly over the image."""
    field = smooth_field(len(images), 1, images.shape[-1], 4, generator)
    return _amplified(images, field * _for_each(images, 0, 0.5, generator))


def gain(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Echoes that grow fainter with the depth, or toward one side: the gain falls along a random direction."""
    axis = torch.linspace(-1, 1, images.shape[-1])
    angle = _for_each(images, 0, 2 * math.pi, generator)
    slope = angle.cos() * axis[:, None] + angle.sin() * axis
    return _amplified(images, slope * _for_each(images, 0, 0.7, generator))


def speckle(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise in grains of about two pixels that is the stronger, the brighter the image is there."""
    height, width = images.shape[2:]
    grains = torch.randn(*images.shape[:2], height // 2, width // 2, generator=generator)
    grains = F.interpolate(grains, (height, width), mode="bilinear")
    return _amplified(images, grains * _for_each(images, 0, 0.4, generator))


def blur(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A mixture of the image with its mean over three by three pixels."""
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(images, blurred, _for_each(images, 0.3, 1, generator))


def low_resolution(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What is left of the image in half as many pixels along each axis."""
    coarse = F.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
    return F.interpolate(coarse, images.shape[2:], mode="bilinear")


def noise(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise of its own at every pixel."""
    return images + torch.randn(images.shape, generator=generator) * _for_each(images, 0, 0.3, generator)


def _for_each(images: torch.Tensor, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """One number for each sample, (N, 1, 1, 1)."""
    return uniform(low, high, (len(images), 1, 1, 1), generator)


def _amplified(images: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """The image above its darkest pixel, times e to the power of ``exponent``."""
    low = images.amin((1, 2, 3), keepdim=True)
    return (images - low) * exponent.exp() + low


#: Each change and the share of the samples that it strikes, in this order.
_OF_CARDIAC_MR: Sequence[tuple[float, Change]] = (
    (0.2, window),
    (0.5, gamma),
    (0.4, bias_field),
    (0.7, contrast_and_brightness),
    (0.2, blur),
    (0.1, low_resolution),
    (0.3, noise),
)
_OF_ULTRASOUND: Sequence[tuple[float, Change]] = (
    (0.5, gamma),
    (0.5, gain),
    (0.7, contrast_and_brightness),
    (0.5, speckle),
    (0.2, blur),
    (0.2, low_resolution),
)


def change_intensities(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """New images, as other MR scanners and sequences might have taken them."""
    return _changed(images, _OF_CARDIAC_MR, generator)


def change_echoes(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """New images, as other echo machines might have taken them, at other settings."""
    return _changed(images, _OF_ULTRASOUND, generator)


def _changed(images: torch.Tensor, changes: Sequence[tuple[float, Change]], generator: torch.Generator) -> torch.Tensor:
    images = images.clone()
    for share, change in changes:
        struck = (torch.rand(len(images), generator=generator) < share).nonzero().flatten()
        if len(struck):
            images[struck] = change(images[struck], generator)
    return images
