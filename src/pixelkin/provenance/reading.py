"""From a file's bytes to `Evidence`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pixelkin.provenance.carried import COMMENT, Carried, read_carried, user_comment
from pixelkin.provenance.claims import MOST, Claim, Evidence, clean
from pixelkin.provenance.declared import by_settings
from pixelkin.provenance.fields import iptc_fields, xmp_fields
from pixelkin.provenance.manifest import read_manifest
from pixelkin.provenance.settings import EDIT, REFERENCE, Settings
from pixelkin.provenance.vocabulary import (
    CHUNKS,
    GENERATED_SOURCES,
    PLAIN,
    source_code,
    source_in_words,
    writer_of,
)

MAKE, MODEL, POSITION = 271, 272, 34853
GRAPHS = frozenset({"PNG text prompt", "PNG text workflow"})
EXIF = {  # numbers of tags, what they say
    305: "Software",
    270: "Description",
    315: "Author",
    33432: "Copyright",
    36867: "Taken",
    306: "Changed",
    42036: "Lens",
    COMMENT: "Comment",
}
XMP = {
    "CreatorTool": "Software",
    "Credit": "Credit",
    "creator": "Author",
    "description": "Description",
    "AISystemUsed": "Generator",
    "AISystemVersionUsed": "Generator version",
    "AIPromptInformation": "Prompt",
    "AIGC": "Generator label",
    "provenance": "Content Credentials",
}
SAYS_GENERATED = {"AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIGC"}


def evidence(data: bytes) -> Evidence:
    """What a file says of its own origin; never raises, and nothing where it is no image.

    Cost is bounded: a megabyte an entry, 64 entries, no pixel decoded, no compressed entry unpacked
    beyond that, nothing fetched. Only a signed manifest looks at the whole file, up to 64 MB.

    Args:
        data: the whole file.
    """
    signed, hints = read_manifest(data)
    carried = read_carried(data)
    written = list(by_settings(carried))
    found = list(dict.fromkeys([*_unsigned(carried), *_of_settings(written)]))
    if any(not each.generates for each in written):
        found = [_not_generated(claim) for claim in found]
    generators = [claim for claim in found if claim.generator]
    others = [claim for claim in found if not claim.generator]
    return Evidence(tuple([*signed, *generators, *others][:MOST]), tuple(hints))


def _unsigned(carried: Carried) -> Iterator[Claim]:
    for key, text in carried.texts:
        yield from _png_text(key, text)
    yield from _exif(carried.exif)
    yield from _xmp(carried.xmp)
    yield from _iptc(carried.iptc)
    if carried.comment:
        yield _plain("Comment", carried.comment, "comment")


def _png_text(key: str, text: str) -> Iterator[Claim]:
    kind = key.strip().lower()
    if kind in CHUNKS:
        where = f"PNG text {clean(key, 40)}"
        yield Claim("Generator", writer_of(text, kind) or CHUNKS[kind], where, generator=True)
        yield Claim("Settings", clean(text), where, generator=True)
    else:
        yield _plain(PLAIN.get(kind, clean(key, 40) or "Text"), text, "PNG text")


def _of_settings(written: Iterable[Settings]) -> Iterator[Claim]:
    """The model that settings name, and whether a picture went in."""
    for each in written:
        where = f"settings of {each.program}"
        if each.models:
            yield Claim("Checkpoint", clean(", ".join(each.models)), where, each.generates)
        if EDIT in each.flags:
            yield Claim(
                "Input",
                "a picture was an input: edited, upscaled or generated from it",
                where,
                each.generates,
            )
        elif REFERENCE in each.flags:
            yield Claim("Input", "a picture was an input, as a guide only", where, each.generates)
        if not each.generates:
            yield Claim("Generator", f"{each.program} saved the picture; no step before generates one", where)


def _not_generated(claim: Claim) -> Claim:
    """A claim that stems from a graph which generates nothing."""
    return replace(claim, generator=False) if claim.where in GRAPHS or "ComfyUI" in claim.value else claim


def _exif(values: Mapping[int, Any]) -> Iterator[Claim]:
    make, model = (clean(values.get(tag, ""), 200) for tag in (MAKE, MODEL))
    # Many models begin with their maker's name already.
    camera = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    if camera.strip():
        yield _plain("Camera", camera, "EXIF")
    for tag, what in EXIF.items():
        value = values.get(tag, "")
        if tag == COMMENT and isinstance(value, bytes):
            value = user_comment(value)
        if clean(value):
            yield _plain(what, value, "EXIF")
    if values.get(POSITION):
        yield Claim("Position", "there is one, which is not shown", "EXIF")


def _xmp(packet: bytes) -> Iterator[Claim]:
    for name, value in xmp_fields(packet):
        if name == "DigitalSourceType":
            code = source_code(clean(value, 200))
            yield Claim("Source type", source_in_words(code), "XMP", code in GENERATED_SOURCES)
        elif name == "provenance":
            yield Claim(XMP[name], clean(f"lie elsewhere and were not fetched: {value}"), "XMP")
        elif name in SAYS_GENERATED:
            yield Claim(XMP[name], clean(value), "XMP", generator=True)
        else:
            yield _plain(XMP[name], value, "XMP")


def _iptc(block: bytes) -> Iterator[Claim]:
    for what, value in iptc_fields(block):
        yield _plain(what, value, "IPTC")


def _plain(what: str, value: object, where: str) -> Claim:
    """A field of free text, which may be a generator's."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if not (writer := writer_of(text, what)):
        return Claim(what, clean(text), where)
    told = text if writer.lower() in text.lower() else f"{writer}: {text}"
    return Claim("Generator" if what in {"Software", "Program", "Camera"} else what, clean(told), where, True)
