"""Files inside tar archives, read where they lie: nothing is unpacked.

An archive is walked once, header by header, for the place of each file in it; from then on a file is
one seek and one read, by any process that was told its `Member`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pixelkin.errors import DataError
from pixelkin.types import Member

SUFFIX = ".tar"


def tar_members(archive: Path) -> Iterator[tuple[PurePosixPath, Member]]:
    """The path and the place of each file of an uncompressed tar archive, in its order.

    Links, folders, devices, and whatever is hidden or lies outside of the archive's folder (``..``) are
    left out. A path that comes twice is yielded twice; unpacking would keep the last.

    Args:
        archive: the file; `Member.archive` becomes its name.

    Raises:
        DataError: it cannot be read, is compressed or no archive, or was cut short.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            while (info := tar.next()) is not None:
                path = PurePosixPath(info.name.lstrip("/"))
                if info.isreg() and not info.issparse() and not _hidden(path):
                    yield path, Member(archive.name, info.offset_data, info.size)
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
            assert tar.fileobj is not None  # noqa: S101 - for the type checker
            tar.fileobj.seek(tar.offset)
            end = tar.fileobj.read(tarfile.BLOCKSIZE)
    except (tarfile.TarError, ValueError, MemoryError) as error:  # the last two: of sizes that no file has
        raise DataError(f"{archive}: damaged, or no uncompressed tar archive ({error})") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror or error})") from error
    if end != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"{archive}: cut short or damaged: it does not end as a tar archive does")


def read_member(archive: Path, member: Member) -> bytes:
    """The bytes of one file of an archive.

    Raises:
        OSError: the archive cannot be read, or ends before the file does.
    """
    with archive.open("rb") as file:
        file.seek(member.offset)
        data = file.read(member.size)
    if len(data) < member.size:
        raise OSError(f"{archive.name} ends inside of it")
    return data


def _hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)
