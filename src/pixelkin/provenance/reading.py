"""From a file's bytes to `Evidence`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pixelkin.errors import ImageError
from pixelkin.images import carried, exif_values
from pixelkin.provenance.claims import MOST, Claim, Evidence, clean
from pixelkin.provenance.fields import PNG, iptc_fields, png_chunks, png_texts, xmp_fields
from pixelkin.provenance.manifest import read_manifest
from pixelkin.provenance.vocabulary import CHUNKS, GENERATED_SOURCES, PLAIN, source_in_words, writer_of

MAKE, MODEL, POSITION, COMMENT = 271, 272, 34853, 37510
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
XMP_KEYWORD = "XML:com.adobe.xmp"


def evidence(data: bytes) -> Evidence:
    """What a file says of its own origin; never raises, and nothing where it is no image.

    Cost is bounded: a megabyte an entry, 64 entries, no pixel decoded, no compressed entry unpacked
    beyond that, nothing fetched. Only a signed manifest looks at the whole file, up to 64 MB.

    Args:
        data: the whole file.
    """
    signed, hints = read_manifest(data)
    found = list(dict.fromkeys(_unsigned(data)))
    generators = [claim for claim in found if claim.generator]
    others = [claim for claim in found if not claim.generator]
    return Evidence(tuple([*signed, *generators, *others][:MOST]), tuple(hints))


def _unsigned(data: bytes) -> Iterator[Claim]:
    if data.startswith(PNG):
        yield from _png(data)
        return
    try:
        entries = carried(data)
    except ImageError:
        return
    yield from _exif(entries.get("exif", {}))
    yield from _xmp(entries.get("xmp", b""))
    yield from _iptc(entries.get("iptc", b""))
    if comment := entries.get("comment"):
        yield _plain("Comment", comment, "comment")


def _png(data: bytes) -> Iterator[Claim]:
    for key, text in png_texts(data):
        kind = key.strip().lower()
        if key == XMP_KEYWORD:
            yield from _xmp(text.encode())
        elif kind in CHUNKS:
            where = f"PNG text {clean(key, 40)}"
            yield Claim("Generator", writer_of(text, kind) or CHUNKS[kind], where, generator=True)
            yield Claim("Settings", clean(text), where, generator=True)
        else:
            yield _plain(PLAIN.get(kind, clean(key, 40) or "Text"), text, "PNG text")
    for chunk, body in png_chunks(data):
        if chunk == b"eXIf":
            try:
                yield from _exif(exif_values(body))
            except ImageError:
                return


def _exif(values: Mapping[int, Any]) -> Iterator[Claim]:
    make, model = (clean(values.get(tag, ""), 200) for tag in (MAKE, MODEL))
    # Many models begin with their maker's name already.
    camera = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    if camera.strip():
        yield _plain("Camera", camera, "EXIF")
    for tag, what in EXIF.items():
        value = values.get(tag, "")
        if tag == COMMENT and isinstance(value, bytes):
            value = _comment(value)
        if clean(value):
            yield _plain(what, value, "EXIF")
    if values.get(POSITION):
        yield Claim("Position", "there is one, which is not shown", "EXIF")


def _xmp(packet: bytes) -> Iterator[Claim]:
    for name, value in xmp_fields(packet):
        if name == "DigitalSourceType":
            code = clean(value, 200).rstrip("/").rsplit("/", 1)[-1]
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


def _comment(value: bytes) -> str:
    """EXIF's UserComment: eight bytes that name its characters, then these."""
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        wide = "utf-16-be" if text[:1] == b"\0" else "utf-16-le"
        return text.decode(wide, "replace")
    return (text if code.strip(b"\0") in {b"ASCII", b"JIS", b""} else value).decode("utf-8", "replace")
