"""Self-blending: a generated twin of a photograph, made of the photograph alone.

Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, arXiv 2204.08376,
Sec. 3.2. A copy of the picture is changed a little in colour and sharpness, moved a little, and
blended back into the picture inside a soft mask. Ranges are those of the official program where the
paper states none. Every step is a function of its own numbers; chance comes from one generator.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from pixelkin.degrade import resize_to
from pixelkin.types import Floats, Pixels

Mask = NDArray[np.float64]  # (H, W), 0..1: the share of the source

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
FACE_POINTS = 68  # the others of 81 landmarks outline the forehead
_HUES = 180  # levels of hue in 8-bit HSV; saturation and value have 256


def self_blend(pixels: Pixels, rng: np.random.Generator, points: Floats | None = None) -> Pixels:
    """A blend of a picture with a changed copy of itself; outside the mask it is the picture.

    Args:
        pixels: a photograph, uint8 (H, W, 3): the target.
        rng: where all chance comes from.
        points: landmarks of a face, (68 or 81, 2): column and row, pixels; None blends inside a
            random outline instead.

    Returns:
        uint8, same shape.
    """
    height, width = pixels.shape[:2]
    if points is None:
        points = random_outline(height, width, rng)
    elif len(points) > FACE_POINTS and rng.random() < 0.25:
        points = points[:FACE_POINTS]
    mask = hull_mask(points, height, width)
    shift, scale = random_move(height, width, rng)
    source = move(restyle(pixels, rng), shift, scale)
    mask = warp(move_mask(mask, shift, scale), rng)
    return blend(source, pixels, soften(mask, rng) * float(rng.choice(RATIOS)))


def blend(source: Pixels, target: Pixels, mask: Mask) -> Pixels:
    """``mask * source + (1 - mask) * target``, Eq. 1, rounded; uint8 (H, W, 3).

    Args:
        source: uint8 (H, W, 3).
        target: uint8 (H, W, 3).
        mask: (H, W), 0..1.
    """
    share = mask[..., None]
    return _to_bytes(share * source + (1 - share) * target)


def restyle(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The source-target statistics shift: uint8 (H, W, 3) slightly changed in colour, then in sharpness."""
    if rng.random() < 0.3:
        pixels = shift_channels(pixels, rng.uniform(-20, 20, 3))
    pixels = shift_hsv(pixels, rng.uniform(-0.3, 0.3, 3))
    pixels = brighten(pixels, *rng.uniform(-0.1, 0.1, 2))
    if rng.random() < 0.5:
        return coarsen(pixels, int(rng.choice([2, 4])))
    return sharpen(pixels, rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.0))


def shift_channels(pixels: Pixels, by: Floats) -> Pixels:
    """``by`` (3,), levels, added to the channels of uint8 (H, W, 3)."""
    return _to_bytes(pixels + by)


def shift_hsv(pixels: Pixels, by: Floats) -> Pixels:
    """``by`` (3,), levels, added to hue, saturation and value, in 8 bits as the official program has it.

    Hue has 180 levels, saturation and value 256; what is added is truncated to whole levels. The
    official limits of 0.3 are fractions of one level, so what remains is 8-bit HSV's own rounding.

    Args:
        pixels: uint8 (H, W, 3), RGB.
        by: of hue, saturation and value.
    """
    rgb = pixels.astype(np.float64)
    value, chroma = rgb.max(-1), np.ptp(rgb, -1)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.where(chroma > 0, chroma, 1)
    turn = np.select(
        [chroma == 0, value == red, value == green],
        [np.zeros_like(value), (green - blue) / safe % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    saturation = np.rint(255 * chroma / np.where(value > 0, value, 1))
    hue = np.floor((np.rint(turn / 6 * _HUES) + by[0]) % _HUES)
    saturation = np.floor(np.clip(saturation + by[1], 0, 255)) / 255
    value = np.floor(np.clip(value + by[2], 0, 255))
    # Each channel is the value less what the hue's distance from that channel takes off.
    distance = (np.array([5, 3, 1]) + hue[..., None] / _HUES * 6) % 6
    taken = np.clip(np.minimum(distance, 4 - distance), 0, 1)
    return _to_bytes(value[..., None] * (1 - saturation[..., None] * taken))


def brighten(pixels: Pixels, brightness: float, contrast: float) -> Pixels:
    """``pixels * (1 + contrast) + 255 * brightness``, uint8 (H, W, 3)."""
    return _to_bytes(pixels * (1 + contrast) + 255 * brightness)


def coarsen(pixels: Pixels, factor: int) -> Pixels:
    """Sides over ``factor`` by nearest pixels, and back by bilinear interpolation; uint8 (H, W, 3)."""
    height, width = pixels.shape[:2]
    rows, columns = (
        np.arange(count) * side // count
        for side, count in ((side, max(1, side // factor)) for side in (height, width))
    )
    return resize_to(np.ascontiguousarray(pixels[rows][:, columns]), height, width, "bilinear")


def sharpen(pixels: Pixels, alpha: float, lightness: float) -> Pixels:
    """``alpha`` of a 3 x 3 Laplacian sharpening, the rest the picture; uint8 (H, W, 3).

    Args:
        pixels: uint8 (H, W, 3).
        alpha: share of the sharpened picture, 0..1.
        lightness: sum of the sharpening kernel: below 1 it darkens.
    """
    kernel = np.full((3, 3), -alpha)
    kernel[1, 1] = alpha * (8 + lightness) + 1 - alpha
    return _to_bytes(ndimage.correlate(pixels.astype(np.float64), kernel[..., None], mode="mirror"))


def random_outline(height: int, width: int, rng: np.random.Generator) -> Floats:
    """8 to 16 points inside a random box of 0.4 to 0.8 of each side, (n, 2): where no face gives any."""
    size = np.array([width, height]) * rng.uniform(0.4, 0.8, 2)
    corner = (np.array([width, height]) - 1 - size) * rng.random(2)
    return corner + size * rng.random((int(rng.integers(8, 17)), 2))


def hull_mask(points: Floats, height: int, width: int) -> Mask:
    """1 on the pixels inside the convex hull of ``points`` (n, 2), column and row; 0 elsewhere.

    Points that span no area have an empty hull.
    """
    try:
        planes = ConvexHull(points).equations
    except QhullError:
        return np.zeros((height, width))
    rows, columns = np.mgrid[:height, :width]
    inside = np.ones((height, width), bool)
    for across, down, offset in planes:
        inside &= across * columns + down * rows + offset <= 1e-9
    return inside.astype(np.float64)


def random_move(height: int, width: int, rng: np.random.Generator) -> tuple[tuple[float, float], float]:
    """A shift down by up to 1.5% and to the right by up to 3%, pixels; and a scale of 0.95 to 1/0.95."""
    down, right = rng.uniform(-0.015, 0.015) * height, rng.uniform(-0.03, 0.03) * width
    return (down, right), rng.uniform(0.95, 1 / 0.95)


def move(pixels: Pixels, shift: tuple[float, float], scale: float) -> Pixels:
    """``pixels`` (H, W, 3) scaled about the middle, then shifted (down, right); bilinear, edges repeated."""
    return _to_bytes(np.stack([_moved(p, shift, scale, 1) for p in np.moveaxis(pixels, -1, 0)], -1))


def move_mask(mask: Mask, shift: tuple[float, float], scale: float) -> Mask:
    """A mask (H, W) moved as `move` moves its picture, by nearest pixels: it keeps its two values."""
    return _moved(mask, shift, scale, 0)


def _moved(
    plane: NDArray[np.generic], shift: tuple[float, float], scale: float, order: Literal[0, 1]
) -> Mask:
    middle = (np.array(plane.shape) - 1) / 2
    offset = middle - (middle + np.array(shift)) / scale
    mode: Literal["nearest", "constant"] = "nearest" if order else "constant"
    return ndimage.affine_transform(
        plane.astype(np.float64), np.full(2, 1 / scale), offset, order=order, mode=mode
    )


def warp(mask: Mask, rng: np.random.Generator, alpha: float = 50.0, sigma: float = 7.0) -> Mask:
    """Elastic deformation of a mask (H, W) by a smooth random field, by nearest pixels.

    Args:
        mask: (H, W).
        rng: draws the field, rows first.
        alpha: pixels that the field's noise in -1..1 is multiplied by once it is smooth.
        sigma: its smoothness, pixels.
    """
    down, right = (alpha * ndimage.gaussian_filter(rng.uniform(-1, 1, mask.shape), sigma) for _ in range(2))
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return ndimage.map_coordinates(mask, [rows + down, columns + right], order=0, mode="mirror")


def soften(mask: Mask, rng: np.random.Generator) -> Mask:
    """A mask (H, W) worn off by a random width and given a random soft edge; 0..1, 1 at its greatest.

    At a random size of 192 to 256 a side: blurred, only what is still at the maximum kept, which
    erodes it by half the kernel; blurred again, and scaled to a maximum of 1.
    """
    height, width = (int(side) for side in rng.integers(192, 257, 2))
    first, second = (int(kernel) for kernel in rng.choice(np.arange(5, 26, 2), 2))
    kept = erode(_resized(mask, height, width), first)
    soft = smooth(kept, second, float(rng.integers(5, 46)))
    soft = _resized(soft / (soft.max() or 1), *mask.shape)
    return np.clip(soft, 0, 1)


def erode(mask: Mask, kernel: int) -> Mask:
    """1 where a blur of ``kernel`` pixels leaves a mask (H, W) at its maximum, 0 elsewhere."""
    # The width that OpenCV gives a kernel of this size where none is asked for.
    blurred = smooth(mask, kernel, 0.3 * ((kernel - 1) / 2 - 1) + 0.8)
    greatest = blurred.max()
    # The blur of a constant is that constant but for rounding.
    return ((blurred >= greatest - 1e-6) & (greatest > 0)).astype(np.float64)


def smooth(mask: Mask, kernel: int, sigma: float) -> Mask:
    """A mask (H, W) blurred by a Gaussian of ``sigma`` pixels cut to an odd ``kernel``, edges mirrored."""
    weights = np.exp(-(np.arange(-(kernel // 2), kernel // 2 + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        mask = ndimage.correlate1d(mask, weights, axis, mode="mirror")
    return mask


def _resized(mask: Mask, height: int, width: int) -> Mask:
    image = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float64)


def _to_bytes(values: Floats) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
