"""Files inside tar and zip archives, read where they lie: nothing is unpacked on the disk.

An archive is walked once, header by header, for the place of each file in it; from then on a file is
one seek and one read, by any process that was told its `Member`.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

from pixelkin.errors import ImageError, SourceError
from pixelkin.types import Member

PLAIN, DEFLATED, SEALED = 0, 8, -1  # how bytes are packed, as zip numbers it; the last: encrypted
MOST_BYTES = 1024**3  # of one file: more is no photograph

# Nothing in them can be read without unpacking all that lies before it.
COMPRESSED = frozenset({".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"})

# What Python's readers raise at bytes that are no such archive.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    OverflowError,
    NotImplementedError,
    RecursionError,
    IndexError,
    MemoryError,  # of sizes that no file has
)

LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip member: its mark, and the bytes of name and extra field
END_BYTES = 1024**2  # read at once, of what follows the end of a tar archive


def suffix_of(name: str) -> str:
    """The extension of a file's name with its dot, in lower case; both of a compressed tar archive's."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    both = f".tar{suffix}"
    return both if both in COMPRESSED and path.stem.lower().endswith(".tar") else suffix


def members(opened: BinaryIO, archive: str) -> Iterator[tuple[str, Member]]:
    """The name and the place of each file of an archive, in its order.

    Links, folders, devices, and whatever is hidden or lies outside of the archive's folder (``..``) are
    left out. A name that comes twice is yielded twice; unpacking would keep the last.

    Args:
        opened: the archive; can be sought in.
        archive: its path or URL, whose extension tells its kind, one of `KINDS`.

    Raises:
        SourceError: it is damaged, was cut short, or is compressed as a whole.
        OSError: it cannot be read.
    """
    suffix = suffix_of(archive)
    if suffix in COMPRESSED:
        raise SourceError(f"{archive}: {NOT_COMPRESSED}")
    try:
        for name, member in KINDS[suffix](opened, archive):
            if not any(part[:1] == "." and part != "." for part in name.split("/")):
                yield name, member
    except DAMAGE as error:
        raise SourceError(f"{archive}: damaged, cut short, or no {suffix} file ({error})") from error


def read_member(opened: BinaryIO, member: Member, name: str) -> bytes:
    """The bytes of one file of an archive, as they were before they were packed.

    Args:
        opened: the archive.
        member: as `members` gave it.
        name: of the file, for messages.

    Raises:
        SourceError: the archive ends before the file does.
        ImageError: the file is damaged, encrypted, packed in a way that is not read, or over `MOST_BYTES`.
        OSError: the archive cannot be read.
    """
    opened.seek(member.offset)
    wanted = min(member.size, MOST_BYTES + 1)
    data = opened.read(wanted)
    if len(data) < wanted:
        raise SourceError(
            f"{member.archive} is shorter than when it was listed, and ends inside of {name}: begin anew"
        )
    return bounded(_unpacked(data, member.packing, name), name)


def bounded(data: bytes, name: str) -> bytes:
    """``data``, where it may be a photograph's.

    Raises:
        ImageError: it is over `MOST_BYTES`.
    """
    if len(data) > MOST_BYTES:
        raise ImageError(f"{name}: over {MOST_BYTES:,} bytes")
    return data


def _unpacked(data: bytes, packing: int, name: str) -> bytes:
    if packing == PLAIN:
        return data
    if packing != DEFLATED:
        raise ImageError(f"{name}: encrypted, or packed in a way that is not read here: deflate or stored")
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, MOST_BYTES + 1)
    except zlib.error as error:
        raise ImageError(f"{name}: damaged in its zip file ({error})") from error


def _of_tar(opened: BinaryIO, archive: str) -> Iterator[tuple[str, Member]]:
    with tarfile.open(fileobj=opened, mode="r:") as tar:
        while (info := tar.next()) is not None:
            if info.isreg() and not info.issparse():
                yield info.name, Member(archive, info.offset_data, info.size)
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        # Python's reader takes what it cannot read for the end.
        opened.seek(tar.offset)
        if opened.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it does not end as a tar archive does")
    while rest := opened.read(END_BYTES):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("more follows its end, as where two are joined by cat")


def _of_zip(opened: BinaryIO, archive: str) -> Iterator[tuple[str, Member]]:
    with zipfile.ZipFile(opened) as listed:
        for info in listed.infolist():
            if info.filename.endswith("/"):
                continue
            opened.seek(info.header_offset)
            mark, *lengths = LOCAL_HEADER.unpack(opened.read(LOCAL_HEADER.size))
            if mark != zipfile.stringFileHeader:  # type: ignore[attr-defined]
                raise zipfile.BadZipFile(f"{info.filename} is not where its list says")
            offset = info.header_offset + LOCAL_HEADER.size + sum(lengths)
            packing = SEALED if info.flag_bits & 1 else info.compress_type
            yield info.filename, Member(archive, offset, info.compress_size, packing)


KINDS = {".tar": _of_tar, ".zip": _of_zip}
NOT_COMPRESSED = (
    f"a compressed archive, of which no image can be read by itself: unpack it to {' or '.join(KINDS)}"
)
