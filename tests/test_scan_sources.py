"""What a scan is pointed at: one stream of entries, whatever they lie in."""

import csv
import io
import os
import shutil
import tarfile
import zipfile
from itertools import islice

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CARD, EXAMPLES

from pixelkin import archives, images
from pixelkin.data import find_images
from pixelkin.errors import DataError, ImageError, SourceError
from pixelkin.scan import catalog
from pixelkin.scan.catalog import Catalog
from pixelkin.scan.looking import Looker
from pixelkin.scan.sources import Entry, entries
from pixelkin.types import Member

FILES = sorted(EXAMPLES.glob("*-*.*"))


@pytest.fixture
def tree(tmp_path):
    """Folders of images, among other files, an archive and links."""
    for place, file in enumerate(FILES):
        folder = tmp_path / "tree" / "bca"[place % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / f"{place}{file.suffix.upper()}")
    (tmp_path / "tree" / "b" / "notes.txt").write_text("none.png")
    (tmp_path / "tree" / "b" / ".hidden.png").write_bytes(b"")
    (tmp_path / "tree" / "again").symlink_to(tmp_path / "tree" / "a")
    return tmp_path / "tree"


def write_tar(file, format=tarfile.PAX_FORMAT):
    with tarfile.open(file, "w", format=format) as tar:
        for place, each in enumerate(FILES):
            tar.add(each, f"{place:06}{each.suffix}")
            for name in (f"{place:06}.json", f"folder/._{place:06}.png"):
                member = tarfile.TarInfo(name)
                member.size = 2
                tar.addfile(member, io.BytesIO(b"{}"))
    return file


def write_zip(file):
    with zipfile.ZipFile(file, "w") as archive:
        for place, each in enumerate(FILES):
            packing = zipfile.ZIP_DEFLATED if place % 2 else zipfile.ZIP_STORED
            archive.write(each, f"pictures/{place:06}{each.suffix}", packing)
        archive.writestr("readme.txt", "no image")
    return file


def contents(found):
    return [Looker(CARD)._read(entry) for entry in found]


def test_a_folder_is_listed_in_the_order_that_detect_takes(tree):
    found = list(entries(str(tree)))
    assert [entry.path for entry in found] == [str(file) for file in find_images(tree)]
    assert len(found) == len(FILES)
    assert all(entry.archive is None and entry.file[0] == "/" for entry in found)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_the_images_of_a_tar_are_its_members_bytes(tmp_path, format):
    found = list(entries(str(write_tar(tmp_path / "shard.tar", format))))
    assert [entry.path for entry in found] == [f"{n:06}{file.suffix}" for n, file in enumerate(FILES)]
    assert {entry.archive for entry in found} == {str(tmp_path / "shard.tar")}
    assert contents(found) == [file.read_bytes() for file in FILES]


def test_the_images_of_a_zip_are_unpacked(tmp_path):
    found = list(entries(str(write_zip(tmp_path / "a.zip"))))
    assert [entry.path for entry in found] == [f"pictures/{n:06}{f.suffix}" for n, f in enumerate(FILES)]
    assert contents(found) == [file.read_bytes() for file in FILES]


def test_archives_in_a_folder_and_of_a_pattern_are_opened_in_order(tree, tmp_path):
    write_tar(tree / "a" / "x.tar")
    write_zip(tree / "z.zip")
    found = list(entries(str(tree)))
    assert len(found) == 3 * len(FILES)
    assert found[-1].archive.endswith("z.zip")
    write_tar(tmp_path / "shard-1.tar")
    write_tar(tmp_path / "shard-0.tar")
    found = [entry.archive for entry in entries(str(tmp_path / "shard-*.tar"))]
    assert found == sorted(found)
    assert len(found) == 2 * len(FILES)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    assert len(list(entries(str(write_zip(tmp_path / "a[1]*.zip"))))) == len(FILES)


def write_list(file, paths):
    file.write_text("\r\n".join([*paths, "", ""]))


def write_csv(file, paths):
    with file.open("w", newline="", encoding="utf-8-sig") as opened:
        csv.writer(opened).writerows([["id", "path"], *enumerate(paths)])


def write_parquet(file, paths):
    pyarrow.parquet.write_table(pyarrow.table({"path": paths, "id": list(range(len(paths)))}), file)


@pytest.mark.parametrize(
    ("name", "write"), [("l.txt", write_list), ("m.csv", write_csv), ("m.parquet", write_parquet)]
)
def test_paths_of_lists_and_manifests_start_from_where_they_lie(tree, name, write, monkeypatch):
    write(tree / name, ["b/0.PNG", 'missing, "quoted" ä.png', str(FILES[0])])
    monkeypatch.chdir("/")
    found = list(entries(str(tree / name)))
    assert [entry.path for entry in found] == ["b/0.PNG", 'missing, "quoted" ä.png', str(FILES[0])]
    assert contents(found[::2]) == [FILES[0].read_bytes()] * 2


@pytest.mark.parametrize("url", ["file://", "memory://"])
def test_any_of_them_may_be_a_url(tree, tmp_path, url):
    import fsspec

    write_list(tree / "l.txt", ["b/0.PNG"])
    write_tar(tree / "a" / "x.tar")
    root = f"{url}{tree}"
    if url == "memory://":
        system = fsspec.filesystem("memory")
        system.put(str(tree), str(tree), recursive=True)
    elsewhere, here = (list(entries(source)) for source in (root, str(tree)))
    names = {entry.path.removeprefix(root) for entry in elsewhere}
    assert names >= {entry.path.removeprefix(str(tree)) for entry in here}
    assert sorted(set(contents(elsewhere))) == sorted(set(contents(here)))
    (listed,) = entries(f"{root}/l.txt")
    assert contents([listed]) == [FILES[0].read_bytes()]
    assert len(list(entries(f"{root}/a/*.tar"))) == len(FILES)


def test_a_file_name_that_is_no_utf_8_is_found_and_kept(tmp_path):
    name = os.fsdecode(b"\xff\xfe.png")
    shutil.copy(FILES[0], tmp_path / name)
    digest = catalog.write(tmp_path / "c", entries(str(tmp_path)), 10)
    assert digest == catalog.write(tmp_path / "d", entries(str(tmp_path)), 3)
    (kept,) = Catalog(tmp_path / "c").part(0)
    assert kept.path == str(tmp_path / name)
    assert contents([kept]) == [FILES[0].read_bytes()]


def test_a_list_is_kept_in_parts(tmp_path):
    inside = [Entry(f"{n}.png", "/x/a.zip", Member("/x/a.zip", 9 * n, n, n % 2)) for n in range(20)]
    many = [*inside, *(Entry(f"{n}.png", f"/x/{n}.png") for n in range(5))]
    catalog.write(tmp_path / "c", iter(many), 10)
    kept = Catalog(tmp_path / "c")
    assert (kept.parts, kept.entries) == (3, 25)
    assert [entry for part in range(3) for entry in kept.part(part)] == many
    with pytest.raises(DataError, match="no list that"):
        Catalog(FILES[0])


@pytest.mark.parametrize(
    ("name", "data", "error", "told"),
    [
        ("gone.txt", None, SourceError, "No such file"),
        ("cut.tar", b"x" * 700, SourceError, r"no \.tar file"),
        ("cut.zip", b"PK", SourceError, r"no \.zip file"),
        ("cut.parquet", b"PAR1", SourceError, r"no readable \.parquet"),
        (
            "m.csv",
            b"file,label\na.png,1\n",
            DataError,
            "no column is named path; the columns are: file, label",
        ),
        ("m.csv", b"path,label\na.png,1\n,2\n", DataError, "row 2 has no path"),
        (
            "x.rar",
            b"",
            DataError,
            "no folder, and no file that images can be found in",
        ),
        ("x.tar.gz", b"", SourceError, r"x\.tar\.gz: a compressed archive, .* unpack it to \.tar or \.zip"),
        ("x.TGZ", b"", SourceError, "a compressed archive"),
    ],
)
def test_what_is_no_source_is_a_sentence(tmp_path, name, data, error, told):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=told):
        list(entries(str(tmp_path / name)))


@pytest.mark.parametrize("member", [1, -1])
def test_a_tar_that_is_damaged_at_a_header_loses_no_image_without_a_word(tmp_path, member):
    file = write_tar(tmp_path / "x.tar")
    with tarfile.open(file) as tar:
        header = tar.getmembers()[member].offset
    with file.open("r+b") as opened:
        opened.seek(header + 150)
        opened.write(b"\xff" * 8)  # in its checksum
    with pytest.raises(SourceError, match="does not end as a tar archive does"):
        list(entries(str(file)))


@pytest.mark.parametrize("ends", ["at a header's place", "inside of a header"])
def test_a_tar_that_was_cut_between_its_members_is_a_sentence(tmp_path, ends):
    file = write_tar(tmp_path / "x.tar")
    with tarfile.open(file) as tar:
        header = tar.getmembers()[-1].offset
    os.truncate(file, header if ends.startswith("at") else header + 100)
    with pytest.raises(SourceError, match=r"cut short, or no \.tar file"):
        list(entries(str(file)))


def test_a_tar_that_was_cut_short_is_a_sentence(tmp_path):
    file = write_tar(tmp_path / "x.tar")
    os.truncate(file, 100_000)
    with pytest.raises(SourceError, match="unexpected end of data"):
        list(entries(str(file)))


def test_two_tars_joined_into_one_lose_no_image_without_a_word(tmp_path):
    data = write_tar(tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(data + data)
    with pytest.raises(SourceError, match="more follows its end"):
        list(entries(str(tmp_path / "x.tar")))


def test_a_zip_whose_members_are_not_where_its_list_says_is_a_sentence(tmp_path):
    file = write_zip(tmp_path / "x.zip")
    with zipfile.ZipFile(file) as archive, file.open("r+b") as opened:
        opened.seek(archive.infolist()[2].header_offset)
        opened.write(b"none")
    with pytest.raises(SourceError, match=r"000002\.\w+ is not where its list says"):
        list(entries(str(file)))


def test_a_compressed_archive_that_lies_in_a_folder_is_a_row_and_stops_nothing(tree):
    with tarfile.open(tree / "b" / "x.tar.gz", "w:gz") as tar:
        tar.add(FILES[0], "a.png")
    found = list(entries(str(tree)))
    (archive,) = (entry for entry in found if entry.path.endswith(".gz"))
    assert len(found) == len(FILES) + 1
    assert "a compressed archive, of which no image can be read by itself" in Looker(CARD)(archive).error


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_bytes_of_any_kind_in_an_archive_are_its_members_or_a_sentence(suffix, data):
    file = io.BytesIO()
    if suffix == ".tar":
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name in ("a.png", "b" * 150 + ".png"):
                member = tarfile.TarInfo(name)
                member.size = 3
                tar.addfile(member, io.BytesIO(b"abc"))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", b"abc")
            archive.writestr("b.png", bytes(100))
    spoilt = bytearray(file.getvalue().rstrip(b"\0") if suffix == ".tar" else file.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    opened = io.BytesIO(bytes(spoilt) + bytes(2048 if suffix == ".tar" else 0))
    try:
        for name, member in archives.members(opened, f"x{suffix}"):
            archives.read_member(opened, member, name)
    except (SourceError, ImageError):
        pass


def test_a_stream_is_not_read_ahead_of_who_takes_it(tmp_path):
    lines = tmp_path / "l.txt"
    lines.write_text("a.png\n" * 1000)
    assert len(list(islice(entries(str(lines)), 5))) == 5


def test_a_zip_bomb_and_an_encrypted_member_are_unreadable(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(10**6))
        archive.writestr("sealed.png", b"x")
        archive.infolist()[1].flag_bits |= 1
    bomb, sealed = entries(str(tmp_path / "a.zip"))
    with pytest.raises(ImageError, match="over 10,000 bytes"):
        contents([bomb])
    with pytest.raises(ImageError, match="encrypted"):
        contents([sealed])


def test_a_file_that_is_not_there_is_a_row_but_a_folder_that_is_not_there_stops(tree):
    look = Looker(CARD, str(tree))
    entry = Entry("gone.png", str(tree / "gone.png"))
    assert look(entry).error == "gone.png: No such file or directory"
    tree.rename(tree.with_name("elsewhere"))
    with pytest.raises(SourceError, match="cannot be read"):
        look(entry)
    tree.mkdir()
    with pytest.raises(SourceError, match="is empty now"):
        look(entry)


def test_an_archive_that_was_cut_or_is_gone_stops(tmp_path):
    file = write_tar(tmp_path / "x.tar")
    found = list(entries(str(file)))
    os.truncate(file, 1000)
    with pytest.raises(SourceError, match="shorter than when it was listed"):
        Looker(CARD)(found[0])
    file.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        Looker(CARD)(found[0])


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/", "a\0b.png", "x" * 300])
def test_what_is_no_file_is_a_row(path):
    assert Looker(CARD)(Entry(path, path)).error.startswith(f"{path}: ")


def test_a_picture_that_the_memory_cannot_hold_is_said_to_be_too_large(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(images, "_upright_rgb", full)
    look = Looker(CARD)(Entry("x.png", str(FILES[0])))
    assert look.error == "x.png: too large for the memory there is"
    assert look.facts["sha256"]
