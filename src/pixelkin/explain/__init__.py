"""Where and why: neighbour relations, spectra, tile and occlusion maps, and pictures of them."""

from __future__ import annotations

from pixelkin.explain.occlusion import occlusion_map, tile_map
from pixelkin.explain.overlay import RAMP, diverging, heat_overlay, heatmap_png, ramp, save_heatmap
from pixelkin.explain.relations import (
    channel_images,
    neighbour_relation,
    relation_difference,
    relation_image,
    span_of,
)
from pixelkin.explain.spectra import power_spectrum, radial_profile, spectrum_image

__all__ = [
    "RAMP",
    "channel_images",
    "diverging",
    "heat_overlay",
    "heatmap_png",
    "neighbour_relation",
    "occlusion_map",
    "power_spectrum",
    "radial_profile",
    "ramp",
    "relation_difference",
    "relation_image",
    "save_heatmap",
    "span_of",
    "spectrum_image",
    "tile_map",
]
