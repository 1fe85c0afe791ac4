"""ComfyUI's graphs: which model made the saved picture, and whether a picture went in.

A picture carries the whole graph that was executed, as do saved inputs and control maps. So the node that
saved the file is found by its file name, and what feeds that node is followed backwards: along pixels and
latents for what made the picture, along all links for what else took part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pixelkin.provenance.settings import (
    CLOSED,
    EDIT,
    MAYBE,
    NOT_MADE,
    REFERENCE,
    UNPARSED,
    WORKFLOW,
    Settings,
    settings,
)

MARK, PROGRAM = "comfy", "ComfyUI"
MOST_NODES = 2000
MOST_SAVES = 32  # saving nodes of a graph that are followed
SEARCHED = 200_000  # characters of a damaged or unexecuted graph

GENERATES = re.compile(
    r"sampler|vae_?decode|vq_?decode|face_?swap|supir|upscale.*model|detailer", re.IGNORECASE
)
SERVICES = re.compile(
    r"gemini|openai|gptimage|dall-?e|ideogram|recraft|kling|luma|bfl|flux\s?pro|flux.*(pro|max).*node|stabilitystable"
    r"|runway|midjourney|imagen(?!o)|seedream|seededit|grok|nano_?banana|API(?-i:(?![a-z]))",
    re.IGNORECASE,
)
LOADS = re.compile(r"load.?image|image.?load|load.?video|vhs_load", re.IGNORECASE)
ENCODES = re.compile(
    r"vae_?encode|inpaint|reference_?latent|image_?edit|edit.*plus|kontext|reactor|face_?swap", re.IGNORECASE
)
SAVES = re.compile(r"save.*image|image.*sav|video_?combine|save.*(webp|png)|output_?save", re.IGNORECASE)
PREVIEWS = re.compile(r"preview", re.IGNORECASE)
# Inputs that carry pixels or latents; not conditions, models or masks.
CARRIES = re.compile(
    r"$|.*image|stitch|pixels|samples|latent|source|destination|upscaled|frames|video|input|any|value|output"
    r"|ctx|base_ctx|on_",
    re.IGNORECASE,
)
# Inputs that never carry them, for nodes of which no input has a usual name.
OTHERS = re.compile(
    r"mask|cond|model|clip|vae|positive|negative|control|text|prompt|string|lora|sigmas|noise|guider",
    re.IGNORECASE,
)
LATENTS = re.compile(r"latent|optional_latent")
SAMPLES = re.compile(r"sampler", re.IGNORECASE)
CONTROLS = re.compile(r"control", re.IGNORECASE)
MODEL_INPUTS = frozenset({"ckpt_name", "unet_name", "base_ckpt_name", "gguf_name", "swap_model"})
LOADER_INPUTS = frozenset({"model_name", "model_path", "model"})
WEIGHTS = re.compile(r"\.(safetensors|ckpt|gguf|sft|pth?|onnx)$|/", re.IGNORECASE)
FILES = re.compile(r'"([^"\n]{1,200}\.(?:safetensors|ckpt|gguf|sft))"')
NO_GENERATOR = re.compile(  # weights that generate nothing by themselves
    r"upscale|control_?net|depth|yolo|\bsam_|birefnet|clip_?vision|ip-?adapter|(?<![a-z])vae|clip_[lgh]|t5xxl|umt5|text_?enc|(?<![a-z])lora"
    r"|llava|ae\.safetensors|kl-f8|taesd",
    re.IGNORECASE,
)
Nodes = Mapping[str, Mapping[str, Any]]


def read_graph(text: str, name: str = "") -> Settings:
    """The settings in a graph as ComfyUI executed it.

    Args:
        text: JSON, nodes by number; each with its ``class_type`` and ``inputs``.
        name: path of the picture, by which its saving node is told from others.
    """
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError):
        return settings(MARK, PROGRAM, _file_names(text), [UNPARSED])
    nodes = _nodes(graph)
    if not nodes:
        return settings(MARK, PROGRAM, _file_names(text), [UNPARSED])
    saves = _saving_nodes(nodes, name)
    feeding = {node for save in saves for node in _upstream(nodes, save, _links)}
    flags = _flags(nodes, saves)
    models = _models(nodes, feeding) or _models(nodes, nodes)
    if not models and (services := _services(nodes, feeding) or _services(nodes, nodes)):
        models, flags = services, flags | {CLOSED}
    return settings(MARK, PROGRAM, models, flags)


def read_workflow(text: str) -> Settings:
    """The settings in an editor's graph without an executed one beside it."""
    return settings(MARK, PROGRAM, _file_names(text), [WORKFLOW])


def _nodes(graph: object) -> Nodes:
    """The nodes of a graph, or of the one that a comment holds as its ``prompt``."""
    if not isinstance(graph, dict):
        return {}
    inner = graph.get("prompt")
    numbered: dict[str, Any] = inner if isinstance(inner, dict) else graph
    found = {}
    for key, node in list(numbered.items())[:MOST_NODES]:
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            inputs = node.get("inputs")
            found[str(key)] = {
                "type": node["class_type"],
                "inputs": inputs if isinstance(inputs, dict) else {},
            }
    return found


def _saving_nodes(nodes: Nodes, name: str) -> list[str]:
    """The nodes that saved the picture, or may have."""
    linked = [key for key in nodes if _links(nodes, key)]
    saves = [key for key in linked if SAVES.search(_type(nodes, key))]
    saves = saves or [key for key in linked if PREVIEWS.search(_type(nodes, key))] or list(nodes)
    file = name.rsplit("/", 1)[-1].lower()
    named = [key for key in saves if _prefix(nodes, key) and file.startswith(_prefix(nodes, key))]
    return (named or saves)[:MOST_SAVES]


def _prefix(nodes: Nodes, key: str) -> str:
    """The beginning of the names of files that a node saves; empty where it depends on more."""
    prefix = str(nodes[key]["inputs"].get("filename_prefix", "")).replace("\\", "/")
    prefix = prefix.rsplit("/", 1)[-1].lower()
    return "" if "%" in prefix else prefix


def _flags(nodes: Nodes, saves: list[str]) -> frozenset[str]:
    flags = set()
    made = 0
    for save in saves:
        everything = _upstream(nodes, save, _links)
        pixels = _upstream(nodes, save, _pixel_links)
        made += any(_generates(_type(nodes, key)) for key in pixels)
        loaded = {key for key in everything if LOADS.search(_type(nodes, key))}
        if loaded & pixels or (loaded and any(ENCODES.search(_type(nodes, key)) for key in everything)):
            flags.add(EDIT)
        elif loaded:
            flags.add(REFERENCE)
    if EDIT in flags:
        flags.discard(REFERENCE)
    if made < len(saves):
        flags.add(MAYBE if made else NOT_MADE)
    return frozenset(flags)


def _generates(kind: str) -> bool:
    return bool(GENERATES.search(kind) or SERVICES.search(kind))


def _pixel_links(nodes: Nodes, key: str) -> list[tuple[str, str]]:
    """The inputs that bring in the pixels or latents that a node works on."""
    kind, links = _type(nodes, key), _links(nodes, key)
    if SAMPLES.search(kind):
        return [(name, other) for name, other in links if LATENTS.match(name)]
    if CONTROLS.search(kind):
        return []
    usual = [(name, other) for name, other in links if CARRIES.match(name)]
    return usual or [(name, other) for name, other in links if not OTHERS.search(name)]


def _upstream(nodes: Nodes, start: str, follow: Callable[[Nodes, str], list[tuple[str, str]]]) -> set[str]:
    """A node and all that feed it along the inputs that ``follow`` gives."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting += [other for _, other in follow(nodes, key)]
    return seen


def _links(nodes: Nodes, key: str) -> list[tuple[str, str]]:
    """The inputs of a node that come from other nodes, and which."""
    return [
        (str(name), str(value[0]))
        for name, value in nodes[key]["inputs"].items()
        if isinstance(value, list) and len(value) == 2 and str(value[0]) in nodes
    ]


def _models(nodes: Nodes, keys: Iterable[str]) -> list[str]:
    """Names of checkpoints that nodes load."""
    found = []
    for key in keys:
        kind = _type(nodes, key)
        for name, value in nodes[key]["inputs"].items():
            named = name in MODEL_INPUTS or name.startswith("ckpt_")
            named = named or (name in LOADER_INPUTS and "loader" in kind.lower())
            if (
                named
                and isinstance(value, str)
                and WEIGHTS.search(value)
                and not NO_GENERATOR.search(value + kind)
            ):
                found.append(value.replace("\\", "/").rsplit("/", 1)[-1])
    return sorted(found)


def _services(nodes: Nodes, keys: Iterable[str]) -> list[str]:
    """Names of services that nodes ask."""
    found = []
    for key in keys:
        kind, inputs = _type(nodes, key), nodes[key]["inputs"]
        if SERVICES.search(kind):
            values = [inputs.get(name) for name in ("model_name", "model")]
            found.append(next((value for value in values if isinstance(value, str) and value), kind))
    return sorted(found)


def _file_names(text: str) -> list[str]:
    names = FILES.findall(text[:SEARCHED].replace("\\\\", "/"))
    return sorted({name for name in names if not NO_GENERATOR.search(name)})


def _type(nodes: Nodes, key: str) -> str:
    return str(nodes[key]["type"])
