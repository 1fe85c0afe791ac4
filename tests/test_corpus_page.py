"""Counts, probes, and the page that is made of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from corpora import blob_of, make_repository
from tiny import EXAMPLES, squares

from pixelkin.errors import DataError
from pixelkin.images import encode, read
from pixelkin.lab.corpus import Entry, read_manifest, write_manifest
from pixelkin.lab.corpus.__main__ import main
from pixelkin.lab.corpus.counts import maker_of, tables
from pixelkin.lab.corpus.dropped import count_by_eye, dropped_table, read_dropped
from pixelkin.lab.corpus.families import title_of
from pixelkin.lab.corpus.page import licence_of, page
from pixelkin.lab.corpus.probe import pixel_features, probe, standardised

DOCS = Path(__file__).parents[1] / "docs"
PIXELS = squares(12)


def png(pixels, **options):
    return encode(np.ascontiguousarray(pixels), "PNG", **options)


def entry(label, source, repository="a/b", split="train", **facts):
    return Entry(split, label, source, repository, "p", "0" * 40, **facts)


ENTRIES = [
    entry("0_real", "r", kind="film_scan", camera="NIKON CORPORATION NIKON D70", year="2005", width="300",
          height="200", format="JPEG", evidence="camera", flags="untouched"),
    entry("0_real", "r", kind="night", camera="iPhone 6", width="64", height="90", format="PNG",
          evidence="path: x"),
    entry("1_fake", "g", "c/d", "unseen", generator="dreamshaper_8", family="sd1", width="512", height="512",
          format="PNG", evidence="comfy+ref", flags="untouched"),
    entry("1_fake", "sheet", "c/d", "unseen", grid="2x3", generator="x|y", family="sd1"),
    entry("2_edited", "e", "e/f", generator="Kontext", family="kontext", evidence="readme"),
]  # fmt: skip


def test_counts_are_of_images_with_each_tile_of_a_sheet():
    found = {each.title: each for each in tables(ENTRIES)}
    assert found["Splits"].rows == (
        ("train", "real", "1", "1", "2", "1"),
        ("train", "edited", "1", "1", "1", "0"),
        ("unseen", "generated", "1", "2", "7", "1"),
        ("all", "", "3", "4", "10", "2"),
    )
    families = found["Families of generators"].rows
    assert families[0] == (title_of("sd1"), "2", "2", "7", "unseen 7", "dreamshaper_8, x|y")
    assert found["Kinds of real pictures"].rows == (
        ("film scan", "1", "0", "0", "1"),
        ("night", "1", "0", "0", "1"),
    )
    makers = found["Makers of cameras and phones, by EXIF"].rows
    assert makers == (("Apple", "1", "1", "0"), ("Nikon", "1", "1", "1"), ("all", "2", "2", "1"))
    sides = {row[0]: row[-1] for row in found["Short sides, pixels"].rows}
    assert sides == {"0 to 127": "1", "128 to 255": "1", "512": "1", "not known": "7"}
    evidence = {row[0]: row[-1] for row in found["Evidence of the label"].rows}
    assert evidence == {"camera": "1", "path": "1", "comfy": "1", "readme": "1", "not known": "6"}


def test_the_counts_are_printed_and_a_cell_cannot_break_a_table(tmp_path, capsys):
    write_manifest(tmp_path / "m.tsv.gz", ENTRIES)
    assert main(["counts", f"--manifest={tmp_path / 'm.tsv.gz'}", "--split=unseen"]) == 0
    told = capsys.readouterr().out
    assert "unseen  generated  1             2        7       1" in told
    assert "train" not in told
    assert "x\\|y" in tables(ENTRIES)[1].markdown()


@pytest.mark.parametrize(
    ("camera", "maker"),
    [
        ("EASTMAN KODAK COMPANY DC240", "Kodak"),
        ("samsung SM-G900F", "Samsung"),
        ("LG-Electronics LG-D802", "LG"),
    ],
)
def test_makers_have_one_spelling(camera, maker):
    assert maker_of(camera) == maker


def test_what_people_and_programs_dropped_is_counted_by_reason(tmp_path):
    (tmp_path / "a.tsv").write_text("reason\trepository\tcount\ngrid\ta/b\t12\nGrid (x)\ta/c\tp.png\n")
    (tmp_path / "b.tsv").write_text("near_duplicate\ta/b\t3\n\nlogo_or_diagram\ta/b\n")
    by_eye = count_by_eye([tmp_path / "a.tsv", tmp_path / "b.tsv"])
    assert by_eye == {"grid": 13, "near duplicate": 3, "logo or diagram": 1}
    (tmp_path / "d.tsv").write_text(dropped_table(by_eye, {"over_cap": 5}))
    assert read_dropped(tmp_path / "d.tsv")["by program", "over_cap"] == 5
    assert read_dropped(tmp_path / "d.tsv")["by eye", "grid"] == 13
    assert read_dropped(tmp_path / "none.tsv") == {}
    (tmp_path / "d.tsv").write_text("step\treason\timages\na\tb\tmany\n")
    with pytest.raises(DataError, match="a number of images is none"):
        read_dropped(tmp_path / "d.tsv")


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ("none stated (no licence file)", "none stated"),
        ("", "none stated"),
        ("The MIT License (MIT) (LICENSE.txt)", "MIT"),
        ("GNU GENERAL PUBLIC LICENSE (LICENSE)", "GPL"),
        ("Attribution-NonCommercial-ShareAlike 4.0", "CC BY-NC (all versions)"),
        ("own words", "own words"),
    ],
)
def test_licences_have_their_usual_names(stated, licence):
    assert licence_of(stated) == licence


def test_standardising_takes_size_and_format_away():
    whole = read(EXAMPLES / "photo-flower.jpg").pixels
    small = standardised(whole[::3, ::3])
    assert standardised(whole).shape == small.shape == (128, 128, 3)
    flat = pixel_features(np.full((128, 128, 3), 7, np.uint8))
    assert (flat["mean of red"], flat["spread of green"], flat["steps down"]) == (7, 0, 0)
    assert all(np.isfinite(list(flat.values())))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twelve repositories: generated files are PNG of doubled squares, real ones JPEG of squares."""
    folder = tmp_path_factory.mktemp("corpus")
    entries = []
    for number, square in enumerate(PIXELS):
        label, name = ("1_fake" if number % 2 else "0_real"), f"o{number}/r"
        bright = [np.clip(square.astype(int) + 4 * step, 0, 255).astype(np.uint8) for step in range(6)]
        files = {
            f"{step}.x": png(pixels) if number % 2 else encode(pixels, "JPEG")
            for step, pixels in enumerate(bright)
        }
        origin = make_repository(folder / f"o{number}" / "r", files)
        entries += [Entry("dev", label, f"s{number}", name, p, blob_of(origin, p), format="X") for p in files]
    return folder, entries


def test_file_facts_tell_formats_apart_and_the_probe_is_the_same_each_time(corpus):
    clones, entries = corpus
    found = probe(entries, clones, each=6)
    figures = found["splits"]["dev"]
    assert figures["images"] == 72
    assert figures["auc"]["file facts"] == 1
    assert figures["sources"]["s0"]["file facts"] == 1
    assert figures["auc"]["standardised"] < 1
    assert probe(entries, clones, each=6) == found
    assert probe(entries[:12], clones)["splits"] == {}


def test_the_page_shows_the_probes_and_what_stands_out(tmp_path):
    write_manifest(tmp_path / "m.tsv.gz", ENTRIES)
    figures = {"images": 9, "auc": {"file facts": 0.91, "standardised": 0.7}}
    figures["sources"] = {"r": {"standardised": 0.8}, "g": {"standardised": 0.5}}
    (tmp_path / "p.json").write_text(json.dumps({"splits": {"unseen": figures}}))
    (tmp_path / "d.tsv").write_text(dropped_table({"grid": 3}, {}))
    out = tmp_path / "page.md"
    words = [f"--dropped={tmp_path / 'd.tsv'}", f"--probed={tmp_path / 'p.json'}"]
    assert main(["page", str(out), f"--manifest={tmp_path / 'm.tsv.gz'}", *words]) == 0
    text = out.read_text("utf-8")
    assert "| unseen | 9 | 0.91 | 0.70 |" in text
    assert "Over 0.65 by the standardised probe in `unseen`: 1 of 2 sources: r 0.80." in text
    assert "| grid | by eye | 3 |" in text
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(SystemExit) as stopped:
        main(["page", str(out), f"--manifest={tmp_path / 'm.tsv.gz'}", *words])
    assert stopped.value.code == 2


def test_the_shipped_page_is_what_its_tables_say():
    assert (DOCS / "corpus.md").read_text("utf-8") == page()


def test_the_counts_of_the_shipped_page_are_of_the_shipped_manifest():
    images = sum(each.images for each in read_manifest())
    assert f" {images:,} |" in page()
