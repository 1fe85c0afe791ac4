"""Commands that judge pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pixelkin.caution import CAUTION
from pixelkin.errors import ConfigError, DataError

OK, SOME_UNREADABLE = 0, 1


def detect(
    paths: Annotated[list[str], typer.Argument(help="Image files, folders, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, with a header.")] = False,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or an .onnx file.")] = "",
    heatmap: Annotated[
        Path | None, typer.Option(help="Folder for pictures of where each verdict comes from.")
    ] = None,
) -> None:
    """Say of each image whether it was generated.

    Exit status: 0 if every image was read, 1 if some were not, 2 if the command itself was wrong.
    """
    from pixelkin import show
    from pixelkin.explain import save_heatmap
    from pixelkin.model import load
    from pixelkin.models import DEFAULT
    from pixelkin.scoring import judge

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other")
    write = show.json_line if as_json else show.csv_line if as_csv else show.line
    files = list(_files(paths))
    judging = load(model or DEFAULT)
    if as_csv:
        typer.echo(show.csv_header())
    all_read = True
    for judged in judge(judging, files):
        typer.echo(write(judged, judging))
        if judged.prediction is None:
            all_read = False
        elif judged.prediction.frames > 1:
            typer.echo(f"{judged.path}: its first frame of {judged.prediction.frames} was judged", err=True)
        if heatmap and judged.prediction and judged.picture:
            save_heatmap(heatmap, judged.path, judged.picture, judged.prediction)
    if not (as_json or as_csv):
        typer.echo(CAUTION, err=True)
    raise typer.Exit(OK if all_read else SOME_UNREADABLE)


def explain(
    image: Annotated[str, typer.Argument(help="An image file, or - for standard input.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .png or .html file to write.")],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or an .onnx file.")] = "",
) -> None:
    """Show why: maps over the picture, the tiles that decided, and what the file says of itself."""
    from pixelkin import report
    from pixelkin.images import contents, decode
    from pixelkin.model import load
    from pixelkin.models import DEFAULT

    report.check_place(out)
    judging = load(model or DEFAULT)
    data, name = (
        (sys.stdin.buffer.read(), "standard input") if image == "-" else (contents(Path(image)), image)
    )
    explained = report.explain(judging, decode(data, name), data, Path(name).name)
    report.save(explained, out)
    said = explained.prediction
    typer.echo(f"{out}: {said.verdict}, {said.probability:.0%}")
    typer.echo(CAUTION, err=True)


def models() -> None:
    """The models that come with Pixelkin."""
    from pixelkin.model import load
    from pixelkin.models import DEFAULT, SHIPPED

    for name in SHIPPED:
        card = load(name).card
        typer.echo(
            f"{name}{' (default)' * (name == DEFAULT)}: {card.system}, {card.trained_on}; {card.licence}"
        )


def _files(paths: list[str]) -> Iterator[Path | bytes]:
    """The files that ``paths`` name, folders searched; a path that does not exist stays, to be a row."""
    from pixelkin.data import SUFFIXES, find_images

    for path in paths:
        if path == "-":
            yield sys.stdin.buffer.read()
        elif Path(path).is_dir():
            found = find_images(Path(path))
            if not found:
                raise DataError(f"{path}: a folder without images ({' '.join(sorted(SUFFIXES))})")
            yield from found
        else:
            yield Path(path)
