"""The command line. Commands only translate; the work is done by the library.

Each command imports what it needs, so that ``--help`` answers without loading torch or a runtime.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelkin import __version__
from pixelkin.errors import ConfigError, DataError, MissingExtraError, PixelkinError

if TYPE_CHECKING:
    from pixelkin.measure import Subject

OK, SOME_UNREADABLE, NOT_DONE = 0, 1, 2
CAUTION = "A verdict is an estimate, not proof; see the model's card for how often it errs."

WeightsDir = Annotated[
    Path | None, typer.Option("--weights-dir", help="Folder of weights that others published.")
]
AllowRandom = Annotated[
    bool,
    typer.Option("--allow-random-init", help="Random values where those are missing: not comparable."),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Folder that keeps what frozen networks made of pictures.")
]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


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


@app.command()
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

    Exit status: 0 if every image was read, 1 if some were not, 2 if nothing was judged.
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


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(help="A TOML file.", metavar="CONFIG.toml")] = None,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="By the recipe's settings for two cores, not the paper's.")
    ] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, over the recipe's.")] = None,
    detector: Annotated[str, typer.Option(help="System to train; see `pixelkin detectors`.")] = "",
    data: Annotated[str, typer.Option(help="Folder of labelled training images.")] = "",
    out: Annotated[str, typer.Option("--out", help="Folder of the run.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    minutes: Annotated[
        float, typer.Option(min=0, help="Stop after so many, to be resumed; 0 for no bound.")
    ] = 0,
    weights_dir: WeightsDir = None,
    allow_random: AllowRandom = False,
    cache: Cache = None,
) -> None:
    """Train a detector by a recipe, or by the paper's with --detector, --data and --out.

    A recipe with [[sweep]] tables trains one run for each combination of their values.
    """
    from pixelkin import show
    from pixelkin.config import build, override

    with _laboratory("training"):
        from pixelkin.lab import sweep
        from pixelkin.lab.external import Store
        from pixelkin.lab.recipe import TrainConfig, read_recipe
        from pixelkin.lab.train import train as run_training

    if reduced and recipe is None:
        raise ConfigError("--reduced goes with a recipe that has a table [reduced]")
    given = {"detector": detector, "data": data, "out": out}
    values = read_recipe(recipe, reduced=reduced) if recipe else {}
    values |= {key: value for key, value in given.items() if value}
    values = override(values, settings or [])
    configs = sweep.begin(values) if "sweep" in values else [build(TrainConfig, values)]
    for config in configs:
        with show.training() as (on_facts, on_progress):
            store = Store(weights_dir, allow_random=allow_random, cache=cache)
            run = run_training(
                config, store, resume=resume, minutes=minutes, on_facts=on_facts, on_progress=on_progress
            )
        typer.echo(run)


@app.command()
def evaluate(
    out: Annotated[Path, typer.Option(help="Folder for the report, and for the scores to resume from.")],
    data: Annotated[Path | None, typer.Option(help="Folder of labelled images, or of a benchmark's.")] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or an .onnx file.")] = "",
    run: Annotated[Path | None, typer.Option(help="Folder of a training run or sweep.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="An official .pth file of --detector.")] = None,
    detector: Annotated[str, typer.Option(help="System that --checkpoint is of.")] = "npr",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value of its recipe, as options.size=128."),
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Scores kept before: report them, no model.")] = None,
    benchmark: Annotated[str, typer.Option(help="A published evaluation; see `pixelkin benchmarks`.")] = "",
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Score the images under 33 degradations, too.")
    ] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Tell what the files alone give away.")] = False,
    degrade: Annotated[
        str,
        typer.Option(
            help="What images go through first, as in resize:0.75,jpeg:80 (jpeg webp resize fit square blur "
            "noise crop screenshot)."
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option(min=0, help="Images of each label of each source at the most; 0 for all.")
    ] = 0,
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
    with show.measuring() as told:
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


@app.command()
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


@app.command()
def benchmarks() -> None:
    """The published evaluations, with where their figures are printed."""
    from pixelkin.benchmarks import NAMES, benchmark

    for name in NAMES:
        found = benchmark(name)
        tables = found.table or found.collections[0].table
        typer.echo(f"{name:20}  {len(list(found.subsets())):2} sub-testsets, {tables}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
    card: Annotated[Path | None, typer.Option(help="TOML file of what the card says beside.")] = None,
    data: Annotated[Path | None, typer.Option(help="Where the run's images lie now, if they moved.")] = None,
    report: Annotated[
        list[str] | None, typer.Option(help="CONDITION=report.json, to be told in the card; repeatable.")
    ] = None,
    weights_dir: WeightsDir = None,
    allow_random: AllowRandom = False,
) -> None:
    """Calibrate a run's best weights and write them as one .onnx file that needs no torch."""
    from pixelkin.config import build, read_toml
    from pixelkin.measure import measured

    with _laboratory("export"):
        from pixelkin.lab.export import ExportConfig
        from pixelkin.lab.export import export as write_model
        from pixelkin.lab.external import Store

    values = read_toml(card) if card else {}
    if report:
        values["measured"] = measured(report)
    store = Store(weights_dir, allow_random=allow_random)
    made = write_model(run, out, build(ExportConfig, values), data, store)
    typer.echo(
        f"{out}: {made.name}, temperature {made.temperature:.3g}, real below {made.real_below:.3f}, "
        f"generated above {made.generated_above:.3f}"
    )


@app.command()
def detectors(weights_dir: WeightsDir = None) -> None:
    """The systems of the laboratory: what each looks at and needs, and whether it was trained here."""
    from pixelkin.lab.detectors import DETECTORS, detector_class

    with _laboratory("the list of systems"):
        from pixelkin import show
        from pixelkin.lab.external import ASSETS, located
        from pixelkin.lab.pages import trained_in_words

        for name in DETECTORS:
            card = detector_class(name).card
            present = {need: located(ASSETS[need], weights_dir) is not None for need in card.needs}
            for line in show.card_in_words(card, present, trained_in_words(name)):
                typer.echo(line)


@app.command()
def models() -> None:
    """The models that come with Pixelkin."""
    from pixelkin.model import load
    from pixelkin.models import DEFAULT, SHIPPED

    for name in SHIPPED:
        card = load(name).card
        typer.echo(
            f"{name}{' (default)' * (name == DEFAULT)}: {card.system}, {card.trained_on}; {card.licence}"
        )


def _report_again(scores: Path, out: Path, seed: int) -> None:
    """Report kept scores into another folder than the one they lie in."""
    from pixelkin import tables
    from pixelkin.measure import kept, report_again

    if scores.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"--out {out} holds the report of these scores already: give another")
    typer.echo(tables.save(report_again(*kept(scores), seed=seed), out), nl=False)


Subjects = dict[str, tuple["Subject", dict[str, Any]]]  # what is measured, by name, with what a sweep set


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
    with _laboratory("a run"):
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
    from pixelkin.config import build, override

    with _laboratory("a checkpoint"):
        from pixelkin.lab.external import Store
        from pixelkin.lab.recipe import TrainConfig
        from pixelkin.lab.scorer import subject_of_checkpoint

    values = override({"data": "", "out": "", "detector": detector}, settings or [])
    subject = subject_of_checkpoint(file, build(TrainConfig, values), Store(**external), whole=whole)
    return {subject.name: (subject, {})}


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


@contextmanager
def _laboratory(what: str) -> Iterator[None]:
    """Imports of the laboratory; where a package of it is missing, says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "lab", error.name) from error


def main() -> None:
    """Entry point: what went wrong on purpose, or with a file, is a sentence and exit status 2."""
    try:
        app()
    except (PixelkinError, OSError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise SystemExit(NOT_DONE) from error
