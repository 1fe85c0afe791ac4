"""Published evaluations: their numbers add up, and people's folders are found for what they are."""

import numpy as np
import pytest
import trees

from pixelkin.benchmarks import COLLECTIONS, NAMES, benchmark, printed_by, printed_mean, variants
from pixelkin.benchmarks.layouts import find, unread
from pixelkin.errors import ConfigError, DataError

PAPER = benchmark("paper")
# Where the paper's own mean is off by more than its rounding, and by how much: (collection, method, metric).
MISPRINTED = {
    ("ForenSynths", "BiHPF", "ap"): 77.9625,
    ("GANGen-Detection", "Frank", "ap"): 54.6444,
    ("UniversalFakeDetect", "SelfBland", "ap"): 58.6375,
    ("Diffusion1kStep", "F3Net", "acc"): 65.56,
}


def test_the_paper_has_38_sub_testsets_of_28_generators():
    subsets = [subset for _, subset in PAPER.subsets()]
    assert len(subsets) == 38
    assert len({subset.generator for subset in subsets}) == 28
    assert [len(collection.subsets) for collection in PAPER.collections] == [8, 9, 8, 8, 5]


@pytest.mark.parametrize("name", COLLECTIONS)
def test_printed_means_are_those_of_the_printed_rows(name):
    (collection,) = benchmark(name).collections
    for method, means in collection.means.items():
        for metric, printed in means.items():
            found = np.mean([subset.printed[method][metric] for subset in collection.subsets])
            exception = MISPRINTED.get((collection.name, method, metric))
            assert found == pytest.approx(exception or printed, abs=1e-3 if exception else 0.0501)
            assert found == pytest.approx(printed, abs=0.1)


def test_table_6_is_the_mean_over_all_38_and_not_of_the_five_means():
    subsets = [subset for _, subset in PAPER.subsets()]
    for method, printed in PAPER.means.items():
        assert printed_mean(subsets, method, "acc") == pytest.approx(printed["acc"], abs=0.05), method
    npr = [collection.means["NPR"]["acc"] for collection in PAPER.collections]
    assert abs(np.mean(npr) - PAPER.means["NPR"]["acc"]) > 0.5
    assert printed_mean(subsets, "NPR", "ap") == pytest.approx(95.803, abs=1e-3)
    assert printed_mean(subsets, "FrePGAN", "acc") is None


def test_every_subset_prints_every_method_of_its_table():
    for collection in PAPER.collections:
        for subset in collection.subsets:
            assert list(subset.printed) == list(collection.means), (collection.name, subset.name)
            assert all(0 <= value <= 100 for row in subset.printed.values() for value in row.values())


def test_table_7_s_means_are_those_of_its_rows_and_its_first_row_is_table_1_s():
    rows = {(each.period, each.reference): each for each in variants()}
    assert len(rows) == 12
    for each in rows.values():
        for metric in ("acc", "ap"):
            found = np.mean([of_subset[metric] for of_subset in each.printed.values()])
            assert found == pytest.approx(getattr(each, metric), abs=0.0501), (each.period, each.reference)
    (forensynths,) = benchmark("forensynths").collections
    assert rows[2, 1].printed == {subset.name: subset.printed["NPR"] for subset in forensynths.subsets}


def test_printed_figures_are_found_by_system_source_and_metric():
    found = printed_by("paper", "npr")
    assert found["ForenSynths/BigGAN", "acc"] == pytest.approx(0.875)
    assert found["mean", "acc"] == pytest.approx(0.922)
    assert printed_by("forensynths", "sbi")["ForenSynths/BigGAN", "ap"] > 0
    assert printed_by("forensynths", "npr")["mean", "acc"] == pytest.approx(0.925)
    assert printed_by("forensynths", "dire") == printed_by("", "npr") == {}


def test_an_unknown_benchmark_is_named_beside_those_there_are():
    with pytest.raises(
        ConfigError, match="no benchmark is named 'forensynth'; the names are: paper, forensynths"
    ):
        benchmark("forensynth")
    assert benchmark("ForenSynths") is not None
    assert set(NAMES) == {"paper", *COLLECTIONS}


def states(presence):
    return {each.source.rpartition("/")[2]: each.state for each in presence}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_is_found_as_its_drive_has_it(name, tmp_path):
    which = benchmark(name)
    for _, subset in which.subsets():
        trees.plant_subset(tmp_path, subset)
    (tmp_path / "other").mkdir()
    samples, presence = find(which, tmp_path)
    for (collection, subset), each in zip(which.subsets(), presence, strict=True):
        count = 3 * len(subset.at.get("class", [""]))
        assert (each.source, each.real, each.generated) == (collection.source(subset), count, count)
        assert each.lacking == ()
        assert each.state == ("incomplete" if subset.images else "size not published")
    assert {(tmp_path / sample.path).is_file() for sample in samples} == {True}
    for sample in samples:
        assert sample.label == int("1_fake" in sample.path)


def test_the_five_collections_are_found_side_by_side(tmp_path):
    for collection in PAPER.collections:
        for subset in collection.subsets[:2]:
            trees.plant_subset(tmp_path / collection.name, subset, count=2)
    samples, presence = find(PAPER, tmp_path)
    found = [each for each in presence if each.state != "missing"]
    assert len(presence) == 38
    assert len(found) == 10
    assert {s.source.partition("/")[0] for s in samples} == {c.name for c in PAPER.collections}
    assert all(sample.path.startswith(sample.source.partition("/")[0]) for sample in samples)


def test_the_original_zip_of_universalfakedetect_shares_its_real_images(tmp_path):
    trees.plant_universalfakedetect_zip(tmp_path)
    samples, presence = find(benchmark("universalfakedetect"), tmp_path)
    assert all((each.real, each.generated) == (3, 3) for each in presence)
    assert {each.layout for each in presence} == {"the original zip, real images shared"}
    real = {s.source: s.path for s in samples if s.label == 0}
    assert real["UniversalFakeDetect/ADM"].startswith("imagenet/")
    assert real["UniversalFakeDetect/DALLE"].startswith("laion/")
    assert len({(s.source, s.path) for s in samples}) == len(samples) == 48


def test_real_images_in_a_generator_s_own_folder_are_not_taken_for_generated_ones(tmp_path):
    trees.plant_universalfakedetect_zip(tmp_path)
    (tmp_path / "dalle" / "1_fake").rename(tmp_path / "dalle" / "0_real")
    _, presence = find(benchmark("universalfakedetect"), tmp_path)
    dalle = next(each for each in presence if each.source.endswith("DALLE"))
    assert (dalle.real, dalle.generated, dalle.state) == (3, 0, "incomplete")


def test_of_two_alternative_folders_the_first_with_images_is_taken(tmp_path):
    for name in ("sdv1", "sdv1_new"):
        trees.pair(tmp_path / name, 3)
    samples, _ = find(benchmark("diffusionforensics"), tmp_path)
    assert {s.path.partition("/")[0] for s in samples} == {"sdv1_new"}
    assert len(samples) == 6


def test_folders_that_differ_by_case_alone_are_refused(tmp_path):
    for name in ("adm", "ADM"):
        trees.pair(tmp_path / name, 1)
    with pytest.raises(DataError, match="differ by the case of their letters alone"):
        find(benchmark("diffusionforensics"), tmp_path)


def test_a_folder_without_its_images_and_folders_of_something_else_are_said(tmp_path):
    trees.pair(tmp_path / "stargan", 1)
    trees.pair(tmp_path / "deepfake" / "deepfake", 1)
    trees.pair(tmp_path / "crn", 1)
    which = benchmark("forensynths")
    samples, presence = find(which, tmp_path)
    deepfake = next(each for each in presence if each.source.endswith("Deepfake"))
    assert deepfake.lacking == ("the folder deepfake is there, but no image where it is looked for",)
    assert unread(which, tmp_path, samples) == ["crn", "deepfake"]


def test_dire_s_own_layout_is_found_with_its_numbered_folders(tmp_path):
    trees.plant_dire(tmp_path)
    samples, presence = find(benchmark("diffusionforensics"), tmp_path)
    counts = {each.source.rpartition("/")[2]: (each.real, each.generated) for each in presence}
    assert counts["ADM"] == (3 + 4, 3 + 4)
    assert counts["Stable Diffusion v1"] == (4, 4)
    assert counts["Stable Diffusion v2"] == (6, 6)
    assert counts["DDPM"] == (3, 3)
    assert not any("train" in s.path or "midjourney" in s.path for s in samples)


def test_genimage_s_archives_are_found_whatever_the_case(tmp_path):
    trees.plant_genimage(tmp_path)
    samples, presence = find(benchmark("genimage"), tmp_path)
    assert all((each.real, each.generated) == (3, 3) for each in presence)
    assert all("/val/" in s.path for s in samples)


@pytest.mark.parametrize(
    ("damage", "state", "lacking"),
    [
        (lambda _: None, "complete", ()),
        (lambda root: [file.unlink() for file in root.rglob("1_fake/*.png")], "incomplete", ()),
        (
            lambda root: (root / "zebra").rename(root / "zebras"),
            "incomplete",
            ("zebra",),
        ),
        (lambda root: trees.pair(root / "apple", 12), "more than published", ()),
    ],
)
def test_what_is_there_is_told_against_what_was_published(tmp_path, damage, state, lacking, monkeypatch):
    which = benchmark("forensynths")
    (collection,) = which.collections
    subset = next(s for s in collection.subsets if s.name == "CycleGAN")
    trees.plant_subset(tmp_path, subset)
    small = subset.__class__(
        name=subset.name,
        generator=subset.generator,
        at=subset.at,
        images=36,
        within=1,
        printed=subset.printed,
    )
    fields = {name: getattr(collection, name) for name in collection.__dataclass_fields__}
    little = which.__class__(
        name=which.name,
        table="",
        means={},
        collections=(collection.__class__(**fields | {"subsets": (small,)}),),
    )
    damage(tmp_path / "cyclegan")
    _, (presence,) = find(little, tmp_path)
    assert presence.state == state
    assert presence.lacking == lacking


def test_a_folder_with_nothing_of_a_benchmark_is_refused(tmp_path):
    trees.pair(tmp_path / "mine")
    with pytest.raises(
        DataError, match="nothing of the benchmark forensynths is in it; its folders are: progan"
    ):
        find(benchmark("forensynths"), tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        find(benchmark("forensynths"), tmp_path / "gone")
