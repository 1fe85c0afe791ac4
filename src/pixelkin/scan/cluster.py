"""Parts judged by a Ray cluster: actors hold the model and take parts as they can; Ray replaces what dies.

The folder of the scan and the source must be seen by every machine. Without the variable
``RAY_ADDRESS`` the cluster is this machine alone, on loopback.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pixelkin.errors import ConfigError, DataError, MissingExtraError, PixelkinError
from pixelkin.scan.job import Judge, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What each actor reserves.

    Attributes:
        cpus: cores; as many images are decoded, and as many calls of the runtime made, at once.
        gpus: 0 to score on the CPU.
    """

    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.gpus < 0:
            raise ConfigError(f"{self.cpus} CPUs and {self.gpus:g} GPUs: an actor needs 1 CPU or more")


class _Actor:
    """A `Judge` in a process of Ray's."""

    def __init__(self, share: Share) -> None:
        self._judge = Judge(share)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            ((number, part),) = self._judge.parts([int(row["number"])])
        except PixelkinError as error:  # as data: Ray hands on no more of an exception than its text
            return {"number": row["number"], "part": b"", "error": str(error)}
        return {"number": number, "part": part, "error": ""}


def judged(
    share: Share, numbers: list[int], actors: int, resources: Resources
) -> Iterator[tuple[int, bytes]]:
    """Each part's rows as a Parquet file, in the order in which they are done.

    Args:
        share: of the work, as one machine would do it.
        numbers: of the parts.
        actors: at once; 0 for as many as the cluster has room for.
        resources: of each.

    Raises:
        MissingExtraError: Ray is not installed.
        DataError: what stopped an actor's work, or the cluster's.
    """
    ray = _started()
    data = ray.data
    room = int(ray.cluster_resources().get("CPU", 1)) // resources.cpus
    share = replace(share, workers=resources.cpus, gpu=resources.gpus > 0)
    dataset = data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
    done = dataset.map(
        _Actor,
        fn_constructor_args=(share,),
        compute=data.ActorPoolStrategy(size=max(1, min(actors or room, len(numbers)))),
        num_cpus=resources.cpus,
        num_gpus=resources.gpus or None,
    )
    try:
        for row in done.iter_rows():
            if row["error"]:
                raise DataError(row["error"])
            yield row["number"], row["part"]
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"the cluster stopped ({lines[-1].strip()})") from error


def _started() -> Any:
    """Ray, connected to the cluster of ``RAY_ADDRESS``, or started on this machine for itself alone."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = os.environ.get("RAY_ADDRESS", "local")
    if address == "local":
        # The name tells where Ray does so by default: it then keeps to the loopback address.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--engine ray", "ray", error.name) from error
    if not ray.is_initialized():
        alone: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
