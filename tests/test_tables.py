"""Reports in their forms: the paper's order, plain text that nothing in a name can break."""

import csv
import dataclasses
import io
import re
import shutil
import subprocess

import pytest
import trees
from test_evaluate import noisy, report, scored, strict
from test_scoring import Brightness

from pixelkin import tables
from pixelkin.benchmarks import benchmark
from pixelkin.evaluate import About, evaluate
from pixelkin.measure import Measuring, Results, Subject, gather, measure
from pixelkin.tables.page import Page, Table, Text
from pixelkin.types import Sample, Scored

NPR = Subject(Brightness(), "ours", "0" * 64, "whole", "npr")


def forensynths(missing=()):
    """Scores of a whole collection, and the report of them."""
    (collection,) = benchmark("forensynths").collections
    names = [subset.name for subset in collection.subsets if subset.name not in missing]
    rows = [row for place, name in enumerate(names) for row in noisy(f"ForenSynths/{name}", 20, seed=place)]
    about = About(
        model="ours", model_sha256="0" * 64, dataset="d", dataset_sha256="1" * 64, system="npr",
        benchmark="forensynths", alone=True, order=tuple(f"ForenSynths/{s.name}" for s in collection.subsets),
    )  # fmt: skip
    return collection, Results(report=evaluate(rows, about, resamples=5))


def block(page, title):
    return next(each for each in page.blocks if getattr(each, "title", "") == title)


def test_the_paper_s_rows_and_columns_come_in_the_paper_s_order_with_ours_and_the_difference():
    collection, results = forensynths()
    table = block(tables.page_of(results), "ForenSynths: Acc")
    assert table.columns == ("method", *(s.name for s in collection.subsets), "Mean")
    assert [row[0] for row in table.rows] == [*collection.means, "**ours**", "difference from NPR"]
    printed, ours, difference = table.rows[-3:]
    assert printed == ("NPR", "99.8", "96.3", "97.3", "87.5", "95.0", "99.7", "86.6", "77.4", "92.5")
    for theirs, mine, gap in zip(printed[1:], ours[1:], difference[1:], strict=True):
        assert float(gap) == pytest.approx(float(mine) - float(theirs), abs=0.11)
    own = {row.source: row.figures["acc"].value for row in results.report.rows}
    assert float(ours[4]) == pytest.approx(100 * own["ForenSynths/BigGAN"], abs=0.05)
    assert float(ours[-1]) == pytest.approx(100 * sum(own.values()) / 8, abs=0.05)


def test_accuracy_and_average_precision_are_never_in_one_table_but_side_by_side_with_print():
    _, results = forensynths()
    for each in tables.page_of(results).blocks:
        if isinstance(each, Table) and "beside Table" not in each.title and each.title != "In short":
            free = any(c in ("AUC", "AP") or c.startswith("TPR") for c in each.columns)
            decided = any(c.startswith("Acc") or c == "caught" for c in each.columns)
            assert not (free and decided), each.title


def test_a_missing_sub_testset_is_a_named_row_and_takes_the_mean_with_it():
    _, results = forensynths(missing=["GauGAN"])
    page = tables.page_of(results)
    rows = {row[0]: row for row in block(page, "ForenSynths beside Table 1").rows}
    assert rows["GauGAN"][1:4] == ("missing", "missing", "-")
    assert rows["**mean**"][3] == "-"
    assert rows["BigGAN"][3] != "-"


def test_one_label_alone_has_no_accuracy_beside_the_paper_s():
    _, results = forensynths()
    rows = [r for r in noisy("ForenSynths/GauGAN", 20) if r.sample.label == 0]
    everything = [r for name in ("ProGAN", "BigGAN") for r in noisy(f"ForenSynths/{name}", 20)]
    part = Results(report=evaluate([*everything, *rows], results.report.about, resamples=2))
    table = {row[0]: row for row in block(tables.page_of(part), "ForenSynths beside Table 1").rows}
    assert table["GauGAN"][1:6] == ("20", "0", "-", "86.6", "-")
    lines = csv.DictReader(io.StringIO(tables.csv_of(part)))
    found = {(x["source"], x["metric"]): x["difference"] for x in lines}
    assert found["ForenSynths/GauGAN", "acc"] == found["mean", "acc"] == found["mean", "ap"] == ""
    assert found["ForenSynths/ProGAN", "acc"]
    assert found["ForenSynths/StarGAN", "acc"] == ""


def test_a_marked_mean_is_emphasised_in_every_form():
    _, results = forensynths()
    about = dataclasses.replace(results.report.about, partial=("ForenSynths/ProGAN",))
    page = tables.page_of(Results(report=dataclasses.replace(results.report, about=about)))
    assert "| **mean †** |" in tables.markdown.write(page)
    assert "<strong>mean †</strong>" in tables.html.write(page)
    assert r"\textbf{mean †}" in tables.latex.write(page)


def test_degraded_images_are_not_compared_with_print():
    _, results = forensynths()
    about = dataclasses.replace(results.report.about, protocol={"degradation": "jpeg:50"})
    worse = Results(report=dataclasses.replace(results.report, about=about))
    lines = list(csv.DictReader(io.StringIO(tables.csv_of(worse))))
    assert {x["condition"] for x in lines} == {"jpeg:50"}
    assert {x["printed"] for x in lines} == {x["difference"] for x in lines} == {""}
    assert "difference from NPR" not in tables.markdown.write(tables.page_of(worse))


def test_the_mean_over_38_is_given_when_all_are_there_only():
    paper = benchmark("paper")
    sources = [collection.source(subset) for collection, subset in paper.subsets()]
    about = About(
        model="ours", model_sha256="0", dataset="d", dataset_sha256="1", system="npr", benchmark="paper",
        alone=True, order=tuple(sources),
    )  # fmt: skip
    rows = [row for source in sources for row in [*scored(source, 0, [0.1, 0.6]), *scored(source, 1, [0.9])]]
    whole, part = (
        block(
            tables.page_of(Results(report=evaluate(r, about, resamples=2))),
            "Mean over the 38 sub-testsets (Table 6)",
        )
        for r in (rows, rows[3:])
    )
    assert whole.rows[-1] == ("**ours**", "-", "66.67", "100.00")
    assert whole.rows[-2][:3] == ("NPR", "92.2", "92.20")
    assert part.rows[-1] == ("**ours**", "-", "-", "-")
    assert "37 of the 38" in part.note


def test_a_set_with_one_label_has_no_nan_anywhere(tmp_path):
    trees.fill(tmp_path / "set" / "cyclegan" / "apple" / "1_fake", "generated")
    images = gather(tmp_path / "set", "forensynths")
    text = tables.save(measure(Measuring(subject=NPR, images=images, resamples=5)), tmp_path / "out")
    assert "| ForenSynths/CycleGAN | incomplete | 0 | 3 |" in text
    assert "not defined" in text
    for file in (tmp_path / "out").iterdir():
        assert not re.search(r"\bnan\b", file.read_text("utf-8"), re.IGNORECASE), file.name


def test_names_that_mean_something_elsewhere_stay_names():
    rows = noisy("a|b_<c>&%$#{}~^\\", 5)
    page = tables.page_of(Results(report=report(rows)))
    line = next(x for x in tables.markdown.write(page).splitlines() if x.startswith("| a"))
    assert r"a\|b_&lt;c>" in line
    assert "a|b_&lt;c&gt;&amp;" in tables.html.write(page)
    assert r"a|b\_<c>\&\%\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in tables.latex.write(
        page
    )


def test_the_csv_has_every_figure_on_a_line_with_print_and_difference():
    _, results = forensynths()
    lines = list(csv.DictReader(io.StringIO(tables.csv_of(results))))
    assert len(lines) == 9 * len(results.report.mean)
    acc = next(x for x in lines if x["source"] == "ForenSynths/BigGAN" and x["metric"] == "acc")
    assert float(acc["printed"]) == 0.875
    assert float(acc["difference"]) == pytest.approx(float(acc["value"]) - 0.875, abs=1e-6)
    mean = next(x for x in lines if x["source"] == "mean" and x["metric"] == "ap")
    assert float(mean["printed"]) == 0.961


def test_an_html_page_needs_nothing_from_elsewhere():
    _, results = forensynths()
    text = tables.html.write(tables.page_of(results))
    assert "<svg" in text
    links = re.findall(r"""(?:src|href)=|url\(|@import|<script|https?://[^"\s<]+""", text)
    assert set(links) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_the_latex_compiles(tmp_path):
    _, results = forensynths()
    body = tables.latex.write(tables.page_of(results))
    (tmp_path / "t.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    )
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_latex_tables_have_as_many_cells_as_columns():
    _, results = forensynths()
    for part in tables.latex.write(tables.page_of(results)).split(r"\begin{tabular}")[1:]:
        columns = len(re.match(r"\{(l?r*)\}", part)[1])
        lines = [x for x in part.splitlines() if x.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", x)) for x in lines} == {columns - 1}


def test_files_under_both_labels_are_named():
    rows = [
        Scored(Sample("s/0_real/a.png", "s", 0), 0.1, sha256="x"),
        Scored(Sample("s/1_fake/b.png", "s", 1), 0.9, sha256="x"),
        Scored(Sample("s/1_fake/c.png", "s", 1), 0.9, sha256="y"),
    ]
    result = report(rows)
    assert result.contradictory == (("s/0_real/a.png", "s/1_fake/b.png"),)
    text = tables.markdown.write(tables.page_of(Results(report=result)))
    assert "the same file lies under both labels: s/0_real/a.png, s/1_fake/b.png" in text


def test_a_source_nobody_can_read_is_a_row_that_says_so():
    rows = [*noisy("good", 5), Scored(Sample("bad/1.png", "bad", 1), None, "bad/1.png: empty, 0 bytes")]
    result = report(rows)
    assert [(row.source, row.unreadable) for row in result.rows] == [("bad", 1), ("good", 0)]
    text = tables.markdown.write(tables.page_of(Results(report=result)))
    assert "| bad | 0 | 0 | no image could be read |" in text
    assert "bad/1.png: empty, 0 bytes" in text
    assert strict(result.to_json())["rows"][0]["figures"]["auc"]["value"] is None


def test_a_page_is_the_same_page_in_every_form():
    page = Page(
        "t",
        {"a": "b"},
        (Text("head", ("para",), ("one", "two")), Table("tab", ("x", "y"), (("1", "2"),), "note")),
    )
    for written in (tables.markdown.write(page), tables.html.write(page)):
        for told in ("head", "para", "one", "two", "tab", "note"):
            assert told in written
