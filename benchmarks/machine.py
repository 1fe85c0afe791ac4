"""The machine that is measured: what it is, how busy, and the most that its arithmetic reaches."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "onnxruntime", "pillow", "numpy")
SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")  # what the engines choose kernels by


def described() -> dict[str, Any]:
    """Processor, cores, instruction sets, versions, date, and how many processes wanted a core just now."""
    facts = _processor()
    flags = set(facts.get("flags", "").split())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": facts.get("model name", platform.machine()),
        "family": f"{facts.get('cpu family', '-')}/{facts.get('model', '-')}",
        "cores": os.cpu_count(),
        "sets": [name for name in SETS if name in flags],
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def ceiling(threads: int, side: int = 2048, times: int = 8) -> float:
    """The most operations a second, in 1e9, of a large matrix product: what convolutions could reach."""
    torch.set_num_threads(threads)
    a, b = torch.randn(side, side), torch.randn(side, side)
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        torch.mm(a, b)
        spent.append(time.perf_counter() - began)
    return float(2 * side**3 / min(spent) / 1e9)


def _processor() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().partition("\n\n")[0].splitlines() if file.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
