"""The page of the command line is what ``--help`` prints."""

import subprocess
import sys
from pathlib import Path

from pixelkin.cli import COMMANDS
from pixelkin.cli.manual import manual

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"


def test_the_page_in_docs_is_what_the_commands_say_of_themselves():
    assert PAGE.read_text("utf-8") == manual(), "make it anew: python -m pixelkin.cli.manual > docs/cli.md"


def test_every_command_is_told_with_every_option():
    page = manual()
    for command in COMMANDS:
        assert f"## pixelkin {command.__name__}\n" in page
    said = subprocess.run(
        [sys.executable, "-m", "pixelkin", "explain", "--help"], capture_output=True, text=True, check=True
    )
    part = page.partition("## pixelkin explain\n```\n")[2].partition("\n```")[0]
    told, printed = (text.partition(" explain ")[2].split() for text in (part, said.stdout))
    assert told == printed
