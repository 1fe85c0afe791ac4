"""Each metric against scikit-learn or a slow writing-out of its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score, roc_curve

from pixelkin import metrics

METRICS = [
    metrics.accuracy,
    metrics.accuracy_real,
    metrics.accuracy_generated,
    metrics.average_precision,
    metrics.auc,
    metrics.tpr_at_fpr,
    metrics.calibration_error,
]
ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=40)
BOTH = ROWS.filter(lambda rows: {y for _, y in rows} == {0, 1})


def columns(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    return scores / 6, labels


def tpr_by_the_curve(labels, scores, weights=None, limit=0.05):
    fpr, tpr, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    return tpr[fpr <= limit + 1e-12].max()


@settings(max_examples=60)
@given(BOTH)
def test_metrics_agree_with_scikit_learn(rows):
    scores, labels = columns(rows)
    real, generated = labels == 0, labels == 1
    assert metrics.accuracy(scores, labels) == pytest.approx(accuracy_score(labels, scores > 0.5))
    assert metrics.accuracy_real(scores, labels) == pytest.approx(
        accuracy_score(labels[real], scores[real] > 0.5)
    )
    caught = accuracy_score(labels[generated], scores[generated] > 0.5)
    assert metrics.accuracy_generated(scores, labels) == pytest.approx(caught)
    assert metrics.average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores))
    assert metrics.auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert metrics.tpr_at_fpr(scores, labels) == pytest.approx(tpr_by_the_curve(labels, scores))


@settings(max_examples=30)
@given(rows=BOTH, data=st.data())
def test_weighted_metrics_agree_with_scikit_learn(rows, data):
    scores, labels = columns(rows)
    some = st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=len(rows), max_size=len(rows))
    weights = np.array(data.draw(some))
    given_them = {"sample_weight": weights}
    expected = accuracy_score(labels, scores > 0.5, **given_them)
    assert metrics.accuracy(scores, labels, weights) == pytest.approx(expected)
    expected = average_precision_score(labels, scores, **given_them)
    assert metrics.average_precision(scores, labels, weights) == pytest.approx(expected)
    assert metrics.auc(scores, labels, weights) == pytest.approx(roc_auc_score(labels, scores, **given_them))
    expected = tpr_by_the_curve(labels, scores, weights)
    assert metrics.tpr_at_fpr(scores, labels, weights) == pytest.approx(expected)


@pytest.mark.parametrize("digits", [1, 2, 9], ids=["many ties", "some ties", "no ties"])
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.5])
def test_the_share_caught_at_few_false_alarms_is_read_off_the_curve(digits, limit):
    rng = np.random.default_rng(digits)
    labels = np.repeat([0, 1], [200, 120])
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1).round(digits)
    expected = tpr_by_the_curve(labels, scores, limit=limit)
    assert metrics.tpr_at_fpr(scores, labels, fpr=limit) == pytest.approx(expected)
    assert 0 <= expected < 1


@given(BOTH)
def test_calibration_error_is_its_definition(rows):
    scores, labels = columns(rows)
    gap = 0.0
    for place in range(15):
        low, high = place / 15, (place + 1) / 15
        inside = [i for i, s in enumerate(scores) if low <= s < high or (place == 14 and s == 1)]
        if inside:
            gap += len(inside) * abs(np.mean(labels[inside]) - np.mean(scores[inside]))
    assert metrics.calibration_error(scores, labels) == pytest.approx(gap / len(scores))


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
@settings(max_examples=50)
@given(rows=BOTH, data=st.data())
def test_a_weight_counts_a_row_so_many_times(metric, rows, data):
    scores, labels = columns(rows)
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    weighted = metric(scores, labels, counts.astype(float))
    repeated = metric(scores.repeat(counts), labels.repeat(counts))
    assert weighted == pytest.approx(repeated, nan_ok=True)


@pytest.mark.parametrize("metric", [metrics.average_precision, metrics.auc, metrics.tpr_at_fpr])
@pytest.mark.parametrize("label", [0, 1], ids=["real only", "generated only"])
def test_what_needs_both_labels_is_not_a_number_without_one(metric, label):
    assert math.isnan(metric(np.array([0.1, 0.9]), np.array([label, label])))


@pytest.mark.parametrize(("metric", "label"), [(metrics.accuracy_real, 0), (metrics.accuracy_generated, 1)])
def test_what_needs_one_label_is_not_a_number_without_it(metric, label):
    scores = np.array([0.1, 0.9])
    assert math.isnan(metric(scores, np.array([1 - label] * 2)))
    assert metric(scores, np.array([label] * 2)) == 0.5


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
def test_nothing_measured_is_not_a_number(metric):
    assert math.isnan(metric(np.array([]), np.array([], int)))
    assert math.isnan(metric(np.array([0.1, 0.9]), np.array([0, 1]), np.zeros(2)))


def test_exactly_at_the_threshold_counts_as_real():
    assert metrics.accuracy(np.array([0.5, 0.5]), np.array([0, 1])) == 0.5
    assert metrics.accuracy_real(np.array([0.5]), np.array([0])) == 1
    assert metrics.accuracy_generated(np.array([0.5]), np.array([1])) == 0
    assert metrics.accuracy_generated(np.array([np.nextafter(0.5, 1)]), np.array([1])) == 1


def test_resamples_redraw_each_stratum_whole_and_by_their_seed():
    strata = [np.arange(0, 7), np.arange(7, 10)]
    drawn, again = (metrics.resample(strata, 200, np.random.default_rng(3)) for _ in range(2))
    assert drawn.shape == (200, 10)
    assert (drawn[:, :7].sum(1) == 7).all()
    assert (drawn[:, 7:].sum(1) == 3).all()
    assert drawn.mean(0) == pytest.approx(np.ones(10), abs=0.25)
    assert (drawn == again).all()
    assert (drawn != metrics.resample(strata, 200, np.random.default_rng(4))).any()


@pytest.mark.parametrize(("count", "rows"), [(1, 0), (1000, 10), (1000, 100_000), (7, 10**9)])
def test_resamples_are_drawn_in_portions_that_add_up(count, rows):
    found = metrics.portions(count, rows)
    assert sum(found) == count
    assert all(many == 1 or many * rows <= metrics.AT_ONCE for many in found)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
def test_many_resamples_at_once_are_each_of_them_alone(metric):
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 8, 50) / 8, rng.integers(0, 2, 50)
    weights = metrics.resample([np.arange(25), np.arange(25, 50)], 30, rng)
    together = metric(scores, labels, weights)
    assert together == pytest.approx(np.array([metric(scores, labels, w) for w in weights]), nan_ok=True)


def test_an_interval_holds_the_middle_and_is_undefined_where_a_value_is():
    values = np.arange(1001.0)
    assert metrics.interval(values) == pytest.approx((25.0, 975.0))
    assert metrics.interval(values, 0.5) == pytest.approx((250.0, 750.0))
    assert all(math.isnan(end) for end in metrics.interval(np.array([1.0, math.nan])))
    assert all(math.isnan(end) for end in metrics.interval(np.array([])))


@given(values=st.lists(st.floats(0, 1), min_size=1), level=st.sampled_from([0.5, 0.9, 0.95]))
def test_an_interval_is_cut_off_by_quantiles(values, level):
    expected = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    assert metrics.interval(np.array(values), level) == pytest.approx(tuple(expected))
