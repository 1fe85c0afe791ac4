"""Each metric against scikit-learn or a slow writing-out of its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
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


def tpr_by_the_curve(labels, scores, limit=0.05):
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return tpr[fpr <= limit].max()


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
@given(rows=BOTH, data=st.data())
def test_a_weight_counts_a_row_so_many_times(metric, rows, data):
    scores, labels = columns(rows)
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    weighted = metric(scores, labels, counts.astype(float))
    repeated = metric(scores.repeat(counts), labels.repeat(counts))
    assert weighted == pytest.approx(repeated, nan_ok=True)


@pytest.mark.parametrize("metric", [metrics.auc, metrics.tpr_at_fpr])
@pytest.mark.parametrize("label", [0, 1])
def test_what_needs_both_labels_is_not_a_number_without_one(metric, label):
    assert math.isnan(metric(np.array([0.1, 0.9]), np.array([label, label])))


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
def test_nothing_measured_is_not_a_number(metric):
    assert math.isnan(metric(np.array([]), np.array([], int)))


def test_exactly_at_the_threshold_counts_as_real():
    assert metrics.accuracy(np.array([0.5, 0.5]), np.array([0, 1])) == 0.5
    assert metrics.accuracy_real(np.array([0.5]), np.array([0])) == 1


def test_resamples_redraw_each_stratum_whole_and_by_their_seed():
    strata = [np.arange(0, 7), np.arange(7, 10)]
    drawn = [w.copy() for w in metrics.resamples(strata, 200, seed=3)]
    assert all(w[:7].sum() == 7 and w[7:].sum() == 3 for w in drawn)
    assert np.mean(drawn, axis=0) == pytest.approx(np.ones(10), abs=0.25)
    again = [w.copy() for w in metrics.resamples(strata, 200, seed=3)]
    assert (np.array(drawn) == np.array(again)).all()
    assert (drawn[0] != next(iter(metrics.resamples(strata, 1, seed=4)))).any()


def test_an_interval_holds_the_middle_and_is_undefined_where_a_value_is():
    values = np.arange(1001.0)
    assert metrics.interval(values) == pytest.approx((25.0, 975.0))
    assert metrics.interval(values, 0.5) == pytest.approx((250.0, 750.0))
    assert all(math.isnan(end) for end in metrics.interval(np.array([1.0, math.nan])))
