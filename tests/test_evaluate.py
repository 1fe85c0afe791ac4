import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from test_scoring import Brightness
from tiny import EXAMPLES

from pixelkin import tables
from pixelkin.errors import ConfigError, DataError
from pixelkin.evaluate import About, evaluate
from pixelkin.measure import Measuring, Results, Subject, gather, measure, measured
from pixelkin.types import Sample, Scored

ABOUT = {
    "model": "m",
    "model_sha256": "f" * 64,
    "dataset": "d",
    "dataset_sha256": "e" * 64,
    "protocol": {"input": "whole"},
}
THRESHOLDS = (0.3, 0.7)


def scored(source, label, scores):
    return [
        Scored(Sample(f"{source}/{label}/{i}.png", source, label), float(s)) for i, s in enumerate(scores)
    ]


def noisy(source, count, seed=0, gap=1.0):
    rng = np.random.default_rng(seed)
    squash = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    return [
        *scored(source, 0, squash(rng.normal(-gap / 2, 1, count))),
        *scored(source, 1, squash(rng.normal(gap / 2, 1, count))),
    ]


def report(rows, thresholds=(), **how):
    return evaluate(rows, About(**ABOUT, thresholds=thresholds), **{"resamples": 100} | how)


def page(result):
    return tables.markdown.write(tables.page_of(Results(report=result)))


def strict(text):
    """JSON without NaN and infinities."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_each_source_has_its_row_and_the_mean_is_unweighted():
    result = report([*noisy("gan", 30), *noisy("diffusion", 80, seed=1)])
    assert [(r.source, r.real, r.generated, r.joined) for r in result.rows] == [
        ("diffusion", 80, 80, None),
        ("gan", 30, 30, None),
    ]
    for name, figure in result.mean.items():
        assert figure.value == pytest.approx(np.mean([row.figures[name].value for row in result.rows]))


def test_figures_are_scikit_learn_s():
    rows = noisy("gan", 50)
    scores, labels = [r.score for r in rows], [r.sample.label for r in rows]
    figures = report(rows).rows[0].figures
    assert figures["acc"].value == accuracy_score(labels, np.array(scores) > 0.5)
    assert figures["auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert figures["ap"].value == pytest.approx(average_precision_score(labels, scores))


def test_sources_of_one_label_are_measured_against_all_such_of_the_other():
    rows = [*scored("paired", 0, [0.1]), *scored("paired", 1, [0.9]), *scored("camera", 0, [0.2, 0.3])]
    rows += [*scored("phone", 0, [0.6]), *scored("sd", 1, [0.5, 0.7, 0.8])]
    by_source = {row.source: row for row in report(rows).rows}
    counts = {name: (row.real, row.generated, row.joined) for name, row in by_source.items()}
    assert counts == {
        "camera": (2, 3, "generated"),
        "paired": (1, 1, None),
        "phone": (1, 3, "generated"),
        "sd": (3, 3, "real"),
    }
    assert by_source["phone"].figures["auc"].value == pytest.approx(2 / 3)
    assert by_source["sd"].figures["acc_real"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize(("label", "defined"), [(0, "acc_real"), (1, "acc_generated")])
def test_a_set_of_one_label_leaves_out_what_is_not_defined_and_says_so(label, defined):
    result = report(scored("only", label, [0.2, 0.9]))
    figures = strict(result.to_json())["rows"][0]["figures"]
    for name in ("ap", "auc", "tpr_at_5_fpr"):
        assert figures[name] == {"value": None, "low": None, "high": None}, name
    assert figures[defined]["value"] == figures["acc"]["value"] == 0.5
    assert "not defined" in page(result)


def test_the_mean_leaves_out_the_rows_where_a_figure_is_not_defined():
    result = report([*noisy("gan", 20), *noisy("diffusion", 20, seed=1), *scored("camera", 0, [0.1, 0.7])])
    by_source = {row.source: row for row in result.rows}
    assert by_source["camera"].joined is None
    assert by_source["camera"].figures["auc"].value is None
    both = [by_source[name].figures["auc"].value for name in ("gan", "diffusion")]
    assert result.mean["auc"].value == pytest.approx(np.mean(both))
    real = [row.figures["acc_real"].value for row in result.rows]
    assert result.mean["acc_real"].value == pytest.approx(np.mean(real))
    saved = strict(result.to_json())
    assert saved["rows"][0]["figures"]["auc"]["value"] is None
    assert saved["mean"]["auc"]["value"] == result.mean["auc"].value


def test_images_without_a_label_are_not_measured():
    rows = noisy("gan", 10)
    stray = Scored(Sample("gan/stray.png", "gan", None), 0.9)
    assert report([*rows, stray]) == report(rows)


def test_unreadable_images_are_counted_and_named():
    lost = Scored(Sample("gan/0/lost.png", "gan", 0), None, "lost.png: cut short")
    result = report([*noisy("gan", 10), lost])
    assert result.rows[0].unreadable == 1
    assert result.unreadable == {"gan/0/lost.png": "lost.png: cut short"}
    assert "lost.png: cut short" in page(result)


@pytest.mark.parametrize(
    "rows",
    [[], [Scored(Sample("a", "s", 0), None, "bad")], [Scored(Sample("a", "s", None), 0.5)]],
    ids=["none", "unreadable", "unlabelled"],
)
def test_a_set_without_a_scored_and_labelled_image_is_refused(rows):
    with pytest.raises(DataError, match=f"d: none of {len(rows)} images has both a label and a score"):
        report(rows)


def test_intervals_hold_the_value_and_narrow_with_more_images():
    small, large = (report(noisy("gan", n)).rows[0].figures for n in (20, 500))
    for name, figure in large.items():
        assert figure.low <= figure.high
        if name != "ece":  # the calibration error of a resample is biased upwards
            assert figure.low <= figure.value <= figure.high
            assert figure.high - figure.low < small[name].high - small[name].low


def plain_auc(real, generated):
    return np.mean((generated[:, None] > real) + (generated[:, None] == real) / 2)


def test_the_intervals_are_those_of_a_plain_bootstrap():
    sources = {name: noisy(name, count, seed=count) for name, count in (("gan", 100), ("diffusion", 60))}
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(700):
        values = []
        for rows in sources.values():
            parts = (np.array([r.score for r in rows if r.sample.label == label]) for label in (0, 1))
            values.append(plain_auc(*(rng.choice(part, len(part)) for part in parts)))
        drawn.append([*values, np.mean(values)])
    result = report([row for rows in sources.values() for row in rows], resamples=700)
    by_source = {row.source: row.figures for row in result.rows}
    figures = [by_source["gan"]["auc"], by_source["diffusion"]["auc"], result.mean["auc"]]
    for figure, values in zip(figures, np.transpose(drawn), strict=True):
        assert (figure.low, figure.high) == pytest.approx(
            tuple(np.quantile(values, [0.025, 0.975])), abs=0.012
        )


def test_each_source_and_label_is_redrawn_by_itself():
    pair = [*scored("pair", 0, [0.4]), *scored("pair", 1, [0.6])]
    by_source = {row.source: row.figures for row in report([*pair, *noisy("gan", 20)]).rows}
    for name, figure in by_source["pair"].items():
        assert figure.low == figure.value == figure.high, name


def test_a_source_does_not_become_one_label_by_damage():
    lost = Scored(Sample("pair/0/lost.png", "pair", 0), None, "cut short")
    rows = [lost, *scored("pair", 1, [0.6, 0.7]), *scored("camera", 0, [0.1, 0.2])]
    by_source = {row.source: row for row in report(rows).rows}
    assert (by_source["pair"].real, by_source["pair"].joined) == (0, None)
    assert by_source["pair"].figures["auc"].value is None


def test_very_large_tables_draw_fewer_resamples_and_say_so(monkeypatch):
    monkeypatch.setattr("pixelkin.evaluate.CELLS", 1000)
    result = report(noisy("gan", 50), resamples=1000)
    assert result.resamples == 200
    assert "200 resamples" in page(result)


def test_the_same_seed_gives_the_same_report():
    rows = noisy("gan", 20)
    assert report(rows, seed=1) == report(rows, seed=1)
    assert report(rows, seed=1) != report(rows, seed=2)


def test_the_card_s_thresholds_are_measured_beside():
    rows = [*scored("s", 0, [0.1, 0.7, 0.8, 0.9]), *scored("s", 1, [0.3, 0.6, 0.71, 0.99])]
    figures = report(rows, thresholds=THRESHOLDS).rows[0].figures
    assert {k: figures[k].value for k in ("false_alarms", "caught", "uncertain")} == {
        "false_alarms": 0.5,
        "caught": 0.5,
        "uncertain": 0.375,
    }
    assert "false_alarms" not in report(rows).rows[0].figures


@pytest.fixture
def tree(tmp_path):
    for folder, kind in (("0_real", "photo"), ("1_fake", "generated")):
        (tmp_path / folder).mkdir()
        for file in EXAMPLES.glob(f"{kind}-*"):
            shutil.copy(file, tmp_path / folder)
    (tmp_path / "1_fake" / "bad.png").write_bytes(b"bad")
    return tmp_path


SUBJECT = Subject(Brightness(), "brightness", "0" * 64, "the whole picture")


def measuring(root, resamples=50, workers=0, **how):
    images = gather(root, workers=workers, **how)
    return Measuring(subject=SUBJECT, images=images, workers=workers, resamples=resamples)


def test_measure_checks_scores_and_reports(tree):
    told, stages = [], []
    on_image = lambda stage, of: stages.append((stage, of))  # noqa: E731
    images = gather(tree, on_facts=told.append, on_image=on_image)
    how = {"subject": SUBJECT, "images": images, "resamples": 50, "on_image": on_image}
    result = measure(Measuring(**how), degrade="jpeg:75").report
    assert told[0].unreadable.keys() == result.unreadable.keys() == {"1_fake/bad.png"}
    assert stages == [("checking", 9)] * 9 + [("scoring jpeg-75", 9)] * 9
    assert result.about.protocol == {"input": "the whole picture", "degradation": "jpeg:75"}
    assert result.about.dataset_sha256 == told[0].sha256
    assert (result.rows[0].real, result.rows[0].generated, result.rows[0].unreadable) == (4, 4, 1)
    assert measure(measuring(tree, workers=1), degrade="jpeg:75").report == result
    clean = measure(measuring(tree)).report
    assert clean.about.protocol["degradation"] == "none"
    assert clean.rows[0].figures["ece"].value != result.rows[0].figures["ece"].value
    with pytest.raises(ConfigError, match="jpg"):
        measure(measuring(tree), degrade="jpg:75")


def test_a_set_measured_from_inside_its_folder_has_its_name(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert measure(measuring(Path())).report.about.dataset == tree.name


def test_a_page_tells_what_was_measured_how(tree):
    rows = [*noisy("gan", 5), *scored("camera", 0, [0.3]), *scored("sd", 1, [0.4])]
    text = page(report(rows, thresholds=THRESHOLDS))
    for told in (
        "f" * 64,
        "e" * 64,
        "input: whole",
        "100 resamples",
        "| gan | 5 | 5 |",
        "| sd | 1+ | 1 |",
        "| camera | 1 | 1+ |",
        "**mean**",
        "false alarms",
    ):
        assert told in text
    assert not any(word in text for word in ("nan", "None"))


def test_the_means_of_saved_reports_are_what_a_card_tells(tmp_path):
    result = report(noisy("gan", 5))
    (tmp_path / "r.json").write_text(result.to_json())
    found = measured([f"clean={tmp_path / 'r.json'}"])
    assert found["clean"]["mean"]["auc"]["value"] == result.mean["auc"].value
    assert not math.isnan(found["clean"]["mean"]["auc"]["low"])
    for wrong in ("clean", f"clean={tmp_path / 'gone.json'}"):
        with pytest.raises(ConfigError):
            measured([wrong])
