"""Small image files with the metadata that generators and cameras write."""

import io
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from pixelkin.provenance import declared

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
WEB_UI = (
    "a cat, Steps: 3\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64"
)


def saved(format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format, **options)
    return buffer.getvalue()


def png(**texts):
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key.replace("_of_", "-"), text)
    return saved(pnginfo=info)


def exif(**values):
    tags = {"make": 271, "model": 272, "software": 305, "description": 270, "artist": 315, "comment": 37510}
    block = Image.Exif()
    for name, value in values.items():
        if name == "comment":
            block.get_ifd(0x8769)[tags[name]] = value
        else:
            block[tags[name]] = value
    return block


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def after_header(*chunks):
    whole = saved()
    return whole[:33] + b"".join(chunks) + whole[33:]


def said(data, name=""):
    """Mark, models and flags of what the first of a file's generators says."""
    first = declared(data, name)[0]
    return first.mark, list(first.models), set(first.flags)


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}
