"""A corpus laid out from clones by its manifest, and the laws that the shipped manifest keeps."""

import csv
import gzip
import os
import re
import subprocess
from collections import Counter, defaultdict
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import pytest
from tiny import squares

from pixelkin.data import find_samples
from pixelkin.images import encode, read
from pixelkin.lab.corpus import LONGEST, MANIFEST, Entry, entries, git_directory, lay_out, main

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


def git(*arguments, folder):
    """What a git command says, whoever the machine's user is."""
    alone = dict(os.environ, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, env=alone, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository of two images, a contact sheet of four, and one that is damaged."""
    folder = tmp_path_factory.mktemp("origin")
    git("init", "--quiet", folder=folder)
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    git("add", ".", folder=folder)
    git("commit", "--quiet", "--message=images", folder=folder)
    return folder


@pytest.fixture(scope="module")
def rows(origin):
    return [
        entry(origin, "train/0_real/cats", "a photo.jpg"),
        entry(origin, "dev/1_fake/gan", "out/deep/0.png"),
        entry(origin, "train/1_fake/sheets", "sheet.png", "2x2"),
    ]


def entry(origin, folder, path, grid=""):
    return Entry(*folder.split("/"), NAME, path, git("rev-parse", f"HEAD:{path}", folder=origin), grid)


def written(path, rows):
    """A manifest of ``rows``, at ``path``."""
    lines = [[field.name for field in fields(Entry)], *map(astuple, rows)]
    path.write_bytes(gzip.compress("".join("\t".join(line) + "\n" for line in lines).encode()))
    return path


def clone(origin, repositories, name="someone+pictures", *options):
    git("clone", "--quiet", *options, str(origin), str(repositories / name), folder=origin)
    return repositories


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
    assert main([f"--manifest={manifest}", f"--repos={clones}", f"--out={out}"]) == 1
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
    where = [f"--manifest={written(tmp_path / 'm.tsv.gz', rows)}", f"--repos={clone(origin, tmp_path)}"]
    assert main([*where, f"--out={tmp_path / 'dev'}", "--split=dev"]) == 0
    assert laid_out(tmp_path / "dev") == {"dev/1_fake/gan/out_deep_0.png"}
    assert main([*where, f"--out={tmp_path / 'some'}", "--source=gan", "--source=cats"]) == 0
    assert len(laid_out(tmp_path / "some")) == 2
    assert capsys.readouterr().err == ""


def test_the_repositories_needed_are_listed_and_nothing_is_written(rows, tmp_path, capsys):
    other = Entry("dev", "0_real", "dogs", "anyone/dogs", "dog.jpg", "0" * 40, "")
    manifest = written(tmp_path / "m.tsv.gz", [*rows, other])
    assert main([f"--manifest={manifest}", "--list", f"--repos={tmp_path}", f"--out={tmp_path}"]) == 0
    assert capsys.readouterr().out == "anyone/dogs\t1\nsomeone/pictures\t3\n"
    assert list(tmp_path.iterdir()) == [manifest]
    main([f"--manifest={manifest}", "--list", "--split=dev"])
    assert capsys.readouterr().out == "anyone/dogs\t1\nsomeone/pictures\t1\n"


HEADER = "\t".join(field.name for field in fields(Entry)).encode() + b"\n"


NO_MANIFESTS = {
    "nothing": None,
    "plain text": HEADER,
    "cut short": gzip.compress(HEADER * 50)[:-20],
    "damaged": gzip.compress(b"")[:10] + b"\xff" * 30,
    "no text": gzip.compress(b"\xff\xfe\n"),
    "other columns": gzip.compress(b"path\tsha256\na.png\t00\n"),
    "a row too short": gzip.compress(HEADER + b"train\t0_real\n"),
    "a row too long": gzip.compress(HEADER + b"\t".join([b"a"] * 8) + b"\n"),
}


@pytest.mark.parametrize("content", NO_MANIFESTS.values(), ids=NO_MANIFESTS)
def test_a_file_that_is_no_manifest_is_refused_in_one_sentence(content, tmp_path, capsys):
    manifest = tmp_path / "m.tsv.gz"
    if content is not None:
        manifest.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        main([f"--manifest={manifest}", "--list"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{manifest} is no manifest of a corpus (")
    assert said.count("\n") == 1


def test_where_to_and_where_from_are_asked_for(rows, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([f"--manifest={written(tmp_path / 'm.tsv.gz', rows)}", f"--out={tmp_path}"])
    assert stopped.value.code == 2
    assert "--repos and --out are needed" in capsys.readouterr().err


def test_long_names_are_shortened_and_stay_apart():
    names = [
        Entry("-", "-", "-", "-", f"{place}/{'é/' * 20}{'long' * 40}.png", "-", "").file_name
        for place in range(50)
    ]
    assert len(set(names)) == 50
    assert max(map(len, names)) <= LONGEST
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+\.png", name) for name in names)


@pytest.fixture(scope="module")
def shipped():
    return entries()


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
        "split": "train|dev",
        "label": "0_real|1_fake",
        "source": "[a-z0-9._-]+",
        "repository": "[A-Za-z0-9-]+/[A-Za-z0-9._-]+",
        "path": "[^\t\n]+",
        "git_blob": "[0-9a-f]{40}",
        "grid": "|[1-9]x[1-9]",
    }
    assert list(allowed) == [field.name for field in fields(Entry)]
    wrong = [e for e in shipped if not all(re.fullmatch(allowed[n], getattr(e, n)) for n in allowed)]
    assert wrong == []


def test_every_split_has_both_labels(shipped):
    assert {(each.split, each.label) for each in shipped} == {
        (split, label) for split in ("train", "dev") for label in ("0_real", "1_fake")
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
    assert {each.split for each in shipped if each.label == "1_fake"} == {"train", "dev"}


def test_every_shipped_source_is_described_once(shipped):
    path = MANIFEST.with_name("corpus-sources.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    columns = "source label generator repository images stored short_side licence evidence notes"
    assert list(told[0]) == columns.split()
    assert [row["source"] for row in told if None in row or None in row.values()] == []
    assert [source for source, times in Counter(row["source"] for row in told).items() if times > 1] == []
    said = {(row["source"], row["label"], row["repository"], int(row["images"])) for row in told}
    images = Counter((each.source, each.label, each.repository) for each in shipped for _ in files(each))
    assert said == {(*which, count) for which, count in images.items()}
