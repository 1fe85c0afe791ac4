"""Two systems on the same images; one system over several runs."""

import dataclasses

import numpy as np
import pytest
from test_evaluate import noisy, scored

from pixelkin import metrics, tables
from pixelkin.compare import OVER_ALL, paired, spread
from pixelkin.errors import ConfigError, DataError
from pixelkin.evaluate import METRICS, About, evaluate
from pixelkin.measure import Results
from pixelkin.types import Scored

A = About(model="a", model_sha256="a" * 64, dataset="d", dataset_sha256="e" * 64)
B = dataclasses.replace(A, model="b", thresholds=(0.3, 0.7))


def moved(rows, gap, seed=9):
    """The same images with other scores: generated ones a little higher."""
    rng = np.random.default_rng(seed)
    return [
        dataclasses.replace(
            r, score=float(np.clip(r.score + gap * r.sample.label + rng.normal(0, 0.02), 0, 1))
        )
        for r in rows
    ]


ROWS = [*noisy("gan", 60), *noisy("diffusion", 40, seed=1)]


def test_differences_are_those_of_the_two_reports():
    better = moved(ROWS, 0.2)
    found = paired((A, ROWS), (B, better), resamples=50)
    one, other = evaluate(ROWS, A, resamples=2), evaluate(better, B, resamples=2)
    assert set(found.mean) == set(METRICS)
    assert (found.images, found.left_out) == (200, 0)
    for before, after in zip(one.rows, other.rows, strict=True):
        for name in METRICS:
            wanted = after.figures[name].value - before.figures[name].value
            assert found.rows[before.source][name].value == pytest.approx(wanted)
    assert found.mean["auc"].value == pytest.approx(other.mean["auc"].value - one.mean["auc"].value)


def test_a_system_against_itself_differs_by_nothing_at_all():
    found = paired((A, ROWS), (A, ROWS), resamples=50)
    for figures in [*found.rows.values(), found.mean]:
        assert {(f.value, f.low, f.high) for f in figures.values()} == {(0.0, 0.0, 0.0)}


def test_pairing_is_sharper_than_two_intervals():
    better = moved(ROWS, 0.1)
    found = paired((A, ROWS), (B, better), resamples=300).mean["auc"]
    apart = evaluate(ROWS, A, resamples=300).mean["auc"]
    assert found.low > 0
    assert found.high - found.low < (apart.high - apart.low) / 2


def test_the_interval_is_that_of_a_plain_paired_bootstrap():
    rows = noisy("gan", 80)
    better = moved(rows, 0.1)
    labels = np.array([r.sample.label for r in rows])
    first, second = (np.array([r.score for r in each]) for each in (rows, better))
    rng = np.random.default_rng(4)
    drawn = []
    for _ in range(500):
        at = np.concatenate([rng.choice(np.flatnonzero(labels == y), 80) for y in (0, 1)])
        drawn.append(metrics.auc(second[at], labels[at]) - metrics.auc(first[at], labels[at]))
    found = paired((A, rows), (B, better), resamples=500).mean["auc"]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.01)


def test_images_that_one_of_the_two_lacks_are_left_out_and_counted():
    fewer = [*moved(ROWS, 0.1)[1:], Scored(ROWS[0].sample, None, "cut short")]
    found = paired((A, ROWS), (B, fewer), resamples=10)
    assert (found.images, found.left_out) == (199, 1)
    with pytest.raises(DataError, match="no image in common"):
        paired((A, ROWS), (B, scored("other", 0, [0.1])))


def test_another_file_of_the_same_name_is_no_pair():
    first, second = (
        [dataclasses.replace(r, sha256=f"{which}{i}") for i, r in enumerate(ROWS)] for which in "ab"
    )
    assert paired((A, first), (B, first), resamples=2).images == 200
    with pytest.raises(DataError, match="another file in the second scores, of the same name"):
        paired((A, first), (B, second))


def test_images_with_another_label_are_no_pairs():
    swapped = [
        dataclasses.replace(r, sample=dataclasses.replace(r.sample, label=1 - r.sample.label)) for r in ROWS
    ]
    with pytest.raises(DataError, match="another label"):
        paired((A, ROWS), (B, swapped))
    with pytest.raises(ConfigError, match="1 resample or more, not 0"):
        paired((A, ROWS), (B, ROWS), resamples=0)


def test_the_page_of_a_comparison_keeps_thresholds_apart():
    page = tables.paired_page(paired((A, ROWS), (B, moved(ROWS, 0.1)), resamples=10))
    columns = {block.title: block.columns for block in page.blocks}
    assert columns["Without a threshold"] == ("source", "AUC", "AP", "TPR at 5 % FPR", "TPR at 1 % FPR")
    assert columns["At 0.5"] == ("source", "Acc", "Acc real", "Acc generated")
    assert "b against a" in tables.markdown.write(page)


def test_runs_over_seeds_have_mean_and_spread():
    reports = [evaluate(moved(ROWS, 0.1, seed), A, resamples=2) for seed in range(3)]
    values = [report.mean["auc"].value for report in reports]
    found = spread(reports)[OVER_ALL]["auc"]
    assert (found.runs, found.least, found.greatest) == (3, min(values), max(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert spread(reports[:1])["gan"]["auc"].deviation is None


def test_runs_on_other_images_have_no_common_spread():
    other = evaluate(ROWS, dataclasses.replace(A, dataset_sha256="0" * 64), resamples=2)
    with pytest.raises(DataError, match="2 reports of 2 sets"):
        spread([evaluate(ROWS, A, resamples=2), other])


def test_a_figure_that_some_run_lacks_has_no_spread():
    one_label = [r for r in ROWS if r.sample.label == 0]
    found = spread([evaluate(one_label, A, resamples=2)] * 2)
    assert "auc" not in found[OVER_ALL]
    assert found[OVER_ALL]["acc"].runs == 2


def test_a_sweep_s_page_groups_seeds_and_keeps_settings_apart():
    cells = [
        (
            {"options.period": 2, "options.reference": 1, "seed": 100},
            Results(report=evaluate(moved(ROWS, 0.1, 0), A, resamples=2)),
        ),
        (
            {"options.period": 2, "options.reference": 1, "seed": 101},
            Results(report=evaluate(moved(ROWS, 0.1, 1), A, resamples=2)),
        ),
        (
            {"options.period": 3, "options.reference": 9},
            Results(report=evaluate(moved(ROWS, 0.1, 2), A, resamples=2)),
        ),
    ]
    means = tables.sweep_page("table7", cells).blocks[0]
    assert [row[:2] for row in means.rows] == [("period 2, reference 1", "2"), ("period 3, reference 9", "1")]
    assert "±" in means.rows[0][2]
    assert "±" not in means.rows[1][2]
    assert [row[-2:] for row in means.rows] == [("92.5", "96.1"), ("-", "-")]
