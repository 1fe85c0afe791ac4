"""The command that judges whole collections."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pixelkin.caution import CAUTION
from pixelkin.cli.judging import OK, SOME_UNREADABLE
from pixelkin.cli.stopping import ends_at_once

GIBIBYTE = 1024**3


class Engine(StrEnum):
    """What a scan runs on."""

    LOCAL = "local"
    RAY = "ray"


def scan(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder, .tar, .zip, list (.txt, or - for standard input), manifest (.csv or .parquet with "
            "a column path), a pattern of these, or a URL of one."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the rows, part-*.parquet, and to resume from.")],
    engine: Annotated[
        Engine, typer.Option(help="Processes of this machine, or a Ray cluster.")
    ] = Engine.LOCAL,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Images decoded and scored at once; with ray, actors. 0 for all there is."),
    ] = 0,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or an .onnx file.")] = "",
    part: Annotated[int, typer.Option(min=1, help="Images of one file of rows, of a new scan.")] = 1000,
    seconds: Annotated[float, typer.Option(min=0.1, help="That decoding one image may take.")] = 60,
    memory: Annotated[float, typer.Option(min=1, help="GiB that decoding one image may take.")] = 4,
    cpus: Annotated[int, typer.Option(min=1, help="Of each actor, with ray.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="Of each actor, with ray; 0 to score on the CPU.")] = 0,
) -> None:
    """Judge a whole collection into Parquet files.

    Stopped at any point, the same command goes on where it stopped. An image that cannot be read is a row
    with its error.

    Exit status: 0 if every image was read, 1 if some were not, 2 if it could not be done, 130 if stopped.
    """
    from pixelkin import show
    from pixelkin.isolation import Limits
    from pixelkin.models import DEFAULT
    from pixelkin.scan.cluster import Resources
    from pixelkin.scan.parts import UNREADABLE
    from pixelkin.scan.run import How
    from pixelkin.scan.run import scan as run

    how = How(
        engine=engine.value,
        workers=workers,
        limits=Limits(seconds, round(memory * GIBIBYTE)),
        resources=Resources(cpus=cpus, gpus=gpus),
    )
    to_go_on = f"what is in {out} is kept, and the same command goes on from there"
    with ends_at_once(to_go_on), show.scanning() as (on_begin, on_counts):
        counts = run(
            source, out, model=model or DEFAULT, part=part, how=how, on_begin=on_begin, on_counts=on_counts
        )
    typer.echo(f"{show.counts_in_words(counts)}: {out / 'part-*.parquet'}")
    typer.echo(CAUTION, err=True)
    raise typer.Exit(SOME_UNREADABLE if counts[UNREADABLE] else OK)
