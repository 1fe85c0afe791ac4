"""The command line. Commands only translate; the work is done by the library.

Each command imports what it needs, so that ``--help`` answers without loading torch or a runtime.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pixelkin import __version__
from pixelkin.cli import judging, measuring, scanning, serving, training
from pixelkin.cli.stopping import ends_at_once
from pixelkin.errors import PixelkinError

NOT_DONE = 2
UNHEARD = 141  # nobody reads what is told: as a shell says it of programs that SIGPIPE ends
COMMANDS = (  # in the order that --help lists them
    judging.detect,
    judging.explain,
    scanning.scan,
    training.train,
    measuring.evaluate,
    measuring.compare,
    measuring.benchmarks,
    training.export,
    training.detectors,
    judging.models,
    serving.serve,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
for command in COMMANDS:
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pixelkin {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Tell generated images from photographs by how neighbouring pixels are related."""


def main() -> None:
    """Entry point: what went wrong on purpose, or with a file, is a sentence and exit status 2."""
    try:
        with ends_at_once():
            app()
    except (PixelkinError, OSError) as error:
        typer.secho(f"error: {_words(error)}", fg="red", err=True)
        raise SystemExit(NOT_DONE) from error
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise SystemExit(UNHEARD) from ended
        raise


def _words(error: PixelkinError | OSError) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
