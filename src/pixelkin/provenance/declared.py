"""Who says that they made a picture: every generator's settings and mark that a file carries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pixelkin.provenance import programs
from pixelkin.provenance.carried import COMMENT, Carried, read_carried
from pixelkin.provenance.credentials import read_credentials
from pixelkin.provenance.fields import xmp_fields
from pixelkin.provenance.graphs import read_graph, read_workflow
from pixelkin.provenance.settings import Settings, settings
from pixelkin.provenance.vocabulary import source_code

MAKE, MODEL, DESCRIPTION, SOFTWARE, ARTIST = 271, 272, 270, 305, 315
GRAPH_TAGS = (MAKE, MODEL, DESCRIPTION)  # in which save nodes for WebP and JPEG keep their graphs
GOOGLE = "Made with Google AI"
_PRODUCER = re.compile(r"ContentProducer\W{1,12}([\w.-]{1,80})")
LABELS = ("AIGC", "ContentProducer")
SEARCHED = 100_000  # characters of a text


def declared(data: bytes, name: str = "", carried: Carried | None = None) -> list[Settings]:
    """Statements of a file's generators, settings before marks; empty where none says anything.

    Nothing is verified: anybody can write such settings, or take them from another file.

    Args:
        data: the whole file.
        name: its path, by which the saving node of a graph is told from others.
        carried: what it carries beside its pixels, where that was read already.
    """
    carried = read_carried(data) if carried is None else carried
    return [*by_settings(carried, name), *_by_marks(data, carried)]


def by_settings(carried: Carried, name: str = "") -> Iterator[Settings]:
    """The settings that programs wrote, each program once."""
    seen = set()
    for found in _programs(carried, name):
        if found is not None and found.mark not in seen:
            seen.add(found.mark)
            yield found


def _programs(carried: Carried, name: str) -> Iterator[Settings | None]:
    texts = {key.strip().lower(): text for key, text in reversed(carried.texts)}
    comments = (carried.value(COMMENT), carried.comment.decode("utf-8", "replace"))
    yield _graph(carried, comments, name)
    for text in (*(texts.get(key, "") for key in ("parameters", "postprocessing", "extras")), *comments):
        yield programs.read_parameters(text)
    if "fooocus_scheme" in texts:
        yield programs.read_fooocus(texts.get("parameters", ""))
    yield programs.read_invoke(texts)
    yield programs.read_novelai(texts, carried.value(SOFTWARE))
    xmp = carried.xmp.decode("utf-8", "replace")
    yield programs.read_draw_things(xmp)
    description = carried.value(DESCRIPTION)
    yield programs.read_midjourney(texts.get("description", "") or description, xmp)
    yield programs.read_grok(description, carried.value(ARTIST))


def _graph(carried: Carried, comments: tuple[str, ...], name: str) -> Settings | None:
    """A ComfyUI graph, wherever its save node has put it."""
    tags = [carried.value(tag) for tag in GRAPH_TAGS]
    prompts = [carried.text("prompt"), *(_after(text, "prompt:") for text in tags), *comments]
    for text in prompts:
        if '"class_type"' in text:
            return read_graph(text, name)
    workflows = [carried.text("workflow"), *(_after(text, "workflow:") for text in tags)]
    return next((read_workflow(text) for text in workflows if '"nodes"' in text), None)


def _after(text: str, prefix: str) -> str:
    return text[len(prefix) :] if text.lower().startswith(prefix) else ""


def _by_marks(data: bytes, carried: Carried) -> Iterator[Settings]:
    """Marks of provenance: Content Credentials, source types, labels."""
    credentials = read_credentials(data)
    if credentials:
        yield credentials
    fields = dict(xmp_fields(carried.xmp))
    code = source_code(fields.get("DigitalSourceType", ""))
    made_by = [GOOGLE] if GOOGLE.encode() in carried.xmp + carried.iptc else []
    if not (credentials and credentials.mark == "c2pa-ai"):
        if code == "trainedAlgorithmicMedia":
            yield settings("iptc-ai", "source type", made_by)
        elif code.endswith("rainedAlgorithmicMedia"):
            yield settings("composite-ai", "source type", made_by)
    yield from _labels(carried, fields.get("AIGC", ""))


def _labels(carried: Carried, field: str) -> Iterator[Settings]:
    """China's label of generated content (TC260), in any of its places."""
    places = (field, carried.text("aigc"), carried.value(COMMENT), carried.comment.decode("utf-8", "replace"))
    xmp = carried.xmp.decode("utf-8", "replace")
    for text in (*places, xmp):
        text = text[:SEARCHED]
        if "ContentProducer" in text:
            found = _PRODUCER.search(text)
            yield settings("aigc-label", "AIGC label", [found[1]] if found else [])
            return
