"""The memory of this process, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def peak() -> float:
    """Megabytes that this process had at the most.

    Not ``ru_maxrss``, into which Linux counts what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
