"""Candidates become a manifest: checked, without duplicates, in splits that share no repository or author."""

import csv
import gzip
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from corpora import blob_of, clone, make_repository
from PIL.PngImagePlugin import PngInfo
from tiny import EXAMPLES, squares

from pixelkin.errors import ConfigError, DataError
from pixelkin.images import encode, read
from pixelkin.lab.corpus import Entry, read_manifest, write_manifest
from pixelkin.lab.corpus.__main__ import main
from pixelkin.lab.corpus.assembly import _contradicted
from pixelkin.lab.corpus.candidates import COLUMNS, LABELS, read_candidates
from pixelkin.lab.corpus.readings import read_blob
from pixelkin.lab.corpus.reserved import digest
from pixelkin.lab.corpus.splits import assign, check_splits, read_authors, read_rules

PHOTOGRAPHS = [read(file).pixels for file in sorted(EXAMPLES.glob("photo-*"))]
NOISE = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), np.uint8)


def jpeg(pixels, quality=90):
    return encode(np.ascontiguousarray(pixels), "JPEG", quality=quality)


def png(pixels):
    return encode(np.ascontiguousarray(pixels), "PNG")


GENERATED = {
    "out/1.png": png(NOISE[0]),
    "out/2.png": png(NOISE[1]),
    "out/3.png": png(NOISE[2]),
    "copy of 1.png": png(NOISE[0]),
    "small.png": png(NOISE[3][:40]),
    "black.png": png(np.zeros((90, 90, 3), np.uint8)),
    "torn.png": png(NOISE[4])[:2000],
    "text.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
}
REAL = {
    "a.jpg": jpeg(PHOTOGRAPHS[0]),
    "smaller.jpg": jpeg(PHOTOGRAPHS[0][::2, ::2], 70),
    "b.jpg": jpeg(PHOTOGRAPHS[1], 80),
    "restored.png": png(np.clip(PHOTOGRAPHS[1].astype(int) + 2, 0, 255).astype(np.uint8)),
}
OTHER = {
    "c.jpg": jpeg(PHOTOGRAPHS[2]),
    "a again.jpg": jpeg(PHOTOGRAPHS[0], 60),
    "d.jpg": jpeg(PHOTOGRAPHS[3]),
}


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """Clones of three repositories of two owners."""
    folder = tmp_path_factory.mktemp("clones")
    for name, files in (("maker/gen", GENERATED), ("someone/photos", REAL), ("another/photos", OTHER)):
        clone(make_repository(folder / "origins" / name, files), folder, name.replace("/", "+"))
    return folder


def row(clones, repository, path, label="generated", **values):
    """One candidate as its table has it."""
    blob = values.pop("git_blob", None) or blob_of(clones / "origins" / repository, path)
    source = ("gen_" if label == "generated" else "pics_") + repository.replace("/", "_")
    facts = {"label": label, "source": source, "repository": repository, "path": path, "git_blob": blob}
    made = {"kind": "camera"} if label == "real" else {"generator": "dreamshaper_8", "family": "sd1"}
    return facts | {"evidence": "path"} | made | values


@pytest.fixture
def assembled(clones, tmp_path):
    """A function that assembles rows and gives the new entries and the dropped rows."""

    def assemble(rows, splits="", base=(), reserved="", options=()):
        table = tmp_path / "rows.tsv"
        lines = [COLUMNS, *([each.get(name, "") for name in COLUMNS] for each in rows)]
        table.write_text("".join("\t".join(line) + "\n" for line in lines), "utf-8")
        write_manifest(tmp_path / "base.tsv.gz", base)
        (tmp_path / "reserved.txt").write_text(reserved)
        (tmp_path / "splits.toml").write_text(splits)
        words = {"clones": clones, "reserved": "reserved.txt", "splits": "splits.toml", "base": "base.tsv.gz"}
        words |= {"into": "new.tsv.gz", "dropped": "dropped.tsv"}
        given = [f"--{name}={tmp_path / place}" for name, place in words.items()]
        assert main(["assemble", str(table), *given, *options]) == 0
        with (tmp_path / "dropped.tsv").open(encoding="utf-8", newline="") as file:
            dropped = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        entries = read_manifest(tmp_path / "new.tsv.gz")
        assert entries[: len(base)] == list(base)
        return entries[len(base) :], dropped

    return assemble


def reasons(dropped):
    return {each["path"]: each["reason"] for each in dropped}


def test_entries_have_the_facts_of_their_files(clones, assembled):
    rows = [
        row(clones, "maker/gen", "out/1.png", flags="untouched, Edit"),
        row(clones, "someone/photos", "b.jpg", "real"),
    ]
    entries, dropped = assembled(rows)
    assert dropped == []
    assert entries == [
        Entry(
            "train", "0_real", "pics_someone_photos", "someone/photos", "b.jpg", rows[1]["git_blob"],
            evidence="path", kind="camera", width="600", height="400", format="JPEG", jpeg_quality="80",
        ),
        Entry(
            "train", "1_fake", "gen_maker_gen", "maker/gen", "out/1.png", rows[0]["git_blob"],
            generator="dreamshaper_8", family="sd1", evidence="path", flags="edit untouched",
            width="96", height="96", format="PNG",
        ),
    ]  # fmt: skip


def test_what_cannot_be_used_is_dropped_with_its_reason(clones, assembled):
    paths = ["out/1.png", "copy of 1.png", "small.png", "black.png", "torn.png", "text.png"]
    rows = [row(clones, "maker/gen", path) for path in paths]
    rows.append(row(clones, "maker/gen", "gone.png", git_blob="0" * 40))
    rows.append(row(clones, "nobody/nothing", "x.png", git_blob="1" * 40))
    entries, dropped = assembled(rows)
    assert [each.path for each in entries] == ["out/1.png"]
    assert reasons(dropped) == {
        "copy of 1.png": "exact_duplicate",
        "small.png": "too_small",
        "black.png": "blank",
        "torn.png": "unreadable",
        "text.png": "unreadable",
        "gone.png": "absent",
        "x.png": "no_clone",
    }
    assert {each["path"]: each["detail"] for each in dropped}[
        "text.png"
    ] == "a pointer of Git LFS, not the image"


def test_wrong_rows_are_dropped_and_what_can_be_mended_is(clones, assembled):
    good = row(clones, "maker/gen", "out/1.png")
    rows = [
        good
        | {"family": "Stable Diffusion", "source": "Gen: ONE", "label": "Generated", "year": "last year"},
        row(clones, "maker/gen", "out/2.png", label="fake"),
        row(clones, "someone/photos", "a.jpg", "real", kind="holiday"),
        row(clones, "someone/photos", "b.jpg", "real", kind="Film scan", generator="x", family="sd1"),
        good | {"git_blob": "abc", "path": "short"},
    ]
    entries, dropped = assembled(rows)
    assert reasons(dropped) == {"out/2.png": "bad_label", "a.jpg": "bad_kind", "short": "bad_row"}
    real, made = entries
    assert (made.source, made.family, made.year) == ("gen_one", "sd1", "")
    assert (real.kind, real.generator, real.family) == ("film_scan", "", "")


def test_what_is_reserved_is_refused_in_any_case_and_any_repository(clones, assembled):
    blob = blob_of(clones / "origins/someone/photos", "b.jpg")
    kept = f"{digest('repository', 'maker/gen')}\n{digest('blob', blob)}\n"
    rows = [row(clones, "maker/gen", "out/1.png") | {"repository": "Maker/Gen"}]
    rows += [row(clones, "someone/photos", path, "real") for path in ("a.jpg", "b.jpg")]
    entries, dropped = assembled(rows, reserved=kept)
    assert [each.path for each in entries] == ["a.jpg"]
    assert reasons(dropped) == {"out/1.png": "reserved", "b.jpg": "reserved"}


def test_near_duplicates_go_and_the_evaluation_keeps_its_own(clones, assembled):
    rows = [row(clones, "someone/photos", path, "real") for path in ("a.jpg", "smaller.jpg", "b.jpg")]
    rows += [row(clones, "another/photos", path, "real", kind="night") for path in ("a again.jpg", "d.jpg")]
    entries, dropped = assembled(rows, '[unseen]\nkinds = ["night"]\n')
    assert {(each.split, each.path) for each in entries} == {
        ("unseen", "a again.jpg"),
        ("unseen", "d.jpg"),
        ("train", "b.jpg"),
    }
    assert reasons(dropped) == {"a.jpg": "near_duplicate", "smaller.jpg": "near_duplicate"}
    assert dropped[0]["detail"] == "unseen another/photos a again.jpg"


def test_an_original_and_what_was_made_of_it_both_stay(clones, assembled):
    photograph = row(clones, "someone/photos", "b.jpg", "real")
    restored = row(clones, "someone/photos", "restored.png", generator="GFPGAN", family="")
    entries, dropped = assembled([photograph, restored])
    assert {each.family for each in entries} == {"", "face-restoration"}
    assert dropped == []
    _, dropped = assembled([photograph, restored | {"generator": "SDXL"}])
    assert reasons(dropped) == {"restored.png": "near_duplicate"}


@pytest.mark.parametrize(
    ("graph", "label", "stated", "reason"),
    [
        ({"1": ("KSampler", {})}, "real", "path", "says_generated"),
        ({"1": ("SaveImage", {"images": ["2", 0]}), "2": ("CannyEdge", {})}, "real", "path", None),
        (
            {"1": ("SaveImage", {"images": ["2", 0]}), "2": ("CannyEdge", {})},
            "generated",
            "comfy",
            "not_generated",
        ),
        (
            {"1": ("VAEDecode", {"samples": ["2", 0]}), "2": ("LoadImage", {})},
            "generated",
            "comfy",
            "edit_unclear",
        ),
        ({"1": ("VAEDecode", {"samples": ["2", 0]}), "2": ("LoadImage", {})}, "edited", "comfy", None),
        ({"1": ("KSampler", {})}, "generated", "comfy", None),
    ],
)
def test_a_label_that_its_file_contradicts_is_not_believed(graph, label, stated, reason, tmp_path):
    info = PngInfo()
    nodes = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in graph.items()}
    info.add_text("prompt", json.dumps(nodes))
    reading = read_blob("0" * 40, "x.png", encode(NOISE[0], "PNG", pnginfo=info))
    entry = Entry("", LABELS[label], "s", "a/b", "x.png", "0" * 40, evidence=stated, family="sdxl")
    assert (_contradicted(entry, reading) or (None,))[0] == reason


def test_older_entries_stay_and_what_looks_like_them_goes(clones, assembled):
    blobs = {path: blob_of(clones / "origins/another/photos", path) for path in OTHER}
    old = [
        Entry("train", "0_real", "old", "another/photos", path, blobs[path])
        for path in ("a again.jpg", "c.jpg")
    ]
    rows = [row(clones, "someone/photos", "a.jpg", "real")]
    rows += [row(clones, "another/photos", path, "real") for path in ("c.jpg", "d.jpg")]
    entries, dropped = assembled(rows, base=old)
    assert [each.path for each in entries] == ["d.jpg"]
    assert reasons(dropped) == {"a.jpg": "near_duplicate", "c.jpg": "exact_duplicate"}


def test_a_manifest_beside_is_compared_with_and_not_written(clones, assembled, tmp_path):
    blob = blob_of(clones / "origins/another/photos", "a again.jpg")
    other = [Entry("wild-dev", "0_real", "old", "another/photos", "a again.jpg", blob)]
    write_manifest(tmp_path / "beside.tsv.gz", other)
    rows = [row(clones, "someone/photos", path, "real") for path in ("a.jpg", "b.jpg")]
    rows.append(row(clones, "another/photos", "d.jpg", "real"))
    entries, dropped = assembled(rows, options=[f"--beside={tmp_path / 'beside.tsv.gz'}"])
    assert [each.path for each in entries] == ["b.jpg"]
    assert reasons(dropped) == {"a.jpg": "near_duplicate", "d.jpg": "author_of_evaluation"}


def test_no_source_has_more_images_than_the_cap(clones, assembled):
    rows = [row(clones, "maker/gen", f"out/{n}.png") for n in (3, 1, 2)]
    entries, dropped = assembled(rows, options=["--most=2"])
    assert [each.path for each in entries] == ["out/1.png", "out/2.png"]
    assert reasons(dropped) == {"out/3.png": "over_cap"}


def test_an_assembly_goes_on_where_it_stopped_and_gives_the_same_bytes(clones, assembled, tmp_path):
    rows = [row(clones, "maker/gen", f"out/{n}.png") for n in (1, 2, 3)]
    rows += [row(clones, "someone/photos", path, "real") for path in REAL]
    first, _ = assembled(rows)
    manifest, cache = tmp_path / "new.tsv.gz", tmp_path / "new.tsv.gz.readings.tsv"
    content, readings = manifest.read_bytes(), cache.read_text()
    cache.write_text(readings[: len(readings) * 2 // 3])  # it was killed in the middle of a line
    assert assembled(rows)[0] == first
    assert manifest.read_bytes() == content
    assert sorted(cache.read_text().splitlines()) == sorted(readings.splitlines())
    cache.write_text("other\tcolumns\n")
    assert assembled(list(rows))[0] == first


def test_sources_have_one_repository_each_and_are_described(clones, assembled, tmp_path):
    rows = [row(clones, "maker/gen", "out/1.png"), row(clones, "someone/photos", "b.jpg", "real")]
    rows.append(row(clones, "another/photos", "d.jpg", "real"))
    rows = [each | {"source": "one"} for each in rows]
    columns = ["source", "label", "generator_or_kind", "repository", "licence", "evidence", "author", "notes"]
    stated = ["one", "real", "camera", "Another/photos", "CC0", "EXIF", "another", "few"]
    (tmp_path / "sources.tsv").write_text("\t".join(columns) + "\n" + "\t".join(stated) + "\n")
    out = tmp_path / "described.tsv"
    entries, _ = assembled(rows, options=[f"--sources={tmp_path / 'sources.tsv'}", f"--described={out}"])
    assert {(each.source, each.repository) for each in entries} == {
        ("one", "maker/gen"),
        ("one_someone", "someone/photos"),
        ("one_another", "another/photos"),
    }
    with out.open(newline="", encoding="utf-8") as file:
        told = {each["source"]: each for each in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    assert told["one_another"] == {
        "source": "one_another", "label": "0_real", "generator": "camera", "repository": "another/photos",
        "images": "1", "stored": "JPEG 1; q90-90", "short_side": "427 (427-427)", "licence": "CC0",
        "evidence": "EXIF", "notes": "few",
    }  # fmt: skip
    assert told["one"]["generator"] == "dreamshaper_8"
    assert told["one"]["licence"] == "none stated"


def candidate(repository, source="s", **values):
    facts = {"label": "1_fake", "family": "sdxl"} | values
    return Entry("", facts.pop("label"), source, repository, "p", "0" * 40, **facts)


def rules(tmp_path, text):
    (tmp_path / "splits.toml").write_text(text)
    return read_rules(tmp_path / "splits.toml")


def test_a_repository_and_an_author_lie_in_one_split(tmp_path):
    found = rules(
        tmp_path, '[unseen]\nfamilies = ["kolors"]\nsources = ["chosen"]\n[dev]\nauthors = ["Ann"]\n'
    )
    entries = [
        candidate("a/one", family="kolors"),
        candidate("a/two"),
        candidate("b/one"),
        candidate("c/one", "chosen"),
        candidate("d/one"),
        candidate("ann/one"),
        candidate("e/one"),
    ]
    sources = tmp_path / "sources.tsv"
    stated = [
        ("C/one", "The Prompts"),
        ("d/one", "the prompts"),
        ("b/one", "unknown"),
        ("e/one", "none stated"),
    ]
    sources.write_text("repository\tauthor\n" + "".join("\t".join(line) + "\n" for line in stated))
    splits, dropped = assign(entries, found, read_authors([sources]), [])
    assert [splits[n] for n in range(7)] == ["unseen", "unseen", "train", "unseen", "unseen", "dev", "train"]
    assert dropped == []


def test_what_is_trained_on_already_is_not_held_out_and_nothing_is_added_to_a_split_for_judging(tmp_path):
    found = rules(tmp_path, '[unseen]\nfamilies = ["kolors"]\n')
    fixed = [replace(candidate("a/old"), split="train"), replace(candidate("b/old"), split="dev")]
    entries = [candidate("a/new"), candidate("a/other", family="kolors"), candidate("b/new")]
    splits, dropped = assign(entries, found, {}, fixed)
    assert splits == {0: "train"}
    assert Counter(each.reason for each in dropped) == {"held_out_but_trained": 1, "author_of_evaluation": 1}


def test_families_hold_out_what_is_generated_and_kinds_what_is_real(tmp_path):
    found = rules(tmp_path, '[unseen]\nfamilies = ["kolors"]\nkinds = ["night"]\n')
    entries = [candidate("a/a", label="0_real", family="", kind="night"), candidate("b/b", kind="night")]
    assert assign(entries, found, {}, [])[0] == {0: "unseen", 1: "train"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[test]\n", "no split is named 'test'"),
        ("[train]\n", "no split is named 'train'"),
        ('[unseen]\nfamily = ["a"]\n', "not ['family']"),
        ('[unseen]\nfamilies = "a"\n', "must be a list of names"),
        ("[unseen\n", "cannot be read"),
    ],
)
def test_wrong_rules_are_refused_by_name(text, says, tmp_path):
    with pytest.raises(ConfigError) as refused:
        rules(tmp_path, text)
    assert says in str(refused.value)


def test_a_repository_in_two_splits_is_found():
    check_splits([replace(candidate("a/a"), split="dev"), replace(candidate("A/a"), split="unseen")])
    with pytest.raises(DataError, match="a/a: lies in the splits dev, train"):
        check_splits([replace(candidate("a/a"), split="dev"), replace(candidate("A/a"), split="train")])


def test_tables_that_are_none_are_refused(tmp_path, capsys):
    table = tmp_path / "rows.tsv"
    table.write_text("label\tsource\n")
    with pytest.raises(DataError, match="without the columns camera, evidence"):
        read_candidates([table])
    with pytest.raises(DataError, match="cannot be read"):
        read_candidates([tmp_path / "none.tsv"])
    (tmp_path / "reserved.txt").write_text("abc")
    write_manifest(tmp_path / "m.tsv.gz", [])
    words = [f"--{name}={tmp_path / 'reserved.txt'}" for name in ("clones", "reserved", "splits", "dropped")]
    with pytest.raises(SystemExit) as stopped:
        main(["assemble", str(table), *words, f"--into={tmp_path / 'n'}", f"--base={tmp_path / 'm.tsv.gz'}"])
    assert stopped.value.code == 2
    assert "'abc' is no digest of 32 digits" in capsys.readouterr().err


def test_joined_tables_and_marks_of_byte_order_are_read(tmp_path):
    line = "\t".join(["real", "s", "a/b", "x y.png", "0" * 40, "", "", "e", "camera", "", "", ""])
    header = "\t".join(COLUMNS)
    (tmp_path / "rows.tsv").write_text(f"\ufeff{header}\n{line}\n{header}\n{line}\n", "utf-8")
    found = read_candidates([tmp_path / "rows.tsv"], ["s"])
    assert [each.source for each in found.entries] == ["s_a", "s_a"]
    assert found.dropped == []


def test_the_manifest_is_compressed_without_a_time(assembled, clones, tmp_path):
    assembled([row(clones, "maker/gen", "out/1.png")])
    data = (tmp_path / "new.tsv.gz").read_bytes()
    assert data[4:8] == bytes(4)
    assert gzip.decompress(data).startswith(b"split\tlabel\tsource")


def test_pictures_of_one_path_in_two_commits_have_two_names():
    names = {replace(candidate("a/a"), git_blob=digit * 40, format="PNG").file_name for digit in "ab"}
    assert names == {"aaaaaaaa_p", "bbbbbbbb_p"}


def test_squares_of_photographs_are_told_apart():
    from pixelkin.lab.corpus.duplicates import difference_hash, find_duplicates

    hashes = [difference_hash(square)[0] for square in squares(40)]
    assert find_duplicates(hashes) == {}
    assert find_duplicates([*hashes, *hashes]) == {n + 40: n for n in range(40)}
