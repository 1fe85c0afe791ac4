"""docs/reliability.md out of what `run.py` measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bombs import LARGEST
from targets import MEGABYTES, MOST_PIXELS, PATIENCE, SECONDS, TARGETS

Told = Mapping[str, Any]
FAULTS = Path(__file__).with_name("faults.md")
BUSY = 0.5  # processes that want a core before anything of ours runs

FOUND = (
    "A JPEG of a thousand scans over 50 megapixels, 0.3 MB, took minutes: scans times pixels are bounded "
    "(`bounds.check_scans`).",
    "A TIFF of eight million strips, 16 MB, took over 30 s: the numbers in its tables are counted before "
    "they are read (`bounds.check_tables`).",
    "Files of millions of pieces of no bytes took as long as those take to parse (a JPEG of 8 million "
    "segments 10.5 s, a PNG of 2.8 million chunks 7.3 s): a file is read in a million readings at the "
    "most (`bounds.Pieces`).",
    "Pillow's count of a TIFF's directories takes a time that grows with their square: they are counted "
    "here (`bounds.tiff_frames`).",
    "Transparent pictures took four times the memory of their pixels (50 megapixels of RGBA 1.1 GB, as WebP "
    "1.5 GB): they are converted band by band (0.4 and 0.8 GB).",
    "A BMP file that is packed in runs is unpacked by Python, 60 to 90 ns a pixel: over 40 megapixels it is "
    "refused.",
    "A model, sealed after it was edited, whose metadata are no UTF-8 gave a `UnicodeDecodeError`; a "
    "card of endless digits or brackets a `ValueError` or `RecursionError`; one that is no table a "
    "`TypeError`. Each is a `ModelError`.",
    "Manifests gave a `TypeError`, `UnicodeDecodeError` or `KeyError` where paths are numbers, no "
    "UTF-8, or in two columns; a tar file a `ValueError` or `MemoryError` of a member or a name of 2^60 "
    "bytes; a zip file a `NotImplementedError` of a later version, an `IndexError` of a member without "
    "a name. Damaged lists that `pixelkin scan` keeps gave an `OSError` of pyarrow, TOML of a thousand "
    "brackets a `RecursionError`. Each is a sentence.",
)

Teller = Callable[[Any], Iterator[str]]


def page(record: Told) -> str:
    """The whole page.

    Args:
        record: what ``reliability.json`` holds.
    """
    parts: dict[str, Teller] = {"machine": _machine, "targets": _targets, "bombs": _bombs}
    lines = [line for name, tell in parts.items() if name in record for line in tell(record[name])]
    faults = FAULTS.read_text("utf-8") if FAULTS.exists() else ""
    return "\n".join([*lines, *_found()]) + "\n" + (f"\n{faults}" if faults else "")


def _machine(machine: Told) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield "# Reliability"
    yield (
        "Made by `make fuzz` (`python fuzz/run.py`) from [reliability.json](reliability.json); do not edit. "
        f"{machine['date']}, {machine['cores']} cores, {versions}."
    )
    if machine["load"] > BUSY:
        yield (
            f"**{machine['load']:g} processes wanted a core when this was written**: rates are too low; "
            "times of the processor suffer less."
        )
    yield ""


def _targets(targets: Mapping[str, Told]) -> Iterator[str]:
    told = {name: targets[name] for name in TARGETS if name in targets}
    yield "## Fuzzing"
    yield (
        "Inputs are made of small files of every kind that is read, whole and spoiled by rule: cut "
        "after each part, under other kinds' first bytes, said to be huge, laden with EXIF, profiles "
        "and images in images, two kinds at once, animated. Parts of image files (chunks, segments, "
        "boxes, blocks, directory entries) are changed, repeated, moved, dropped and cut, and lengths "
        "and checksums made anew, so that what reads them sees the change. What guides the changes is "
        "coverage (atheris, libFuzzer) of Python code: Pixelkin's and Pillow's. The codecs "
        "are C, are not instrumented, and see changes blindly. Processes follow one another and share what "
        "was found to reach something new."
    )
    yield ""
    yield (
        "A finding is what raises anything but a `PixelkinError`, ends its process, takes over "
        f"{SECONDS} s of the processor or {PATIENCE} s of the clock, or lifts its process over "
        f"{MEGABYTES} MB. Pictures have {MOST_PIXELS // 10**6} megapixels at the most, as the service "
        "takes them."
    )
    yield ""
    heads = ("target", "inputs", "refused", "inputs/s", "slowest s", "memory MB", "features", "findings")
    yield from table(heads, [_target(name, of) for name, of in told.items()])
    yield (
        "*Refused*: the share that gave a `PixelkinError`; forms are answered, whatever they are. "
        "*Slowest*: of the processor, with coverage counted, which takes some three times as long as "
        "without. *Memory*: of a process before its first input, and at the most. *Features*: what "
        "libFuzzer tells inputs apart by."
    )
    yield ""
    yield from (f"- `{name}`: {TARGETS[name].about}" for name in told)
    yield from (f"- {_depth(of)}" for name, of in told.items() if name == "decode")
    for name, of in told.items():
        yield from (f"- **Open**, `{name}`, {file}: {what}" for file, what in of["findings"].items())
    yield ""


def _depth(of: Told) -> str:
    opened, unknown = (of["refused"].get(kind, 0) / of["inputs"] for kind in ("ImageError", "ImageKindError"))
    read = 1 - sum(of["refused"].values()) / of["inputs"]
    return (
        f"Of the files to decode {read:.0%} were read, {opened:.0%} opened and then found damaged or "
        f"asking too much, {unknown:.0%} not opened as any kind."
    )


def _target(name: str, of: Told) -> list[str]:
    refused = sum(of["refused"].values()) / max(1, of["inputs"])
    rate = of["inputs"] / of["seconds"] if of["seconds"] else 0.0
    return [
        f"`{name}`",
        f"{of['inputs']:,}",
        f"{refused:.0%}",
        f"{rate:.0f}",
        f"{of['slowest']:.2f}",
        f"{of['started']:.0f} to {of['peak']:.0f}",
        f"{of['features']:,}",
        str(len(of["findings"])),
    ]


def _bombs(weights: Sequence[Told]) -> Iterator[str]:
    yield "## Files made to be expensive"
    yield (
        "Each is decoded by a process of its own, which has 40 MB before; seconds are of the processor. "
        "What is refused is refused with the sentence in the last column."
    )
    yield ""
    yield from table(
        ("file", "MB", "seconds", "memory MB", "answer"),
        [
            [of["name"], f"{of['size'] / 1e6:.1f}", f"{of['seconds']:.2f}", f"{of['peak']:.0f}", of["answer"]]
            for of in weights
        ],
    )
    yield (
        f"All are decoded as the service decodes, of {MOST_PIXELS // 10**6} megapixels at the most, but "
        f"those of {LARGEST}: the most that the library takes where it is not told otherwise. **These "
        "take over 1 GB**: a picture of that size has 0.6 GB, and 0.8 GB inside of Pillow. `pixelkin "
        "scan` decodes in processes of 4 GB. No AVIF grid was made."
    )
    yield ""


def _found() -> Iterator[str]:
    yield "## Found and mended"
    yield "The files are in `tests/regressions`, where they are small, or made by `fuzz/bombs.py`."
    yield ""
    yield from (f"- {each}" for each in FOUND)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; all columns but the first are numbers."""
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    yield from (f"| {' | '.join(cells)} |" for cells in rows)
    yield ""
