"""Settings of generators other than ComfyUI, by the forms in which they write them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pixelkin.provenance.settings import EDIT, REFERENCE, Settings, settings

SEARCHED = 100_000  # characters of a text
_FOOOCUS = re.compile(r"fooocus|\"base_model_hash\"|\"Base Model\"", re.IGNORECASE)
_STEPS = re.compile(r"\bSteps: \d")
_UPSCALED = re.compile(r"\bPostprocess upscale|\b(?:GFPGAN|CodeFormer) visibility")
_UPSCALER = re.compile(r"\b(?:Postprocess upscaler: ([^,\n]{1,100})|(GFPGAN|CodeFormer) visibility)")
_CHECKPOINT = re.compile(r"\bModel: ([^,\n]{1,200})")
_HASH = re.compile(r"\bModel hash: ([0-9a-f]{6,64})")
_RESOURCE = re.compile(r'"type":\s{0,3}"checkpoint"[^{}]{0,200}"modelName":\s{0,3}"([^"]{1,150})"')
_VERSION = re.compile(r"\b(?:Version|App): ([^,\n]{1,60})")
_FROM_PICTURE = re.compile(
    r"\b(Mask blur|Init image|Masked content|Inpaint area|Mask mode|Image CFG scale): ?"
)
_TWO_PASSES = re.compile(r"\b(Hires|First pass|Refiner)")
_CONTROLLED = re.compile(r"\bControlNet \d|\bControlNet: ")
_FORKS = (
    ("Fooocus", re.compile(r"fooocus", re.IGNORECASE)),
    ("SD.Next", re.compile(r"sd\.?next", re.IGNORECASE)),
    ("ComfyUI", re.compile(r"comfy", re.IGNORECASE)),
    ("Stable Diffusion web UI Forge", re.compile(r"^f\d|forge|neo", re.IGNORECASE)),
)
_STABLE = "Stable Diffusion web UI"
_GROK_ARTIST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_JOB = re.compile(r"\bJob ID: [0-9a-f]{8}-")
_VERSION_OF_MIDJOURNEY = re.compile(r"--(v|niji) ?(\d[\d.]*)")
_IMAGE_PROMPT = re.compile(r"^\s*<?https?://")
_STRENGTH = re.compile(r'"strength":\s{0,3}(0?\.\d|0\b)|\bStrength: 0\.\d')
_MODEL_VALUE = re.compile(r'"(?:model|model_name|base_model|model_weights)":\s{0,3}"([^"]{1,200})"')


def read_parameters(text: str) -> Settings | None:
    """The settings in a text of parameters; None where it is of no known form.

    Those of the Stable Diffusion web UI and all that copied its form; of SwarmUI and Fooocus in JSON.
    """
    text = text[:SEARCHED]
    if '"sui_image_params"' in text:
        return _swarm(text)
    if '"mflux_version"' in text:
        return _mflux(text)
    if text.lstrip().startswith("{") and _FOOOCUS.search(text):
        return read_fooocus(text)
    if _STEPS.search(text):
        return _web_ui(text)
    if _UPSCALED.search(text):
        found = _UPSCALER.search(text)
        return settings("a1111", _STABLE, [found[1] or found[2]] if found else [], [EDIT])
    return None


def read_fooocus(text: str) -> Settings:
    """Fooocus's own form: JSON."""
    values = _object(text)
    model = values.get("base_model") or values.get("Base Model") or _first(_MODEL_VALUE, text)
    method = str(values.get("image_prompt") or values.get("uov_method") or values.get("inpaint_method") or "")
    flags = [EDIT] if method and method.lower() not in {"disabled", "false", "none", "[]"} else []
    return settings("fooocus", "Fooocus", [model or ""], flags)


def read_invoke(texts: Mapping[str, str]) -> Settings | None:
    """InvokeAI's settings by the keywords of a PNG's text chunks, which are in lower case."""
    keys = [key for key in ("invokeai_metadata", "sd-metadata", "invokeai_graph", "dream") if texts.get(key)]
    if not keys:
        return None
    text = texts[keys[0]][:SEARCHED]
    values = _object(text)
    model: Any = values.get("model") or values.get("model_weights")
    if isinstance(model, dict):
        model = model.get("name") or model.get("model_name")
    mode = str(values.get("generation_mode") or _inner(values, "image", "type"))
    made_of = bool(re.search(r"img2img|inpaint|outpaint|upscale", mode)) or '"init_image' in text
    made_of = made_of or (keys[0] == "dream" and bool(re.search(r"\s-I ?\S|--init_img", text)))
    named = model if isinstance(model, str) else _first(_MODEL_VALUE, text)
    return settings("invoke", "InvokeAI", [named], [EDIT] if made_of else [])


def read_novelai(texts: Mapping[str, str], software: str) -> Settings | None:
    """NovelAI's settings by a PNG's text chunks."""
    if "NovelAI" not in texts.get("software", "") + software:
        return None
    comment = texts.get("comment", "")[:SEARCHED]
    request = str(_object(comment).get("request_type", ""))
    made_of = '"image"' in comment or '"strength"' in comment or re.search("Img2Img|Infill|Inpaint", request)
    return settings("novelai", "NovelAI", [texts.get("source", "")], [EDIT] if made_of else [])


def read_draw_things(xmp: str) -> Settings | None:
    """The settings of Draw Things in an XMP packet."""
    xmp = xmp[:SEARCHED].replace("&quot;", '"')
    if not re.search("draw ?things", xmp, re.IGNORECASE) or "ampler" not in xmp:
        return None
    model = _first(_MODEL_VALUE, xmp) or _first(_CHECKPOINT, xmp)
    return settings("drawthings", "Draw Things", [model], [EDIT] if _STRENGTH.search(xmp) else [])


def read_midjourney(description: str, xmp: str) -> Settings | None:
    """Midjourney's settings, from the description that it writes and its XMP."""
    description = description[:SEARCHED]
    if not _JOB.search(description) and "Midjourney" not in xmp:
        return None
    found = _VERSION_OF_MIDJOURNEY.search(description)
    version = f" --{found[1]} {found[2].rstrip('.')}" if found else ""
    flags = [REFERENCE] if _IMAGE_PROMPT.match(description) else []
    return settings("midjourney", "Midjourney", [f"midjourney{version}"], flags)


def read_grok(description: str, artist: str) -> Settings | None:
    """The signature that Grok writes into EXIF."""
    if description.startswith("Signature:") and _GROK_ARTIST.fullmatch(artist.strip().lower()):
        return settings("grok", "Grok", ["xAI Grok"])
    return None


def _swarm(text: str) -> Settings:
    values = _object(text).get("sui_image_params")
    values = values if isinstance(values, dict) else {}
    model = values.get("model") or _first(_MODEL_VALUE, text)
    made_of = "initimage" in {str(key).lower().replace("_", "") for key in values} or '"initimage"' in text
    return settings("swarm", "SwarmUI", [model], [EDIT] if made_of else [])


def _mflux(text: str) -> Settings:
    values = _object(text)
    model = values.get("model") or values.get("base_model")
    inputs = (values.get("image_path"), values.get("image_paths"), values.get("masked_image_path"))
    guides = (values.get(f"{name}_image_path") for name in ("controlnet", "depth"))
    flags = [EDIT] if any(inputs) else [REFERENCE] if any(guides) or values.get("redux_image_paths") else []
    return settings("mflux", "mflux", [model], flags)


def _web_ui(text: str) -> Settings:
    """The form of the Stable Diffusion web UI; the prompt stands before it and may hold anything."""
    steps = [found.start() for found in _STEPS.finditer(text)]
    facts = text[steps[-1] :]
    model = _first(_CHECKPOINT, facts) or _first(_RESOURCE, text) or _first(_HASH, facts)
    version = _first(_VERSION, facts) or ("Fooocus" if "Fooocus" in facts else "")
    program = next((name for name, form in _FORKS if form.search(version)), _STABLE)
    flags = []
    if ("Denoising strength" in facts and not _TWO_PASSES.search(facts)) or _FROM_PICTURE.search(facts):
        flags.append(EDIT)
    elif _CONTROLLED.search(facts):
        flags.append(REFERENCE)
    return settings("fooocus" if program == "Fooocus" else "a1111", program, [model], flags)


def _object(text: str) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _inner(values: Mapping[str, Any], *keys: str) -> object:
    value: Any = values
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value or ""


def _first(form: re.Pattern[str], text: str) -> str:
    found = form.search(text)
    return found[1].strip() if found else ""
