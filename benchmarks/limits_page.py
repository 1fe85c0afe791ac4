"""The parts of docs/limits.md that `limits.py` measured; the words around them are a person's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from performance_page import table
from scipy.stats import binomtest

from pixelkin.lab.pages import filled

Record = Mapping[str, Any]
VERDICTS = ("generated", "uncertain", "real")
PREVALENCES = (0.01, 0.1, 0.5)  # shares of generated pictures among those judged
EXAMPLE = 10_000  # pictures of the worked example
HEADS = (
    "change",
    "generated called so",
    "withheld",
    "called real",
    "of the caught still caught",
    "of the caught called real",
    "photographs called generated",
    "AUC",
    "logit of generated",
    "logit of photographs",
    "PSNR, dB",
)


def page(text: str, record: Record) -> str:
    """The page with its measured parts made anew.

    Args:
        text: the page as it stands.
        record: what ``limits.json`` holds.

    Raises:
        DataError: the marks of a part are not there.
    """
    for name, lines in {"set": _set, "worth": _worth, "evasions": _evasions}.items():
        begin, end = f"<!-- {name}: made by benchmarks/limits.py -->", f"<!-- {name}: end -->"
        text = filled(text, begin, end, lines(record))
    return text


def worth(caught: float, false: float, prevalence: float) -> float:
    """The share of verdicts "generated" that are right: the positive predictive value, by Bayes' rule.

    Args:
        caught: share of generated pictures that get the verdict.
        false: share of photographs that do.
        prevalence: share of generated pictures among those judged.
    """
    right, wrong = prevalence * caught, (1 - prevalence) * false
    return right / (right + wrong) if right + wrong else float("nan")


def _set(record: Record) -> Iterator[str]:
    model, images = record["model"], record["met"]["images"]
    yield (
        f"{record['machine']['date']}, model {model['name']}, version {model['version']} "
        f"(`{model['sha256'][:8]}`), images of `{images['name']}`: {', '.join(images['sources'])}."
    )


def _worth(record: Record) -> Iterator[str]:
    heads = ["pictures are", "generated called so", "photographs called so"]
    heads += [f"right if {_percent(share)} % are generated" for share in PREVALENCES]
    yield f"{_counted(record['met'])}:"
    yield ""
    rows = record["met"]["rows"]
    yield from table(heads, [_worth_row(row) for row in rows])
    yield _example(rows[0])


def _counted(part: Record) -> str:
    return f"{part['images']['photographs']} photographs and {part['images']['generated']} generated images"


def _worth_row(row: Record) -> list[str]:
    of_generated, of_photographs = _share(row["generated"]), _share(row["photographs"])
    caught, (false, least, most) = of_generated[0], of_photographs
    values = [
        f"{_percent(worth(caught, false, p))} ({_percent(worth(caught, most, p))}-"
        f"{_percent(worth(caught, least, p))})"
        for p in PREVALENCES
    ]
    shares = [
        f"{_percent(v, 1)} ({_percent(a, 1)}-{_percent(b, 1)})" for v, a, b in (of_generated, of_photographs)
    ]
    return [row["pictures"], *shares, *values]


def _example(row: Record) -> str:
    """What a verdict is worth at the least prevalence, in counts."""
    share = PREVALENCES[0]
    caught, (false, _, most) = _share(row["generated"])[0], _share(row["photographs"])
    generated = round(EXAMPLE * share)
    hits, errors = round(generated * caught), round((EXAMPLE - generated) * false)
    right, least = (_percent(worth(caught, wrong, share)) for wrong in (false, most))
    return (
        f"In counts: of {EXAMPLE:,} pictures as they were published, {generated} of them generated, it calls "
        f"{hits} of these generated and misses {generated - hits}, and calls {errors:,} of "
        f"{EXAMPLE - generated:,} photographs generated. Of {hits + errors:,} verdicts *generated* {right} % "
        f"are right; {least} % if photographs are called so as often as the interval allows "
        f"({_percent(most, 1)} %)."
    )


def _evasions(record: Record) -> Iterator[str]:
    yield f"{_counted(record['evaded'])}:"
    yield ""
    yield from table(HEADS, [_evasion(row) for row in record["evaded"]["rows"]])


def _evasion(row: Record) -> list[str]:
    name = f"{row['family']}: {row['name']}".removesuffix(": -")
    of_all = [_percent(_of(row["generated"], verdict)) for verdict in VERDICTS]
    of_caught = [_percent(_of(row["caught"], verdict)) for verdict in ("generated", "real")]
    moved = [f"{row['moved'][label]:+.2f}" for label in ("generated", "photographs")]
    quality = "-" if row["psnr"] is None else f"{row['psnr']:.1f}"
    false = _percent(_of(row["photographs"], "generated"))
    return [name, *of_all, *of_caught, false, f"{100 * row['auc']:.1f}", *moved, quality]


def _of(counts: Mapping[str, int], verdict: str) -> float:
    total = sum(counts.values())
    return counts[verdict] / total if total else float("nan")


def _share(counts: Mapping[str, int]) -> tuple[float, float, float]:
    """The share that is called generated, and its 95 % interval by Wilson's score."""
    within = binomtest(counts["generated"], sum(counts.values())).proportion_ci(0.95, "wilson")
    return _of(counts, "generated"), float(within.low), float(within.high)


def _percent(share: float, digits: int = 0) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.{digits}f}"
