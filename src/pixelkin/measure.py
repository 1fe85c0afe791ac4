"""Scores of labelled images, got once and kept; everything that is reported of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pixelkin import degrade, rows
from pixelkin.audit import Audit, alignment, audit, look, require
from pixelkin.benchmarks import benchmark as named_benchmark
from pixelkin.benchmarks.layouts import Presence, find, unread
from pixelkin.data import DataFacts, at_most, check, digest, find_samples
from pixelkin.errors import ConfigError, DataError
from pixelkin.evaluate import RESAMPLES, About, Report, evaluate
from pixelkin.model import Model
from pixelkin.protocol import OURS, Protocol
from pixelkin.robustness import CLEAN, GRID, Condition, Robustness
from pixelkin.scoring import score
from pixelkin.tiles import in_words
from pixelkin.types import Card, Sample, Scored, Scorer

SCORES = "scores"
TILED = (
    "this model looks at each picture shown in the tiles of its card; the networks of the paper see it whole"
)
GRID_RESAMPLES = 200  # of the bootstrap of each condition: a grid is read for its course


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        scorer: what scores.
        name: of the model or the run.
        sha256: of its file.
        input: what it does to a picture, in words.
        system: registered name of the detector that it is.
        card: if it has one.
        notes: what a reader of its figures has to know.
    """

    scorer: Scorer
    name: str
    sha256: str
    input: str
    system: str = ""
    card: Card | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of_model(cls, model: Model) -> Subject:
        """A model, as `pixelkin detect` would use it."""
        card = model.card
        words = in_words(card.tile, card.most_tiles, card.join, card.choice)
        return cls(model, card.name, model.sha256, words, card.system, card)


@dataclass(frozen=True, slots=True)
class Images:
    """A labelled set, found and named.

    Attributes:
        root: the folder.
        samples: what there is of it.
        benchmark: the published evaluation that it is, by name; empty for a set of one's own.
        presence: what is there of each sub-testset of a benchmark.
        notes: what a reader of a report has to know of the set.
    """

    root: Path
    samples: tuple[Sample, ...]
    benchmark: str = ""
    presence: tuple[Presence, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name

    def protocol(self, source: str) -> Protocol:
        """How pictures of a source are shown: as its collection's official program does, or as decoded."""
        for collection, subset in named_benchmark(self.benchmark).subsets() if self.benchmark else ():
            if collection.source(subset) == source:
                return collection.protocol
        return OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What an evaluation found out."""

    report: Report
    presence: tuple[Presence, ...] = ()
    robustness: Robustness | None = None
    audit: Audit | None = None

    def to_json(self) -> str:
        """Everything; undefined figures are null."""
        more = {
            "presence": [asdict(each) | {"state": each.state} for each in self.presence],
            "robustness": [
                {"condition": asdict(condition), "report": asdict(report)}
                for condition, report in (self.robustness.conditions if self.robustness else ())
            ],
            "audit": asdict(self.audit) if self.audit else None,
        }
        return json.dumps(asdict(self.report) | more, indent=1, allow_nan=False)


def gather(
    root: Path,
    benchmark: str = "",
    *,
    limit: int = 0,
    workers: int = 0,
    on_facts: Callable[[DataFacts], None] = lambda _: None,
    on_presence: Callable[[Sequence[Presence]], None] = lambda _: None,
    on_image: Callable[[str, int], None] = lambda _stage, _of: None,
) -> Images:
    """Find the labelled images below ``root`` and say what there is, before anything is scored.

    Args:
        root: a folder in a labelled layout, or one that holds a benchmark.
        benchmark: name of a published evaluation; empty for a set of one's own.
        limit: at most so many images of each label of each source, chosen by a hash; 0 for all.
        workers: processes that decode, for the check of a set of one's own.
        on_facts: told what the check of a set of one's own found.
        on_presence: told what is there of a benchmark.
        on_image: told the stage and the number of images, after each image of a stage.

    Raises:
        DataError: no labelled images.
        ConfigError: no benchmark has that name.
    """
    if limit < 0:
        raise ConfigError(f"a limit is a number of images, not {limit}")
    notes = [f"at most {limit} images of each label of each source, chosen by a hash"] if limit else []
    if benchmark:
        samples, presence = find(named_benchmark(benchmark), root)
        on_presence(presence)
        notes += _states(presence)
        if beside := unread(named_benchmark(benchmark), root, samples):
            notes.append(f"folders that are no part of the benchmark: {', '.join(beside)}")
        chosen = at_most(samples, limit) if limit else samples
        return Images(root, tuple(chosen), benchmark.lower(), tuple(presence), tuple(notes))
    samples = find_samples(root)
    samples = at_most(samples, limit) if limit else samples
    facts = check(root, samples, workers=workers, on_image=lambda: on_image("checking", len(samples)))
    on_facts(facts)
    if facts.unlabelled:
        notes.append(f"{facts.unlabelled} images lie in no labelled folder and are left out")
    return Images(root, tuple(samples), notes=(*notes, *facts.warnings))


def _states(presence: Sequence[Presence]) -> list[str]:
    """How many sub-testsets of a benchmark are in which state."""
    counts = Counter(each.state for each in presence)
    return [f"{counts[state]} of {len(presence)} sub-testsets: {state}" for state in counts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """Scores of one subject on one set.

    Attributes:
        subject: what is measured.
        images: on what.
        out: folder that keeps the scores, to resume from; None to keep them nowhere.
        workers: processes that decode images; 0 for this one.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        on_image: told the stage and the number of images, after each image of a stage.
    """

    subject: Subject
    images: Images
    out: Path | None = None
    workers: int = 0
    seed: int = 0
    resamples: int = RESAMPLES
    on_image: Callable[[str, int], None] = field(default=lambda _stage, _of: None)

    def scored(self, condition: Condition = CLEAN) -> tuple[About, list[Scored]]:
        """The scores under one condition, and what they are of; those that are kept are not made again.

        Raises:
            ConfigError: the condition's chain is no chain.
            DataError: ``out`` holds scores of something else.
        """
        about = self.about(condition)
        steps = degrade.parse(condition.chain)

        def scoring(left: list[Sample]) -> Iterable[Scored]:
            for protocol, group in self._by_protocol(left):
                yield from score(
                    self.subject.scorer,
                    self.images.root,
                    group,
                    chain=steps,
                    protocol=protocol,
                    workers=self.workers,
                    on_image=lambda: self.on_image(f"scoring {condition.name}", len(self.images.samples)),
                )

        if self.out is None:
            unique = list({sample.path: sample for sample in self.images.samples}.values())
            of_path = {each.sample.path: each for each in scoring(unique)}
            return about, [replace(of_path[s.path], sample=s) for s in self.images.samples]
        file = self.out / SCORES / f"{condition.name}.parquet"
        return about, rows.keep(file, about, self.images.samples, scoring, self.images.root)

    def report(self, condition: Condition = CLEAN) -> Report:
        """The report under one condition."""
        about, scored = self.scored(condition)
        return evaluate(scored, about, seed=self.seed, resamples=self.resamples)

    def beside(self, condition: Condition) -> Report:
        """The report under a condition of a grid, which may leave no picture readable."""
        about, scored = self.scored(condition)
        few = min(self.resamples, GRID_RESAMPLES)
        return evaluate(scored, about, seed=self.seed, resamples=few, may_be_empty=True)

    def robustness(self, clean: Report, grid: Sequence[Condition] = GRID) -> Robustness:
        """Reports under every condition of a grid."""
        return Robustness(clean, tuple((condition, self.beside(condition)) for condition in grid))

    def audit(self) -> Audit:
        """What the files give away, beside the subject's own report on aligned images.

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        samples = self.images.samples
        clues = look(
            self.images.root,
            samples,
            official=bool(self.images.benchmark),
            workers=self.workers,
            on_image=lambda: self.on_image("auditing", len(samples)),
        )
        chain = alignment(clues)
        aligned = self.beside(Condition("aligned", chain, chain))
        return audit(
            self.about(CLEAN), samples, clues, (chain, aligned), seed=self.seed, resamples=GRID_RESAMPLES
        )

    def about(self, condition: Condition) -> About:
        """What the scores under a condition are of."""
        images, card = self.images, self.subject.card
        protocol = {"input": self.subject.input, "degradation": condition.chain or "none"}
        if images.benchmark:
            protocol |= {
                f"pictures of {collection.name}": collection.protocol.in_words()
                for collection in named_benchmark(images.benchmark).collections
            }
        return About(
            model=self.subject.name,
            model_sha256=self.subject.sha256,
            system=self.subject.system,
            dataset=images.name,
            dataset_sha256=digest(images.samples),
            protocol=protocol,
            thresholds=(card.real_below, card.generated_above) if card else (),
            order=tuple(each.source for each in images.presence),
            alone=bool(images.benchmark),
            benchmark=images.benchmark,
            partial=tuple(each.source for each in images.presence if each.state == "incomplete"),
            notes=(*self.subject.notes, *images.notes, *([TILED] if images.benchmark and card else [])),
        )

    def _by_protocol(self, samples: list[Sample]) -> Iterable[tuple[Protocol, list[Sample]]]:
        groups: dict[Protocol, list[Sample]] = {}
        protocols = {source: self.images.protocol(source) for source in {s.source for s in samples}}
        for sample in samples:
            groups.setdefault(protocols[sample.source], []).append(sample)
        return groups.items()


def measured(named: Iterable[str]) -> dict[str, Any]:
    """The mean figures of saved reports, for a card.

    Args:
        named: ``condition=report.json`` each.

    Raises:
        ConfigError: one is not so written, or is no saved report.
    """
    found: dict[str, Any] = {}
    for each in named:
        condition, equals, file = each.partition("=")
        if not equals:
            raise ConfigError(f"--report takes condition=report.json, not {each!r}")
        try:
            report = json.loads(Path(file).read_text("utf-8"))
            found[condition] = {"dataset": report["about"]["dataset"], "mean": report["mean"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file}: no report that `pixelkin evaluate` wrote ({error})") from error
    return found


def stages(
    measuring: Measuring, *, degrade: str = "", robustness: bool = False, audit: bool = False
) -> Iterator[Results]:
    """Score and report; then with the audit, then with the grid beside it, where they are wanted.

    Args:
        measuring: what is measured on what.
        degrade: what the images go through first, as `pixelkin.degrade.parse` reads it.
        robustness: report under every condition of `pixelkin.robustness.GRID`, too.
        audit: report what the files give away, too.

    Yields:
        What is known so far, each time more, so that nothing found is lost if the rest is stopped.

    Raises:
        ConfigError: ``degrade`` is no chain, or is given together with the grid or the audit.
        DataError: no image could be read.
        MissingExtraError: a package that is needed is not installed.
    """
    if degrade and (robustness or audit):
        raise ConfigError("--degrade goes with neither --robustness nor --audit: they degrade, too")
    if audit:
        require()
    report = measuring.report(Condition("degraded", degrade, degrade) if degrade else CLEAN)
    results = Results(report=report, presence=measuring.images.presence)
    yield results
    if audit:
        results = replace(results, audit=measuring.audit())
        yield results
    if robustness:
        yield replace(results, robustness=measuring.robustness(report))


def measure(
    measuring: Measuring, *, degrade: str = "", robustness: bool = False, audit: bool = False
) -> Results:
    """The last of `stages`."""
    return list(stages(measuring, degrade=degrade, robustness=robustness, audit=audit))[-1]


def kept(place: Path) -> tuple[About, list[Scored]]:
    """The scores that an evaluation kept, and what they are of.

    Args:
        place: a file of scores, or the folder of an evaluation: its undegraded scores, or the only ones.

    Raises:
        DataError: there are none, or several and none undegraded.
    """
    if not place.exists():
        raise DataError(f"{place}: no such file or folder")
    found = sorted((place / SCORES).glob("*.parquet"))
    inner = sorted(each.parent.name for each in place.glob(f"*/{SCORES}"))
    if place.is_dir() and not found:
        hint = f"; those of its runs do: {', '.join(inner)}" if inner else ""
        raise DataError(f"{place} holds no scores that `pixelkin evaluate` kept{hint}")
    clean = place / SCORES / f"{CLEAN.name}.parquet"
    file = clean if clean in found or len(found) != 1 else found[0]
    return rows.read(file if place.is_dir() else place)


def report_again(
    about: About, scored: Sequence[Scored], *, seed: int = 0, resamples: int = RESAMPLES
) -> Results:
    """The report of kept scores, without the model and the images."""
    return Results(report=evaluate(scored, about, seed=seed, resamples=resamples))
