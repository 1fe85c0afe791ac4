"""Commands that measure detectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelkin.cli.options import AllowRandom, Cache, WeightsDir, laboratory
from pixelkin.cli.stopping import ends_at_once
from pixelkin.errors import ConfigError

if TYPE_CHECKING:
    from pixelkin.measure import Subject

OfCheckpoint = Annotated[
    list[str] | None, typer.Option("--set", help="key=value of its recipe, as options.size=128.")
]
Degrade = Annotated[
    str,
    typer.Option(
        help="What images go through first, as in resize:0.75,jpeg:80 (jpeg webp resize fit square blur "
        "noise crop screenshot)."
    ),
]
Subjects = dict[str, tuple["Subject", dict[str, Any]]]  # what is measured, by name, with what a sweep set


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder for the report, and for the scores to resume from.")],
    data: Annotated[Path | None, typer.Option(help="Folder of labelled images, or of a benchmark's.")] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or an .onnx file.")] = "",
    run: Annotated[Path | None, typer.Option(help="Folder of a training run or sweep.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="An official .pth file of --detector.")] = None,
    detector: Annotated[str, typer.Option(help="System that --checkpoint is of.")] = "npr",
    settings: OfCheckpoint = None,
    scores: Annotated[Path | None, typer.Option(help="Scores kept before: report them, no model.")] = None,
    benchmark: Annotated[str, typer.Option(help="A published evaluation; see `pixelkin benchmarks`.")] = "",
    robustness: Annotated[bool, typer.Option("--robustness", help="Under 33 degradations, too.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Tell what the files alone give away.")] = False,
    degrade: Degrade = "",
    limit: Annotated[int, typer.Option(min=0, help="Images of each label of each source; 0 for all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode images; 0 for this one.")] = 1,
    weights_dir: WeightsDir = None,
    allow_random: AllowRandom = False,
    cache: Cache = None,
) -> None:
    """Check a labelled set, score it, and report each source's figures with intervals.

    Stopped at any point, the same command goes on where it stopped.
    """
    from pixelkin import show, tables
    from pixelkin.degrade import parse
    from pixelkin.measure import Measuring, gather, stages

    if sum(map(bool, (model, run, checkpoint, scores))) > 1:
        raise ConfigError("--model, --run, --checkpoint and --scores exclude each other")
    if scores is not None:
        if any((data, benchmark, robustness, audit, degrade, limit)):
            raise ConfigError("--scores are reported as they are: only --out and --seed go with them")
        _report_again(scores, out, seed)
        return
    if data is None:
        raise ConfigError("--data is needed: a folder of labelled images")
    parse(degrade)  # before the images are read
    external = {"folder": weights_dir, "allow_random": allow_random, "cache": cache}
    of_checkpoint = {"detector": detector, "settings": settings}
    subjects = _subjects(model, run, checkpoint, of_checkpoint, external, whole=bool(benchmark))
    cells = []
    to_go_on = "what is scored is kept, and the same command goes on from there"
    with ends_at_once(to_go_on), show.measuring() as told:
        images = gather(data, benchmark, limit=limit, workers=workers, **told)
        out.mkdir(parents=True, exist_ok=True)
        for name, (subject, values) in subjects.items():
            place = out / name if len(subjects) > 1 else out
            how: dict[str, Any] = {"workers": workers, "seed": seed, "on_image": told["on_image"]}
            measuring = Measuring(subject=subject, images=images, out=place, **how)
            for results in stages(measuring, degrade=degrade, robustness=robustness, audit=audit):
                page = tables.save(results, place)
            cells.append((values, results))
    if run is not None and len(cells) > 1:
        page = tables.save_page(tables.sweep_page(run.resolve().name, cells), out, "sweep")
    typer.echo(page, nl=False)
    typer.echo(f"written to {out}, with charts as {'sweep' if len(cells) > 1 else 'report'}.html", err=True)


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of an evaluation, or a file of its scores.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same images.")],
    out: Annotated[Path | None, typer.Option(help="Folder for compare.md and compare.html.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Say what the second of two evaluations has over the first, image by image."""
    from pixelkin.compare import paired
    from pixelkin.measure import kept
    from pixelkin.tables import paired_page, save_page

    page = paired_page(paired(kept(first), kept(second), seed=seed))
    typer.echo(save_page(page, out, "compare"), nl=False)


def benchmarks() -> None:
    """The published evaluations, with where their figures are printed."""
    from pixelkin.benchmarks import NAMES, benchmark

    for name in NAMES:
        found = benchmark(name)
        tables = found.table or found.collections[0].table
        typer.echo(f"{name:20}  {len(list(found.subsets())):2} sub-testsets, {tables}")


def _report_again(scores: Path, out: Path, seed: int) -> None:
    """Report kept scores into another folder than the one they lie in."""
    from pixelkin import tables
    from pixelkin.measure import kept, report_again

    if scores.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"--out {out} holds the report of these scores already: give another")
    typer.echo(tables.save(report_again(*kept(scores), seed=seed), out), nl=False)


def _subjects(
    model: str,
    run: Path | None,
    checkpoint: Path | None,
    of_checkpoint: dict[str, Any],
    external: dict[str, Any],
    *,
    whole: bool,
) -> Subjects:
    if checkpoint is not None:
        return _subject_of_checkpoint(checkpoint, external=external, whole=whole, **of_checkpoint)
    if of_checkpoint["settings"]:
        raise ConfigError("--set goes with --checkpoint: a run or a model has its settings")
    if run is None:
        from pixelkin.measure import Subject
        from pixelkin.model import load
        from pixelkin.models import DEFAULT

        subject = Subject.of_model(load(model or DEFAULT))
        return {subject.name: (subject, {})}
    with laboratory("a run"):
        from pixelkin.lab.external import Store
        from pixelkin.lab.scorer import subject_of_run
        from pixelkin.lab.sweep import runs_of

    return {
        name: (subject_of_run(folder, Store(**external), whole=whole), values)
        for name, (folder, values) in runs_of(run).items()
    }


def _subject_of_checkpoint(
    file: Path, *, detector: str, settings: list[str] | None, external: dict[str, Any], whole: bool
) -> Subjects:
    from pixelkin.config import override

    with laboratory("a checkpoint"):
        from pixelkin.lab.external import Store
        from pixelkin.lab.scorer import subject_of_checkpoint

    recipe = override({"detector": detector}, settings or [])
    subject = subject_of_checkpoint(file, recipe, Store(**external), whole=whole)
    return {subject.name: (subject, {})}
