"""Images a second by engine, batch and threads, and the operations of the networks.

The engines take turns within a round, so that a drift of the machine's speed meets them alike, and
every ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from pixelkin.lab.detectors import detector_class
from pixelkin.lab.detectors.base import Detector, FromPixels
from pixelkin.lab.export import to_onnx
from pixelkin.lab.quantise import quantised
from pixelkin.model import Model
from pixelkin.types import Card, Pixels

EAGER, ONNX = "PyTorch, eager", "ONNX Runtime"  # what the ratio that must hold is of
SHARED = "`pixelkin.Model`: ONNX Runtime, a thread has tiles of its own"
SIDE = 128  # of a tile, pixels
LEAST = 0.25  # seconds a turn
SETTLES = 0.02  # seconds in which the threads of the engine before go to sleep

Call = Callable[[], Any]
Engine = Callable[[Pixels, int], Call]  # tiles and threads to what judges those tiles once


@dataclass(frozen=True, slots=True)
class Row:
    """Images a second of one engine: the median over rounds, their least and greatest.

    Attributes:
        ratio: to eager PyTorch with the same batch and threads, median of the rounds' ratios.
    """

    engine: str
    batch: int
    threads: int
    rate: float
    least: float
    greatest: float
    ratio: float


def rows(
    network: str, batch: int, threads: int, rounds: int, engines: Mapping[str, Engine] | None = None
) -> list[Row]:
    """What each engine does of a network on a batch of tiles."""
    tiles = np.random.default_rng(0).integers(0, 256, (batch, 3, SIDE, SIDE), np.uint8)
    calls = {name: engine(tiles, threads) for name, engine in (engines or engines_of(network)).items()}
    for call in calls.values():
        call()
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(SETTLES)
            seen[name].append(batch * rate(call))
    return [
        Row(
            name,
            batch,
            threads,
            rate=statistics.median(each),
            least=min(each),
            greatest=max(each),
            ratio=statistics.median(r / e for r, e in zip(each, seen[EAGER], strict=True)),
        )
        for name, each in seen.items()
    ]


def rate(call: Call) -> float:
    """Calls a second, over at least `LEAST` seconds."""
    began, times = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < LEAST:
        call()
        times += 1
    return times / spent


@cache
def engines_of(name: str) -> dict[str, Engine]:
    """What can run a network with random weights, from eager PyTorch to 8 bits; OpenVINO where installed."""
    network = built(name)
    card = Card(
        name=name,
        version="0",
        system=name,
        paper="-",
        weights_sha256="-",
        trained_on="nothing",
        licence="-",
        tile=SIDE,
    )
    graph = to_onnx(network, card)
    noise = np.random.default_rng(1).integers(0, 256, (4, 8, 3, SIDE, SIDE), np.uint8)
    last = FromPixels(built(name)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = FromPixels(built(name)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    engines: dict[str, Engine] = {
        EAGER: partial(eager, FromPixels(network)),
        "PyTorch, eager, channels last": partial(eager, last),
        "PyTorch, eager, folded": partial(eager, network.graph().eval()),
        ONNX: partial(onnx_runtime, graph),
        SHARED: partial(shared_out, graph),
        "ONNX Runtime, 8 bits": partial(onnx_runtime, quantised(graph, list(noise))),
    }
    if importlib.util.find_spec("openvino"):
        for precision in ("f32", "bf16"):
            engines[f"OpenVINO, {precision}"] = partial(openvino, graph, precision)
    return engines


def built(name: str) -> Detector:
    """A detector with random weights, its batch norms settled so that no number leaves its range."""
    torch.manual_seed(0)
    network = detector_class(name)()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        network.train().from_pixels(torch.randint(0, 256, (8, 3, SIDE, SIDE), dtype=torch.uint8))
    return network.eval()


def shared_out(graph: bytes, tiles: Pixels, threads: int) -> Call:
    """A graph as Pixelkin runs it."""
    return partial(Model(graph, threads=threads).logits, tiles)


def eager(network: torch.nn.Module, tiles: Pixels, threads: int) -> Call:
    """A network in PyTorch as it stands."""
    shown = torch.from_numpy(tiles)

    def call() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            network(shown)

    return call


def onnx_runtime(graph: bytes, tiles: Pixels, threads: int) -> Call:
    """A graph as `pixelkin.model.Model` runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["logits"], {"tiles": tiles})


def openvino(graph: bytes, precision: str, tiles: Pixels, threads: int) -> Call:
    """A graph in OpenVINO, for tiles of one shape."""
    from openvino import Core

    core = Core()
    model = core.read_model(graph)
    model.reshape(list(tiles.shape))
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer({0: tiles})


def operations(name: str) -> float:
    """Floating-point operations of one tile, in 1e9, two a multiply-accumulate; convolutions and products."""
    network, tile = built(name), torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.from_pixels(tile)
    return float(counter.get_total_flops()) / 1e9
