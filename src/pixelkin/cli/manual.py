"""The command line's own page of documentation: ``python -m pixelkin.cli.manual > docs/cli.md``.

A test compares that file with what this module makes, so that it tells what ``--help`` tells.
"""

from __future__ import annotations

import sys

import typer

from pixelkin.cli import COMMANDS, app

COLUMNS = 100
INTRODUCTION = """\
# The command line
Made by `python -m pixelkin.cli.manual > docs/cli.md` from what `--help` prints; do not edit.

Exit status: 0 done; 1 some images could not be read, and the others were judged (`detect`, `scan`); 2 it
could not be done, and one sentence on standard error says why; 130 stopped by SIGINT (Ctrl+C) or SIGTERM; 141
nobody reads what it writes. Data go to standard output or a file, words for people to standard error.
"""


def manual() -> str:
    """The page, in Markdown: the commands in the order that ``--help`` lists them."""
    group = typer.main.get_command(app)
    names = [command.__name__ for command in COMMANDS]
    listed = "\n".join(f"- [`pixelkin {name}`](#pixelkin-{name})" for name in names)
    parts = [INTRODUCTION, f"{listed}\n"]
    with typer.Context(group, info_name="pixelkin", terminal_width=COLUMNS) as context:
        for name in names:
            command = group.commands[name]  # type: ignore[attr-defined]
            with typer.Context(command, info_name=name, parent=context, terminal_width=COLUMNS) as own:
                told = "\n".join(line.rstrip() for line in command.get_help(own).strip().splitlines())
            parts.append(f"## pixelkin {name}\n```\n{told}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(manual())
