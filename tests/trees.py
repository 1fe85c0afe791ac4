"""Miniature collections in the layouts that people download, cut out of the example images.

Real images are pieces of the example photographs, generated ones pieces of what real generators
made (examples/README.md), so that whatever reads them meets what it will meet.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image
from tiny import EXAMPLES

SIDE = 64


@cache
def pieces(kind, count=12, side=SIDE):
    """``count`` different squares of the example images whose names begin with ``kind``."""
    squares = []
    for file in sorted(EXAMPLES.glob(f"{kind}-*")):
        pixels = np.array(Image.open(file).convert("RGB"))
        rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
        squares.append(
            [
                pixels[side * r : side * (r + 1), side * c : side * (c + 1)]
                for r in range(rows)
                for c in range(columns)
            ]
        )
    taken = [
        group[place] for place in range(max(map(len, squares))) for group in squares if place < len(group)
    ]
    return taken[:count]


def encoded(pixels, format="PNG", **options):
    """An image file of pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def fill(folder, kind, count=3, suffix=".png", start=0, **options):
    """``count`` images of ``kind`` (photo, generated) in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kept_as = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}[suffix.lower()]
    for place, pixels in enumerate(pieces(kind)[start : start + count]):
        (folder / f"{start + place:03}{suffix}").write_bytes(encoded(pixels, kept_as, **options))


def pair(folder, count=3, real="0_real", generated="1_fake"):
    """A folder with both labels."""
    fill(folder / real, "photo", count)
    fill(folder / generated, "generated", count)


def plant_subset(root, subset, count=3):
    """A sub-testset as the paper's drive has it: class folders where there are some, stray files beside."""
    folder = root / subset.at["folder"][0]
    for name in subset.at.get("class", [""]):
        pair(folder / name, count)
    (folder / "readme.txt").write_text("not an image")
    (folder / ".DS_Store").write_bytes(b"\0")


def plant_universalfakedetect_zip(root):
    """The original zip: real images in two shared folders, generated ones alone."""
    for real in ("imagenet", "laion"):
        fill(root / real / "0_real", "photo")
    for name in ("dalle", "glide_100_10", "glide_100_27", "glide_50_27", "guided", "ldm_100", "ldm_200"):
        fill(root / name / "1_fake", "generated")
    fill(root / "ldm_200_cfg" / "1_fake", "generated")


def plant_dire(root):
    """DIRE's own layout: domains with real images and one folder a generator, files in numbered folders."""
    test = root / "images" / "test"
    fill(test / "lsun_bedroom" / "real", "photo")
    for name in ("adm", "ddpm", "iddpm", "ldm", "pndm", "sdv2", "vqdiffusion", "midjourney"):
        fill(test / "lsun_bedroom" / name, "generated")
    for name, kind in (("real", "photo"), ("adm", "generated"), ("sdv1", "generated")):
        fill(test / "imagenet" / name / "000", kind, 2)
        fill(test / "imagenet" / name / "001", kind, 2, start=2)
    fill(test / "celebahq" / "real", "photo", start=3)
    fill(test / "celebahq" / "sdv2", "generated", start=3)
    fill(root / "images" / "train" / "lsun_bedroom" / "real", "photo", start=6)


def plant_genimage(root):
    """GenImage's unpacked archives, with the extensions they have."""
    names = {
        "ADM": "imagenet_ai_0508_adm",
        "BigGAN": "imagenet_ai_0419_biggan",
        "glide": "imagenet_glide",
        "Midjourney": "imagenet_midjourney",
        "stable_diffusion_v_1_5": "imagenet_ai_0424_sdv5",
        "VQDM": "imagenet_ai_0419_vqdm",
        "wukong": "imagenet_ai_0424_wukong",
    }
    for name, archive in names.items():
        for part in ("train", "val"):
            fill(root / name / archive / part / "nature", "photo", suffix=".JPEG", start=3 * (part == "val"))
            fill(root / name / archive / part / "ai", "generated", suffix=".PNG", start=3 * (part == "val"))
