"""The shipped model as a network with a gradient, out of its ``.onnx`` file alone, and one step along it."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelkin.errors import ParityError
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.weights import load_strictly
from pixelkin.model import Model
from pixelkin.tiles import repeat_to
from pixelkin.types import Picture, Pixels

INSIDE = "detector."  # what `pixelkin.lab.export` puts before the names of weights
TOLERANCE = 1e-4  # of logits, beside the file's own


def network_of(data: bytes, model: Model) -> Detector:
    """The network that a model file was exported from, its weights taken by their names.

    Args:
        data: the bytes of the file.
        model: of the same bytes.

    Raises:
        WeightsError: its weights were folded or renamed on the way out.
        ParityError: the network answers otherwise than the file.
    """
    network = detector_class(model.card.system)(**model.card.recipe.get("options", {})).eval()
    weights = {
        each.name.removeprefix(INSIDE): torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
        for each in onnx.load_from_string(data).graph.initializer
    }
    load_strictly(network, weights, model.card.name)
    side = model.card.tile
    tiles = np.random.default_rng(0).integers(0, 256, (4, 3, side, side), np.uint8)
    with torch.inference_mode():
        gap = float(np.abs(network.from_pixels(torch.from_numpy(tiles)).numpy() - model.logits(tiles)).max())
    if not gap <= TOLERANCE:
        raise ParityError(f"{model.card.name}: the network's logits are {gap:.2g} off the file's")
    return network


def uphill(network: Detector, model: Model, picture: Picture) -> NDArray[np.int8]:
    """Which way each sample of a picture raises the mean logit of the tiles that a model looks at.

    Returns:
        -1, 0 or 1, int8 (H, W, 3); 0 where no tile looks.
    """
    boxes, tiles = model.look(picture)
    slopes, side = slopes_of(network, torch.from_numpy(tiles)).numpy(), model.card.tile
    # Tiles overlap, and a small picture is repeated in its tile: what they show is gathered by its place.
    places = np.arange(picture.height * picture.width).reshape(picture.height, picture.width, 1)
    shown = np.stack([repeat_to(places[top:bottom, left:right], side) for top, left, bottom, right in boxes])
    total = [np.bincount(shown.ravel(), slopes[:, c].ravel(), places.size) for c in range(3)]
    return np.sign(np.stack(total, -1)).astype(np.int8).reshape(picture.pixels.shape)


def slopes_of(network: Detector, tiles: Tensor) -> Tensor:
    """The gradient of each tile's logit by its own samples, at uint8 tiles; both of shape (n, 3, H, W)."""
    samples = tiles.float().requires_grad_()
    network(network.normalise(samples)).sum().backward()
    assert samples.grad is not None  # noqa: S101 - for the type checker
    return samples.grad


def stepped(pixels: Pixels, signs: NDArray[np.int8], levels: int) -> Pixels:
    """A step of the fast gradient sign method: Goodfellow et al. 2015, Sec. 4, in 8 bits.

    Args:
        pixels: uint8 (H, W, 3).
        signs: the way to go, int8 (H, W, 3).
        levels: how far, grey levels of 255.
    """
    return np.clip(pixels + levels * signs.astype(np.int16), 0, 255).astype(np.uint8)
