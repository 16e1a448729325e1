"""Timing kernels on a GPU: inputs rotated beyond its L2, host time left out, median and spread."""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

#: Bytes of input that a series of calls goes through before it meets the same buffer again.
ROTATED = 400 * 2**20
READ_GBPS, COPY_GBPS, LAUNCH_US = 4395.0, 4280.0, 2.5
#: Seconds of calls before any is timed: right after other work, calls that write much take up to
#: 4 % longer.
WARM_UP_S = 0.02


@dataclass(frozen=True)
class Time:
    """Microseconds of one call: median, least and greatest of the repetitions."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:8.1f} ±{(self.high - self.low) / 2:.1f}"


def inputs(rows: int, n: int, dtype: torch.dtype, least: int = 2) -> list[torch.Tensor]:
    """Different random buffers, together beyond L2, at least so many."""
    size = rows * n * torch.empty((), dtype=dtype).element_size()
    count = max(least, -(-ROTATED // size))
    buffers = []
    for seed in range(min(count, 64)):
        torch.manual_seed(seed)
        if dtype.is_floating_point:
            buffers.append(torch.randn(rows, n, device="cuda", dtype=torch.float32).to(dtype))
        else:
            info = torch.iinfo(dtype)
            buffers.append(
                torch.randint(info.min, info.max, (rows, n), device="cuda", dtype=torch.int64).to(
                    dtype
                )
            )
    return buffers


def measure(
    call: Callable[[torch.Tensor], Any], buffers: list[torch.Tensor], repeats: int = 7
) -> Time:
    """Time `call` over the buffers as a captured graph, so that the host does not count."""
    for arr in buffers[:2]:
        call(arr)
    torch.cuda.synchronize()
    rounds = max(1, 20 // len(buffers))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for arr in buffers:
                call(arr)
    warm = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < warm:
        graph.replay()
        torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1000 / rounds / len(buffers))
    return Time(statistics.median(times), min(times), max(times))


@functools.cache
def commit() -> str:
    """The commit that is measured, with a plus where files differ before any result is written.

    In a copy without the repository it can be told by the environment, as APPROXTOPK_COMMIT.
    """
    told = os.environ.get("APPROXTOPK_COMMIT")
    if told:
        return told
    command = ["git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def save(path: str, **data: Any) -> None:
    """Write results as JSON, with the commit, the device, torch's version and the date."""
    header = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    header["commit"] = commit()
    with open(path, "w") as file:
        json.dump({**header, "date": time.strftime("%Y-%m-%d"), **data}, file, indent=1)


def floor_us(read_bytes: float, written_bytes: float) -> float:
    """What moving these bytes takes, or a launch."""
    return max(LAUNCH_US, read_bytes / READ_GBPS / 1e3 + written_bytes / COPY_GBPS / 1e3)


def verify(
    arr: torch.Tensor, values: torch.Tensor, indices: torch.Tensor, k: int, b: int, kb: int
) -> float:
    """Check a largest, interleaved selection of floats and return its recall."""
    rows, n = arr.shape
    whole = torch.nn.functional.pad(arr.float(), (0, -n % b), value=-torch.inf)
    kept = whole.view(rows, -1, b).topk(kb, dim=1).values.reshape(rows, b * kb)
    best = kept.topk(k, dim=1).values
    assert torch.equal(values.float().sort(1, descending=True).values, best), "wrong values"
    assert torch.equal(arr.gather(1, indices.long()), values), "values are not at their indices"
    assert (indices.sort(1).values.diff() > 0).all(), "an index twice"
    exact = arr.float().topk(k, dim=1).values[:, -1:]
    return (values.float() >= exact).float().mean().item()
