"""docs/performance.md out of what `performance.py` measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]
LABELS = {
    "--help": "`pixelkin --help`",
    "one": "`pixelkin detect one.jpg`, 1024 x 1024",
    "large": "`pixelkin detect large.jpg`, 24 megapixels",
}
BUSY = 0.5  # processes that want a core before anything of ours runs


def page(record: Record, scan: Record | None = None) -> str:
    """The whole page.

    Args:
        record: what ``performance.json`` holds.
        scan: what the benchmark of `pixelkin scan` measured: a list ``rows`` of tables' rows by column.
    """
    told: dict[str, Callable[[Any], Iterator[str]]] = {
        "machine": _machine,
        "programs": _programs,
        "inside": _inside,
        "engines": _engines,
        "eight_bits": _eight_bits,
        "training": _training,
        "scan": _scan,
    }
    record = {**record, "scan": scan} if scan else record
    return (
        "\n".join(line for name, tell in told.items() if name in record for line in tell(record[name])) + "\n"
    )


def table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; all columns but the first are numbers."""
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    yield from (f"| {' | '.join(cells)} |" for cells in rows)
    yield ""


def _machine(machine: Record) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield "# Speed"
    yield (
        "Made by `python benchmarks/performance.py` from [performance.json](performance.json); "
        "do not edit. What is "
        "compared takes turns in one run; figures are medians over rounds, ratios medians of the rounds' own."
    )
    yield ""
    yield (
        f"{machine['date']}, {machine['cores']} cores of {machine['processor']} (family/model "
        f"{machine['family']}; "
        f"{', '.join(machine['sets']) or 'no vector sets known'}), Python {machine['python']}, {versions}."
    )
    if machine["load"] > BUSY:
        yield (
            f"**Provisional: {machine['load']} other processes wanted a core when this began**, "
            "so that rates are "
            "too low and times too long; ratios suffer less."
        )
    yield ""


def _programs(programs: Mapping[str, list[Record]]) -> Iterator[str]:
    def row(name: str) -> list[str]:
        runs = programs[name]
        times, cpu, peak = ([run[key] for run in runs] for key in ("seconds", "cpu", "peak"))
        wall = [f"{value:.2f}" for value in np.percentile(times, [50, 95])]
        return [LABELS[name], *wall, f"{statistics.median(cpu):.2f}", f"{max(peak):.0f}"]

    yield "## One image"
    yield "From start to exit of the program, imports included:"
    yield ""
    yield from table(("command", "p50 s", "p95 s", "core seconds", "peak MB"), [row(name) for name in LABELS])


def _inside(inside: Record) -> Iterator[str]:
    of = {
        "pillow": "Pillow's decoding",
        "decode": "`images.decode`",
        "verdict": "a verdict, decoding included",
    }
    yield "Inside a running process, from the bytes of the 1024 x 1024 JPEG, milliseconds:"
    yield ""
    yield from table(
        ("what", "p50", "p95"),
        [[label, *(f"{v:.1f}" for v in np.percentile(inside[name], [50, 95]))] for name, label in of.items()],
    )
    yield f"A verdict takes {inside['ratio']:.1f} times as long as Pillow's decoding of the file."
    yield ""


def _engines(engines: Record) -> Iterator[str]:
    ceilings = {int(threads): value for threads, value in engines["ceiling"].items()}
    told = ", ".join(f"{value:.0f} GFLOP/s on {threads}" for threads, value in ceilings.items())
    yield "## Engines"
    yield (
        "Tiles of 128 x 128 a second, uint8 pixels in, logits out, random weights. *Of the "
        "ceiling* is what 32-bit "
        "arithmetic of that rate is of the most that large matrix products reached in this run: "
        f"{told} (threads)."
    )
    for name, network in engines["networks"].items():
        gigaflop = network["operations"]
        yield ""
        yield f"**{name}**, {gigaflop:.3f} GFLOP a tile (two a multiply-accumulate):"
        yield ""
        heads = ("engine", "batch", "threads", "tiles/s", "least to greatest", "of eager", "of the ceiling")
        yield from table(
            heads, [_engine(row, gigaflop / ceilings[row["threads"]]) for row in network["rows"]]
        )
    yield (
        "For NPR the graph has standardisation, relation and stem as one 4 x 4 convolution, "
        "equal to the network "
        "at every size and edge (`tests/test_folding.py`); what is left is convolutions near the "
        "ceiling, so that "
        "32-bit numbers cannot be much faster than this, whatever runs them. What eager PyTorch "
        "loses beside is "
        "memory: activations mapped anew, batch norms and copies. 8 bits pass the ceiling, which "
        "is of 32-bit sums."
    )
    yield ""
    yield (
        "OpenVINO 2026.4 was tried once, 2026-11-25, one thread, batch 8, core milliseconds a "
        "tile of NPR beside "
        "ONNX Runtime's: 11.5 beside 11.1 in 32 bits, 3.1 beside 3.3 in 8, and 5.7 in bfloat16, which ONNX "
        "Runtime does not have here. Another dependency for a tenth is not worth it: it is no "
        "engine of Pixelkin. "
        "Where it is installed this benchmark has its rows."
    )
    yield ""


def _engine(row: Record, share: float) -> list[str]:
    rates = (f"{row['rate']:.1f}", f"{row['least']:.1f} to {row['greatest']:.1f}", f"{row['ratio']:.2f}")
    bits = "8 bits" in row["engine"] or "bf16" in row["engine"]
    part = "-" if bits else f"{100 * row['rate'] * share:.0f} %"
    return [row["engine"], str(row["batch"]), str(row["threads"]), *rates, part]


def _eight_bits(costs: Sequence[Record]) -> Iterator[str]:
    yield "## What 8 bits cost"
    yield (
        f"On {costs[0]['pictures']} images of `wild-dev`, which no model has seen; scales found "
        "on photographs of "
        "`train` (`eight_bits = true` in the card that `pixelkin export --card` takes, which "
        "fits thresholds anew)."
    )
    yield ""
    yield from table(
        ("model", "AUC, 32 bits", "AUC, 8 bits", "logits apart on average", "their deviation"),
        [
            [
                cost["model"],
                f"{100 * cost['plain']:.1f}",
                f"{100 * cost['small']:.1f}",
                f"{cost['apart']:.2f}",
                f"{cost['deviation']:.2f}",
            ]
            for cost in costs
        ],
    )
    yield (
        "The first five convolutions keep 32 bits, for which most of the error was theirs: all "
        "of kin-1 in 8 bits "
        "put logits 0.23 apart where these five in 32 bits left 0.05 (112 images, 2026-11-25), at 1.0 "
        "milliseconds of a core a tile beside 1.2, and 1.8 for all in 32 bits."
    )
    yield ""


def _training(training: Record) -> Iterator[str]:
    of, rates = training["of"], training["rates"]
    yield "## Training"
    yield f"Steps of NPR, crops of {of['crop']} px, batches of {of['batch']}, float32, images a second:"
    yield ""
    yield from table(
        ("way", "images/s", "least to greatest", "of plain"),
        [
            [
                way,
                f"{statistics.median(seen):.1f}",
                f"{min(seen):.1f} to {max(seen):.1f}",
                f"{statistics.median(r / p for r, p in zip(seen, rates['plain'], strict=True)):.2f}",
            ]
            for way, seen in rates.items()
        ],
    )
    yield (
        "The last is what `pixelkin train` does. A step takes three times the operations of a "
        "forward pass, and "
        "three quarters of a plain one are convolutions already: twice the plain rate, once the "
        "target, is not "
        "to be had in exact float32. `torch.compile` (`compile = true`) gained as much after a minute of "
        "compiling; transparent huge pages made it slower."
    )
    yield ""


def _scan(scan: Record) -> Iterator[str]:
    yield "## Many images"
    yield scan["about"]
    for rows in (scan["rows"], scan["memory"]):
        if rows:
            yield ""
            yield from table(list(rows[0]), [list(row.values()) for row in rows])
