"""Commands of the laboratory: its systems, their training, their way out as models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pixelkin.cli.options import AllowRandom, Cache, WeightsDir, laboratory
from pixelkin.cli.stopping import ends_at_once
from pixelkin.errors import ConfigError


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

    with laboratory("training"):
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
    if "system" in values:
        typer.echo(_train_heads(values))
        return
    configs = sweep.begin(values) if "sweep" in values else [build(TrainConfig, values)]
    for config in configs:
        to_go_on = f"--resume goes on from the last checkpoint in {config.out}, if there is one"
        with ends_at_once(to_go_on), show.training() as (on_facts, on_progress):
            store = Store(weights_dir, allow_random=allow_random, cache=cache)
            run = run_training(
                config, store, resume=resume, minutes=minutes, on_facts=on_facts, on_progress=on_progress
            )
        typer.echo(run)


def _train_heads(values: dict[str, Any]) -> Path:
    """Train heads on frozen features by the settings of a recipe; returns the run's folder."""
    from pixelkin import show
    from pixelkin.config import build
    from pixelkin.lab.experts.fit import train as train_heads
    from pixelkin.lab.experts.recipe import ExpertsConfig

    config = build(ExpertsConfig, values)
    to_go_on = "the same command goes on: features are kept as they are made"
    with ends_at_once(to_go_on), show.extraction() as on_progress:
        return train_heads(config, on_progress)


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

    with laboratory("export"):
        from pixelkin.lab.experts.export import export as write_heads
        from pixelkin.lab.experts.fit import is_run
        from pixelkin.lab.export import ExportConfig
        from pixelkin.lab.export import export as write_model
        from pixelkin.lab.external import Store

    values = read_toml(card) if card else {}
    if report:
        values["measured"] = measured(report)
    store = Store(weights_dir, allow_random=allow_random)
    config = build(ExportConfig, values)
    made = write_heads(run, out, config) if is_run(run) else write_model(run, out, config, data, store)
    typer.echo(
        f"{out}: {made.name}, temperature {made.temperature:.3g}, real below {made.real_below:.3f}, "
        f"generated above {made.generated_above:.3f}"
    )


def detectors(weights_dir: WeightsDir = None) -> None:
    """The systems of the laboratory: what each looks at and needs, and whether it was trained here."""
    from pixelkin.lab.detectors import DETECTORS, detector_class

    with laboratory("the list of systems"):
        from pixelkin import show
        from pixelkin.lab.external import ASSETS, located
        from pixelkin.lab.pages import trained_in_words

        for system in DETECTORS:
            card = detector_class(system).card
            present = {
                need: located(ASSETS[need], weights_dir) is not None for need in card.needs + card.checkpoints
            }
            for line in show.card_in_words(card, present, trained_in_words(system)):
                typer.echo(line)
