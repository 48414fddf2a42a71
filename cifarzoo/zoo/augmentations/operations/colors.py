"""Changes of the pixel values of image batches, each image by an amount of its own.

uint8 in and out, equal to torchvision's functions of one uint8 tensor on CPUs that multiply and
add with one rounding. float64 stands in for that in blends here, so that the answer is the same
on every device; torchvision's own may be 1 off it on others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.errors import ConfigError


def check_colors(images: Tensor) -> None:
    """Refuse images whose colours can't be changed.

    Raises:
        ConfigError: They are floats, or have no colours.
    """
    if images.dtype != torch.uint8:
        raise ConfigError("comes after normalize; it needs pixel values, so put it before")
    if images.shape[1] != 3:
        raise ConfigError(
            "changes colours; expected images of 3 channels, and the dataset's differ"
        )


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the images (N, C, H, W) by ``factor`` (N,), from 0: 0 is black, 1 the image."""
    return _to_uint8(images.float().mul_(_each(factor.float())))


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the images (N, 3, H, W) with their grey ones: 0 is grey, 1 the image."""
    images = images.contiguous().float()
    return _blend(images, _grey(images), factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the images (N, 3, H, W) with the mean of their grey ones: 1 is the image."""
    images = images.contiguous().float()
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the images (N, C, H, W) with smoothed ones but for their border: 1 is the image.

    Smoothing is the mean over 3 by 3 pixels with the middle one 5 times, rounded.
    """
    images = images.contiguous().float()
    middle = images[:, :, 1:-1, 1:-1]
    lines = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    smooth = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:] + 4 * middle
    smooth.div_(13).round_()  # thirteenths are never halfway, so the order of sums is the same
    change = (smooth - middle).double().mul_(_rest(factor))
    middle.copy_(change.add_(middle))
    return _to_uint8(images)


def grayscale(images: Tensor) -> Tensor:
    """The grey images of (N, 3, H, W), in all three channels."""
    return _grey(images.contiguous().float()).to(torch.uint8).expand_as(images)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hues of (N, 3, H, W) by ``shift`` (N,) of the whole circle, -0.5 to 0.5.

    As torchvision does: to hue, saturation and value in float32, and back.
    """
    pixels = images.contiguous().float().div_(255)
    high, low = pixels.amax(1), pixels.amin(1)
    is_grey = high == low
    span = high - low
    saturation = span / torch.where(is_grey, 1.0, high)
    red, green, blue = (
        (high - each) / torch.where(is_grey, 1.0, span) for each in pixels.unbind(1)
    )
    is_red = high == pixels[:, 0]
    is_green = (high == pixels[:, 1]) & ~is_red
    is_blue = ~is_red & ~is_green
    sixths = is_red * (blue - green) + is_green * (2 + red - blue) + is_blue * (4 + green - red)
    turned = torch.remainder(sixths / 6 + 1, 1.0) + shift.float()[:, None, None]
    return _from_hsv(torch.remainder(turned, 1.0), saturation, high)


def _from_hsv(hues: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """uint8 images (N, 3, H, W) of hue, saturation and value (N, H, W), 0 to 1."""
    sixths = hues * 6
    sector = sixths.floor()
    part = sixths - sector
    p = (value * (1 - saturation)).clamp_(0, 1)
    q = (value * (1 - saturation * part)).clamp_(0, 1)
    t = (value * (1 - saturation * (1 - part))).clamp_(0, 1)
    index = torch.remainder(sector.long(), 6)[:, None]
    channels = ((value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q))
    pixels = [torch.stack(of_sector, 1).gather(1, index) for of_sector in channels]
    return (torch.cat(pixels, 1) * (256 - 1e-3)).to(torch.uint8)  # as torchvision rounds floats


def gaussian_blur(images: Tensor, sigma: Tensor, *, kernel_size: int) -> Tensor:
    """Blur each image of (N, C, H, W) by a Gaussian of ``sigma`` (N,) pixels, the border reflected.

    Args:
        images: Batch, uint8.
        sigma: Standard deviation of each image's Gaussian, above 0.
        kernel_size: Pixels that the Gaussian is cut off at, odd.
    """
    half = kernel_size // 2
    places = torch.arange(-half, half + 1, device=images.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (places / sigma.float()[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    padded = F.pad(images.contiguous().float(), [half] * 4, mode="reflect")
    rows = padded.unfold(3, kernel_size, 1)
    across = torch.einsum("nchwk,nk->nchw", rows, kernel)
    blurred = torch.einsum("nchwk,nk->nchw", across.unfold(2, kernel_size, 1), kernel)
    return blurred.round_().clamp_(0, 255).to(torch.uint8)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the first ``bits`` (N,), 0 to 8, of each value of the uint8 images (N, C, H, W)."""
    dropped = 2 ** (8 - bits.to(torch.int64))
    return images & _each((256 - dropped).to(torch.uint8))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values of (N, C, H, W) that are at least ``threshold`` (N,), 0 to 256 (none)."""
    least = _each(threshold.float().ceil().to(torch.int16))
    # 255 or 0 to invert or not: torch.where takes 5 times as long for uint8 on a CPU.
    return images ^ (images >= least).to(torch.uint8).neg_()


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of (N, C, H, W) to 0 ... 255, but for one of a single value."""
    images = images.contiguous().float()
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    is_flat = low == high
    scale = torch.where(is_flat, 1.0, (high - low) * (1 / 255))
    return _to_uint8(images.sub_(torch.where(is_flat, 0.0, low)).div_(scale))


def equalize(images: Tensor) -> Tensor:
    """Spread the values of each channel of (N, C, H, W) evenly, by PIL's rule for histograms."""
    images = images.contiguous()
    values = images.flatten(2).to(torch.int64)
    counts = torch.zeros(*values.shape[:2], 256, dtype=torch.int32, device=images.device)
    counts.scatter_add_(2, values, counts.new_ones(1).expand_as(values))
    below = counts.cumsum(2, dtype=torch.int32) - counts
    # As many pixels as one output value gets; those of the largest value don't count.
    of_largest = counts.gather(2, values.amax(2, keepdim=True))
    share = (values.shape[2] - of_largest).div_(255, rounding_mode="floor")
    table = (below + share // 2).div_(share.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    table = torch.where(share == 0, torch.arange(256, device=images.device), table)
    return table.to(torch.uint8).gather(2, values).view(images.shape)


def _grey(images: Tensor) -> Tensor:
    """Whole grey values (N, 1, H, W), in float32 with torchvision's weights and operations."""
    red, green, blue = images.unbind(1)
    grey = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return grey.floor_()[:, None]


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """``factor * images + (1 - factor) * other``, the sum rounded once to float32."""
    share = (images * _each(factor.float())).double()
    return _to_uint8(share.add_(other.double() * _rest(factor)).float())


def _rest(factor: Tensor) -> Tensor:
    """``1 - factor`` rounded to float32, as float64 (N, 1, 1, 1)."""
    return _each((1 - factor.double()).float().double())


def _each(numbers: Tensor) -> Tensor:
    """A number an image (N,) as (N, 1, 1, 1)."""
    return numbers[:, None, None, None]


def _to_uint8(values: Tensor) -> Tensor:
    """Cut float32 values to 0 ... 255 and off their fractions; overwrites them."""
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)  # 3 times as fast as at once
