"""Git clones of public repositories, read object by object; nothing is checked out or fetched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pixelkin.errors import DataError

# A partial clone would otherwise fetch each absent object from the network.
_ENVIRONMENT = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}
_SYMLINK = b"120000"


def git_directory(clones: Path, repository: str) -> Path | None:
    """The folder of a repository's objects below a folder of clones, or None.

    Args:
        clones: holds plain or bare clones, named OWNER+NAME or OWNER/NAME, each perhaps in ``repo`` below.
        repository: OWNER/NAME.
    """
    for base in (clones / repository.replace("/", "+", 1), clones / repository):
        if found := objects_of(base):
            return found
    return None


def objects_of(clone: Path) -> Path | None:
    """The git directory of a plain or bare clone at ``clone``, or in ``repo`` below it; None for none."""
    for candidate in (clone, clone / ".git", clone / "repo", clone / "repo" / ".git"):
        if (candidate / "objects").is_dir() and (candidate / "HEAD").is_file():
            return candidate
    return None


def repository_of(clone: Path) -> str:
    """OWNER/NAME of the clone at ``clone``, by the names of its folders.

    Raises:
        DataError: they do not say so.
    """
    path = clone.resolve()
    while path.name in {".git", "repo"}:
        path = path.parent
    name = path.name.removesuffix(".git")
    if "+" in name:
        return name.replace("+", "/", 1)
    if path.parent.name:
        return f"{path.parent.name}/{name}"
    raise DataError(f"{clone}: not a clone named OWNER+NAME or OWNER/NAME")


def tree(directory: Path) -> list[tuple[str, str]]:
    """Blob and path of every file of HEAD, links and submodules left out.

    Bytes of a path that are not UTF-8 are replaced: the blob is what identifies a file.

    Raises:
        DataError: there is no readable HEAD.
    """
    command = ["git", "--git-dir", str(directory), "ls-tree", "-r", "-z", "HEAD"]
    done = subprocess.run(command, capture_output=True, env=_ENVIRONMENT, check=False)  # noqa: S603
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise DataError(f"{directory}: its files cannot be listed ({reason})")
    files = []
    for entry in filter(None, done.stdout.split(b"\0")):
        facts, _, path = entry.partition(b"\t")
        mode, kind, name = facts.split()
        if kind == b"blob" and mode != _SYMLINK:
            files.append((name.decode(), path.decode("utf-8", "replace")))
    return files


def history(directory: Path) -> list[tuple[str, str]]:
    """Blob and path of every file of every commit that the clone holds, those of HEAD first.

    Folders are among them; a file that was moved has one of its paths.

    Raises:
        DataError: there is no readable HEAD.
    """
    files = tree(directory)
    command = ["git", "--git-dir", str(directory), "rev-list", "--objects", "--all"]
    done = subprocess.run(command, capture_output=True, env=_ENVIRONMENT, check=False)  # noqa: S603
    seen = {blob for blob, _ in files}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        name, _, path = line.partition(" ")
        if path and name not in seen:
            seen.add(name)
            files.append((name, path))
    return files


def blobs(directory: Path, names: Sequence[str]) -> Iterator[bytes | None]:
    """The bytes of git objects, in order; None for each that the repository does not hold."""
    done = 0
    while done < len(names):
        for data in _answers(directory, names[done:]):
            done += 1
            yield data
        if done < len(names):  # of a partial clone, git ends at the first object that it lacks
            done += 1
            yield None


def _answers(directory: Path, names: Sequence[str]) -> Iterator[bytes | None]:
    """The answers of one git process, as far as it comes."""
    command = ["git", "--git-dir", str(directory), "cat-file", "--batch"]
    pipe = subprocess.PIPE
    with (
        suppress(BrokenPipeError),
        subprocess.Popen(  # noqa: S603
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
        ) as git,
    ):
        if git.stdin is None or git.stdout is None:
            return
        for name in names:
            git.stdin.write(f"{name}\n".encode())
            git.stdin.flush()
            head = git.stdout.readline().split()
            if not head:
                return
            if len(head) != 3:
                yield None
                continue
            data = git.stdout.read(int(head[2]))
            git.stdout.read(1)
            yield data if head[1] == b"blob" else None
        git.stdin.close()
