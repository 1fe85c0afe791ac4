"""A corpus laid out from clones by its manifest, and the laws that the shipped manifest keeps."""

import csv
import gzip
import re
from collections import Counter, defaultdict
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from corpora import blob_of, clone, make_repository
from tiny import squares

from pixelkin.data import bytes_of, find_samples
from pixelkin.errors import DataError
from pixelkin.images import encode, read
from pixelkin.lab.corpus import Entry, lay_out, read_manifest, write_manifest
from pixelkin.lab.corpus.__main__ import main
from pixelkin.lab.corpus.candidates import FLAGS, KINDS
from pixelkin.lab.corpus.clones import blobs, git_directory, repository_of, tree
from pixelkin.lab.corpus.families import names as family_names
from pixelkin.lab.corpus.layout import sample, write_shards
from pixelkin.lab.corpus.manifest import COLUMNS, LONGEST_NAME, REQUIRED, SOURCES

NAME = "someone/pictures"
TILES = squares(4)
SHEET = np.vstack([np.hstack(TILES[:2]), np.hstack(TILES[2:])])
FILES = {
    "a photo.jpg": encode(TILES[0], "JPEG", quality=80),
    "out/deep/0.png": encode(TILES[1], "PNG"),
    "sheet.png": encode(SHEET, "PNG"),
    "torn.png": b"no sheet",
}
LAID_OUT = {
    "train/0_real/cats/a_photo.jpg",
    "dev/1_fake/gan/out_deep_0.png",
    *(f"train/1_fake/sheets/sheet_{row}{column}.png" for row in (0, 1) for column in (0, 1)),
}


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository of two images, a contact sheet of four, and one that is damaged."""
    return make_repository(tmp_path_factory.mktemp("origin"), FILES)


@pytest.fixture(scope="module")
def rows(origin):
    return [
        entry(origin, "train/0_real/cats", "a photo.jpg"),
        entry(origin, "dev/1_fake/gan", "out/deep/0.png"),
        entry(origin, "train/1_fake/sheets", "sheet.png", "2x2"),
    ]


def entry(origin, folder, path, grid=""):
    return Entry(*folder.split("/"), NAME, path, blob_of(origin, path), grid)


def written(path, rows):
    write_manifest(path, rows)
    return path


def laid_out(folder):
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("someone+pictures", []),
        ("someone/pictures", []),
        ("someone+pictures", ["--bare"]),
        ("someone+pictures/repo", ["--bare"]),
        ("someone/pictures/repo", ["--no-checkout"]),
    ],
)
def test_any_kind_of_clone_gives_the_files_byte_for_byte(origin, rows, tmp_path, name, options):
    there, missing = lay_out(rows, clone(origin, tmp_path / "clones", name, *options), tmp_path / "out")
    assert there == {"train/0_real/cats": 1, "dev/1_fake/gan": 1, "train/1_fake/sheets": 4}
    assert not missing
    assert laid_out(tmp_path / "out") == LAID_OUT
    assert (tmp_path / "out/train/0_real/cats/a_photo.jpg").read_bytes() == FILES["a photo.jpg"]
    assert (tmp_path / "out/dev/1_fake/gan/out_deep_0.png").read_bytes() == FILES["out/deep/0.png"]
    assert {(s.source, s.label) for s in find_samples(tmp_path / "out")} == {
        ("train/cats", 0),
        ("train/sheets", 1),
        ("dev/gan", 1),
    }


def test_the_tiles_of_a_contact_sheet_are_cut_apart(origin, rows, tmp_path):
    lay_out(rows[2:], clone(origin, tmp_path), tmp_path / "out")
    for place, tile in enumerate(TILES):
        row, column = divmod(place, 2)
        file = tmp_path / "out/train/1_fake/sheets" / f"sheet_{row}{column}.png"
        assert (read(file).pixels == tile).all()


def test_a_folder_of_a_repository_is_not_taken_for_its_objects(origin, rows, tmp_path):
    clone(origin, tmp_path)
    for decoy in ("objects", "repo/objects"):
        (tmp_path / "someone+pictures" / decoy).mkdir(parents=True)
    assert git_directory(tmp_path, NAME) == tmp_path / "someone+pictures/.git"
    assert lay_out(rows, tmp_path, tmp_path / "out")[1] == {}


def test_what_lies_there_is_not_written_again(origin, rows, tmp_path):
    clone(origin, tmp_path / "clones")
    first = lay_out(rows, tmp_path / "clones", tmp_path / "out")
    changed = tmp_path / "out/train/1_fake/sheets/sheet_01.png"
    changed.write_bytes(b"mine")
    (tmp_path / "out/dev/1_fake/gan/out_deep_0.png").unlink()
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in laid_out(tmp_path / "out")}
    assert lay_out(rows, tmp_path / "clones", tmp_path / "out") == first
    again = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in LAID_OUT}
    assert set(again) - set(times) == {"dev/1_fake/gan/out_deep_0.png"}
    assert {name: again[name] for name in times} == times
    assert changed.read_bytes() == b"mine"


def test_what_is_missing_is_counted_and_the_rest_laid_out(origin, rows, tmp_path, capsys):
    lost = [
        Entry("train", "0_real", "dogs", "nobody/nothing", "dog.jpg", rows[0].git_blob, ""),
        Entry("train", "0_real", "cats", NAME, "gone.jpg", "0" * 40, ""),
        entry(origin, "train/0_real/cats", "out"),  # a folder, not a file
        entry(origin, "train/1_fake/sheets", "torn.png", "2x2"),
    ]
    manifest = written(tmp_path / "m.tsv.gz", lost + rows)
    clones, out = clone(origin, tmp_path / "clones"), tmp_path / "out"
    assert main(["layout", f"--manifest={manifest}", f"--clones={clones}", f"--out={out}"]) == 1
    told = capsys.readouterr()
    assert [line.split(maxsplit=2) for line in told.err.splitlines()] == [
        ["missing", "1", "nobody/nothing (no clone)"],
        ["missing", "2", f"{NAME} (objects)"],
        ["missing", "1", f"{NAME} (unreadable)"],
    ]
    assert [line.split() for line in told.out.splitlines()] == [
        ["1", "dev/1_fake/gan"],
        ["1", "train/0_real/cats"],
        ["4", "train/1_fake/sheets"],
    ]
    assert laid_out(out) == LAID_OUT


def test_a_split_or_a_source_can_be_laid_out_alone(origin, rows, tmp_path, capsys):
    manifest, clones = written(tmp_path / "m.tsv.gz", rows), clone(origin, tmp_path)
    where = ["layout", f"--manifest={manifest}", f"--clones={clones}"]
    assert main([*where, f"--out={tmp_path / 'dev'}", "--split=dev"]) == 0
    assert laid_out(tmp_path / "dev") == {"dev/1_fake/gan/out_deep_0.png"}
    assert main([*where, f"--out={tmp_path / 'some'}", "--source=gan", "--source=cats"]) == 0
    assert len(laid_out(tmp_path / "some")) == 2
    assert capsys.readouterr().err == ""


def test_the_repositories_needed_are_listed_and_nothing_is_written(rows, tmp_path, capsys):
    other = Entry("dev", "0_real", "dogs", "anyone/dogs", "dog.jpg", "0" * 40, "")
    manifest = written(tmp_path / "m.tsv.gz", [*rows, other])
    assert main(["list", f"--manifest={manifest}"]) == 0
    assert capsys.readouterr().out == "anyone/dogs\t1\nsomeone/pictures\t3\n"
    assert list(tmp_path.iterdir()) == [manifest]
    main(["list", f"--manifest={manifest}", "--split=dev"])
    assert capsys.readouterr().out == "anyone/dogs\t1\nsomeone/pictures\t1\n"


HEADER = "\t".join(COLUMNS).encode() + b"\n"


NO_MANIFESTS = {
    "nothing": None,
    "plain text": HEADER,
    "cut short": gzip.compress(HEADER * 50)[:-20],
    "damaged": gzip.compress(b"")[:10] + b"\xff" * 30,
    "no text": gzip.compress(b"\xff\xfe\n"),
    "other columns": gzip.compress(b"path\tsha256\na.png\t00\n"),
    "a row too short": gzip.compress(HEADER + b"train\t0_real\n"),
    "a row too long": gzip.compress(HEADER + b"\t".join([b"a"] * 19) + b"\n"),
}


@pytest.mark.parametrize("content", NO_MANIFESTS.values(), ids=NO_MANIFESTS)
def test_a_file_that_is_no_manifest_is_refused_in_one_sentence(content, tmp_path, capsys):
    manifest = tmp_path / "m.tsv.gz"
    if content is not None:
        manifest.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        main(["list", f"--manifest={manifest}"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{manifest} is no manifest of a corpus (")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("words", "missing"), [(["layout", "--out=x"], "--clones"), ([], "COMMAND")])
def test_what_a_command_needs_is_asked_for(words, missing, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert f"the following arguments are required: {missing}" in capsys.readouterr().err


def test_a_manifest_without_the_newer_columns_is_read(rows, tmp_path):
    lines = [list(REQUIRED), *(astuple(row)[: len(REQUIRED)] for row in rows)]
    old = tmp_path / "old.tsv.gz"
    old.write_bytes(gzip.compress("".join("\t".join(line) + "\n" for line in lines).encode()))
    assert read_manifest(old) == rows
    assert read_manifest(old)[0].family == ""


def test_a_manifest_comes_back_as_it_was_written_and_always_in_the_same_bytes(rows, tmp_path):
    rows = [replace(row, family="sdxl", camera="Canon EOS R5", year="2024") for row in rows]
    first, second = written(tmp_path / "a.tsv.gz", rows), written(tmp_path / "b.tsv.gz", rows)
    assert read_manifest(first) == rows
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(DataError, match="a tab or line break"):
        write_manifest(first, [replace(rows[0], path="a\tb.png")])
    assert first.read_bytes() == second.read_bytes()


def test_shards_hold_what_the_folders_hold_and_are_the_same_when_made_again(origin, rows, tmp_path):
    clones = clone(origin, tmp_path / "clones")
    there, missing = lay_out(rows, clones, tmp_path / "out")
    for place in ("a", "b"):
        assert write_shards(rows, clones, tmp_path / place, most=3000) == (there, missing)
    shards = sorted(file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*.tar"))
    assert len(shards) > len({row.split for row in rows})
    assert all(
        (tmp_path / "a" / each).read_bytes() == (tmp_path / "b" / each).read_bytes() for each in shards
    )
    ours, theirs = find_samples(tmp_path / "a"), find_samples(tmp_path / "out")
    assert {each.path: (each.source, each.label) for each in ours} == {
        each.path: (each.source, each.label) for each in theirs
    }
    contents = {each.path: bytes_of(tmp_path / "out", each) for each in theirs}
    assert all(bytes_of(tmp_path / "a", each) == contents[each.path] for each in ours)


def test_shards_of_before_do_not_stay_beside_new_ones(origin, rows, tmp_path):
    clones = clone(origin, tmp_path / "clones")
    write_shards(rows, clones, tmp_path / "out", most=1)
    write_shards(rows[:1], clones, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out" / "train").iterdir()] == ["part-000000.tar"]


def test_a_sample_is_spread_over_the_manifest():
    numbers = list(range(1000))
    assert sample(numbers, 4) == [0, 250, 500, 750]
    assert sample(numbers, 5000) == numbers


def test_the_files_of_a_clone_are_listed_and_links_are_not(origin, tmp_path):
    clone(origin, tmp_path)
    found = tree(git_directory(tmp_path, NAME))
    assert {path for _, path in found} == set(FILES)
    assert {path: blob for blob, path in found}["sheet.png"] == blob_of(origin, "sheet.png")
    with pytest.raises(DataError, match="cannot be listed"):
        tree(tmp_path)


@pytest.mark.parametrize("folders", ["a+b", "a/b", "a+b/repo", "a/b/.git", "a+b.git", "a+b/repo/.git"])
def test_a_repository_has_its_name_from_its_folders(folders, tmp_path):
    assert repository_of(tmp_path / folders) == "a/b"


def test_what_a_partial_clone_lacks_is_not_fetched_and_the_rest_is_read(tmp_path):
    files = {"a.png": b"small", "large.png": b"large" * 1000, "z.png": b"also small"}
    origin = make_repository(tmp_path / "origin", files)
    clone(origin, tmp_path, "someone+pictures", "--bare", "--filter=blob:limit=1k", "--no-local")
    directory = git_directory(tmp_path, NAME)
    wanted = ["large.png", "a.png", "large.png", "large.png", "z.png", "large.png"]
    found = list(blobs(directory, [blob_of(origin, path) for path in wanted]))
    assert found == [None, b"small", None, None, b"also small", None]


def test_long_names_are_shortened_and_stay_apart():
    names = [
        Entry("-", "-", "-", "-", f"{place}/{'é/' * 20}{'long' * 40}.png", "-", "").file_name
        for place in range(50)
    ]
    assert len(set(names)) == 50
    assert max(map(len, names)) <= LONGEST_NAME
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+\.png", name) for name in names)


@pytest.fixture(scope="module")
def shipped():
    return read_manifest()


def gathered(shipped, key, value):
    """The set of ``value`` for each ``key`` of the shipped entries."""
    found = defaultdict(set)
    for each in shipped:
        found[key(each)].add(value(each))
    return found


def files(each):
    """Names of the files that an entry is laid out as."""
    columns, rows = (int(number) for number in (each.grid or "1x1").split("x"))
    tiles = [f"{Path(each.file_name).stem}_{r}{c}.png" for r in range(rows) for c in range(columns)]
    return tiles if each.grid else [each.file_name]


def test_every_shipped_row_is_well_formed(shipped):
    allowed = {
        "split": "train|dev|wild-dev|unseen",
        "label": "0_real|1_fake|2_edited",
        "source": "[a-z0-9._-]+",
        "repository": "[A-Za-z0-9-]+/[A-Za-z0-9._-]+",
        "path": "[^\t\n]+",
        "git_blob": "[0-9a-f]{40}",
        "grid": "|[1-9]x[1-9]",
        "generator": "[^\t\n]{0,200}",
        "family": "|".join(["", *family_names()]),
        "evidence": "[^\t\n]{0,200}",
        "kind": "|".join(["", *KINDS]),
        "camera": "[^\t\n]{0,200}",
        "year": r"|(19|20)\d\d",
        "flags": f"|({'|'.join(FLAGS)})( ({'|'.join(FLAGS)}))*",
        "width": "|[1-9][0-9]*",
        "height": "|[1-9][0-9]*",
        "format": "|[A-Z0-9]+",
        "jpeg_quality": "|[1-9][0-9]?|100",
    }
    assert tuple(allowed) == COLUMNS
    wrong = [e for e in shipped if not all(re.fullmatch(allowed[n], getattr(e, n)) for n in allowed)]
    assert wrong == []


def test_every_split_has_both_labels(shipped):
    assert {(each.split, each.label) for each in shipped} >= {
        (split, label) for split in {each.split for each in shipped} for label in ("0_real", "1_fake")
    }


def test_no_shipped_picture_has_two_labels_or_lies_in_two_splits(shipped):
    for what in ("label", "split"):
        found = gathered(shipped, lambda e: e.git_blob, lambda e, what=what: getattr(e, what))
        assert {blob: said for blob, said in found.items() if len(said) > 1} == {}


def test_no_shipped_source_has_two_labels_or_lies_in_two_splits(shipped):
    for what in ("label", "split"):
        found = gathered(shipped, lambda e: e.source, lambda e, what=what: getattr(e, what))
        assert {source: said for source, said in found.items() if len(said) > 1} == {}


def test_no_shipped_picture_is_named_twice(shipped):
    assert [blob for blob, times in Counter(e.git_blob for e in shipped).items() if times > 1] == []
    names = Counter((e.split, e.label, e.source, name) for e in shipped for name in files(e))
    assert [name for name, times in names.items() if times > 1] == []


def test_the_shipped_corpus_has_many_generators(shipped):
    assert len({each.source for each in shipped if each.label == "1_fake"}) >= 30
    assert {each.split for each in shipped if each.label == "1_fake"} >= {"train", "dev"}


def test_every_shipped_source_is_described_once(shipped):
    with SOURCES.open(encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    columns = "source label generator repository images stored short_side licence evidence notes"
    assert list(told[0]) == columns.split()
    assert [row["source"] for row in told if None in row or None in row.values()] == []
    assert [source for source, times in Counter(row["source"] for row in told).items() if times > 1] == []
    said = {(row["source"], row["label"], row["repository"], int(row["images"])) for row in told}
    images = Counter((each.source, each.label, each.repository) for each in shipped for _ in files(each))
    assert said == {(*which, count) for which, count in images.items()}
