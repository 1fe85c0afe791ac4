"""Small git repositories of images, and clones of them."""

import os
import subprocess


def git(*arguments, folder):
    """The output of a git command, whatever the configuration of the machine's user."""
    alone = dict(os.environ, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull)
    settings = [
        "user.name=a",
        "user.email=a@example.org",
        "core.autocrlf=false",
        "uploadpack.allowFilter=true",
    ]
    words = ["git", "-C", str(folder), *(word for each in settings for word in ("-c", each)), *arguments]
    return subprocess.run(words, env=alone, capture_output=True, text=True, check=True).stdout.strip()


def make_repository(folder, files):
    """A repository at ``folder`` with one commit of files, bytes by path, and a link; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    git("init", "--quiet", folder=folder)
    git("config", "uploadpack.allowFilter", "true", folder=folder)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "link.png").symlink_to(next(iter(files)))
    git("add", ".", folder=folder)
    git("commit", "--quiet", "--message=images", folder=folder)
    return folder


def blob_of(origin, path):
    """The git object of a file of a repository."""
    return git("rev-parse", f"HEAD:{path}", folder=origin)


def clone(origin, clones, name="someone+pictures", *options):
    """Clone a repository below ``clones``; returns ``clones``."""
    source = f"file://{origin}" if "--no-local" in options else str(origin)
    git("clone", "--quiet", *options, source, str(clones / name), folder=origin)
    return clones
