"""Labelled images inside tar archives are the folder they were packed from."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
import torch
from tiny import RECIPE, plant

from pixelkin import config as settings
from pixelkin import rows
from pixelkin.data import bytes_of, check, digest, find_images, find_samples, picture_of
from pixelkin.errors import DataError, ImageError
from pixelkin.lab.recipe import TrainConfig
from pixelkin.lab.runs import LAST
from pixelkin.lab.train import train
from pixelkin.lab.weights import load_tensors
from pixelkin.scoring import score
from pixelkin.types import Member, Sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("folder"))


def packed(shards, folder, count=3, **how):
    """The files of a folder dealt out to ``count`` archives, in no order; returns the archives' folder."""
    shards.mkdir(parents=True, exist_ok=True)
    files = sorted(find_images(folder), key=lambda file: file.read_bytes())
    for place in range(count):
        with tarfile.open(shards / f"part-{place:06}.tar", "w", **how) as tar:
            for file in files[place::count]:
                tar.add(file, file.relative_to(folder).as_posix())
    return shards


def put(tar, name, data, **facts):
    """One member of an archive that is being written."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for fact, value in facts.items():
        setattr(info, fact, value)
    tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_shards_hold_the_samples_of_the_folder_in_its_order(folder, tmp_path, format):
    shards = packed(tmp_path / "shards", folder, format=format)
    ours, theirs = find_samples(shards), find_samples(folder)
    assert ours == theirs
    assert digest(ours) == digest(theirs)
    assert all(bytes_of(shards, a) == bytes_of(folder, b) for a, b in zip(ours, theirs, strict=True))


def test_one_archive_is_read_by_its_own_name(folder, tmp_path):
    tar = packed(tmp_path, folder, 1) / "part-000000.tar"
    samples = find_samples(tar)
    assert samples == find_samples(folder)
    assert picture_of(tar, samples[0]).sha256 == picture_of(folder, find_samples(folder)[0]).sha256


def test_an_archive_stands_for_what_it_would_leave_where_it_lies(folder, tmp_path):
    packed(tmp_path / "far" / "away", folder / "squares")
    assert {sample.source for sample in find_samples(tmp_path)} == {"far/away"}


def test_a_folder_of_images_is_itself_whatever_archives_lie_in_it(folder, tmp_path):
    plant(tmp_path, 4)
    packed(tmp_path / "squares", folder)
    assert len(find_samples(tmp_path)) == 8


def test_names_of_any_length_are_found_and_what_is_no_image_is_not(tmp_path, folder):
    data = find_images(folder)[0].read_bytes()
    long = f"{'deep/' * 60}0_real/{'x' * 90}.png"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in (long, "./0_real/a.PNG", "/0_real/b.png", "../0_real/c.png", ".h/0_real/d.png"):
            put(tar, name, data)
        put(tar, "0_real/a.json", b"{}")
        put(tar, "0_real/link.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        put(tar, "0_real/hard.png", b"", type=tarfile.LNKTYPE, linkname="0_real/a.PNG")
        put(tar, "1_fake/e.png", data)
    assert {s.path for s in find_samples(tmp_path)} == {long, "0_real/a.PNG", "0_real/b.png", "1_fake/e.png"}


def test_of_a_path_that_an_archive_holds_twice_the_last_counts(tmp_path, folder):
    first, last = (file.read_bytes() for file in find_images(folder)[:2])
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        put(tar, "0_real/a.png", first)
        put(tar, "0_real/a.png", last)
    (sample,) = find_samples(tmp_path)
    assert bytes_of(tmp_path, sample) == last


def test_a_zip_holds_what_the_folder_holds(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in find_images(folder):
            archive.write(file, file.relative_to(folder).as_posix())
    ours, theirs = find_samples(tmp_path), find_samples(folder)
    assert ours == theirs
    assert all(bytes_of(tmp_path, a) == bytes_of(folder, b) for a, b in zip(ours, theirs, strict=True))


def test_a_path_in_two_archives_is_refused(tmp_path, folder):
    for name in ("a", "b"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            put(tar, "0_real/1.png", b"x")
    with pytest.raises(DataError, match=r"0_real/1\.png lies in two archives, a\.tar and b\.tar"):
        find_samples(tmp_path)


def spoilt(tmp_path, folder, change):
    tar = packed(tmp_path, folder, 1) / "part-000000.tar"
    tar.write_bytes(change(tar.read_bytes()))
    return tar


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"not an archive" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[: len(data) // 1024 * 512 + 100],
        lambda data: data[:200],
        lambda data: data.rstrip(b"\0"),
        lambda data: data[:10240] + os.urandom(4096) + data[10240:],
    ],
)
def test_an_archive_cut_short_or_damaged_is_refused_and_never_read_in_part(tmp_path, folder, change):
    with pytest.raises(DataError, match=r"part-000000\.tar: damaged, cut short, or no \.tar file"):
        find_samples(spoilt(tmp_path, folder, change))


def test_a_compressed_archive_is_refused(tmp_path, folder):
    spoilt(tmp_path, folder, gzip.compress).rename(tmp_path / "a.tar.gz")
    for place in (tmp_path, tmp_path / "a.tar.gz"):
        with pytest.raises(DataError, match=r"a\.tar\.gz: a compressed archive, .* unpack it"):
            find_samples(place)


def test_an_archive_that_shrank_since_costs_its_lost_images_only(tmp_path, folder):
    shards = packed(tmp_path, folder, 1)
    samples = find_samples(shards)
    tar = shards / "part-000000.tar"
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    scored = list(score(Nothing(), shards, samples))
    assert 0 < sum(row.error is None for row in scored) < len(samples)
    assert any("shorter than when it was listed" in (row.error or "") for row in scored)
    with pytest.raises(ImageError, match=r"a\.png: No such file"):
        bytes_of(shards, Sample("a.png", ".", 0, Member("gone.tar", 0, 1)))


class Nothing:
    """Scores every picture alike."""

    def log_odds(self, pictures):
        return [0.0 for _ in pictures]


def test_a_check_finds_in_shards_what_it_finds_in_the_folder(folder, tmp_path):
    shards = packed(tmp_path, folder)
    ours, theirs = (check(root, find_samples(root), workers=1) for root in (shards, folder))
    for name in ("sha256", "real", "generated", "sources", "unlabelled", "warnings"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_images_in_shards_are_measured_as_those_in_the_folder(folder, tmp_path):
    shards = packed(tmp_path / "shards", folder)
    tables = []
    for data, out in ((folder, tmp_path / "one"), (shards, tmp_path / "other")):
        given = [
            sys.executable,
            "-m",
            "pixelkin",
            "evaluate",
            "--data",
            data,
            "--model",
            "npr-first",
            "--out",
            out,
        ]
        done = subprocess.run([*given, "--workers", "0"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        tables.append(rows.read(out / "scores" / "clean.parquet")[1])
    assert tables[0] == tables[1]
    assert len(tables[0]) == 48


def recipe(data, out, **values):
    return settings.build(TrainConfig, RECIPE | {"data": str(data), "out": str(out)} | values)


@pytest.mark.slow
@pytest.mark.parametrize("values", [{}, {"workers": 2}, {"bank": "bank", "bank_side": 40}], ids=str)
def test_a_run_on_shards_is_the_run_on_the_folder_bit_for_bit(folder, tmp_path, values):
    shards = packed(tmp_path / "shards", folder)
    runs, losses = [], []
    for data, name in ((folder, "folder"), (shards, "shards")):
        own = values | ({"bank": str(tmp_path / f"{name}.bank")} if "bank" in values else {})
        told = []
        config = recipe(data, tmp_path / name, **own)
        runs.append(train(config, on_progress=lambda progress, told=told: told.append(progress.loss)))
        losses.append(told)
    assert losses[0] == losses[1]
    assert len(losses[0]) == 10
    assert_alike(*runs)


def test_a_run_begun_on_the_folder_goes_on_from_shards(folder, tmp_path):
    shards = packed(tmp_path / "shards", folder)
    train(recipe(folder, tmp_path / "one"))
    train(recipe(folder, tmp_path / "other"), minutes=1e-9)
    train(recipe(shards, tmp_path / "other"), resume=True)
    assert_alike(tmp_path / "one", tmp_path / "other")


def assert_alike(run, other):
    (ours, facts), (theirs, other_facts) = (load_tensors(r / LAST) for r in (run, other))
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert facts["state"]["history"] == other_facts["state"]["history"]
