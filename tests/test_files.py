"""Files that are there whole or not at all."""

import errno

import pytest

from pixelkin.files import replacing, tidy, write_atomically


def test_a_file_takes_the_place_of_another_whole(tmp_path):
    write_atomically(tmp_path / "a", b"old")
    with replacing(tmp_path / "a") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def write_and_fail(path):
    with replacing(path) as file:
        file.write(b"half")
        raise ValueError


def test_what_fails_half_way_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "a", b"old")
    with pytest.raises(ValueError, match=r"^$"):
        write_and_fail(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_what_fails_names_the_file_that_was_to_be_written_or_the_one_that_was_read(tmp_path):
    with pytest.raises(OSError, match="No space") as full, replacing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.filename == str(tmp_path / "x")
    with pytest.raises(FileNotFoundError) as gone, replacing(tmp_path / "x"):
        (tmp_path / "source").read_bytes()
    assert gone.value.filename == str(tmp_path / "source")
    with pytest.raises(FileNotFoundError) as nowhere:
        write_atomically(tmp_path / "no" / "x", b"")
    assert nowhere.value.filename == str(tmp_path / "no" / "x")


def test_what_a_killed_process_had_begun_is_removed_and_nothing_else(tmp_path):
    for name in (".part-1.parquet.77", ".other.77", "part-1.parquet"):
        (tmp_path / name).write_bytes(b"")
    tidy(tmp_path, "part-*")
    assert sorted(each.name for each in tmp_path.iterdir()) == [".other.77", "part-1.parquet"]
