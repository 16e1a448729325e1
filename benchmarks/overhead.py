"""What the library costs besides the selection: dispatch, import, planning, a whole call.

    python benchmarks/overhead.py [--json FILE]

Each figure is the median of repeated measurements, with the range of the middle half of them.
Another process on the machine makes every one of them greater, none less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np

import approxtopk
from approxtopk import api, dispatch


@dataclass(frozen=True)
class Figure:
    """One measured quantity against its limit."""

    name: str
    unit: str
    median: float
    low: float  #: the first quartile
    high: float  #: the third
    limit: float


def figure(name: str, unit: str, limit: float, samples: list[float]) -> Figure:
    low, median, high = statistics.quantiles(samples, n=4)
    return Figure(name, unit, median, low, high, limit)


def time_calls(call: Callable[[], object], calls: int = 2000, repeats: int = 31) -> list[float]:
    """Seconds per call, `repeats` times."""
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        samples.append((time.perf_counter() - start) / calls)
    return samples


def dispatch_hit() -> Figure:
    """From a call's signature to backend and request, once it is known: µs."""
    info = approxtopk.ArrayInfo((4, 1000), "float32", "cpu")
    signature = (np.ndarray, info, 10, None, None, None, -1, True, False, True, None, False, None)
    api.resolve(*signature)
    seconds = time_calls(lambda: api.resolve(*signature))
    return figure("dispatch on a hit", "µs", 1.0, [s * 1e6 for s in seconds])


def import_time(repeats: int = 15) -> Figure:
    """Time of ``import approxtopk`` where NumPy is imported already: ms, each in a new process."""
    code = (
        "import numpy, time; start = time.perf_counter(); import approxtopk; "
        "print(time.perf_counter() - start)"
    )
    samples = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(repeats + 1)
    ]
    return figure("import approxtopk, over numpy", "ms", 60.0, [s * 1e3 for s in samples[1:]])


def fresh_plans() -> Iterator[tuple[int, int, float]]:
    """Arguments that were never planned for, of short and long rows: no cache has them."""
    for i in count():
        n = (1 << 12 + i % 19) + 2 * i + 1
        k = min(n // 4, (1, 10, 64, 1000, 65536)[i % 5])
        yield n, k, (0.8, 0.95, 0.99, 0.999)[i % 4]


def plan_cold(plans: int = 760) -> Figure:
    """``plan`` for arguments it has not seen: ms."""
    samples = []
    arguments = fresh_plans()
    for _ in range(plans):
        n, k, recall = next(arguments)
        start = time.perf_counter()
        approxtopk.plan(n, k, recall=recall)
        samples.append((time.perf_counter() - start) * 1e3)
    return figure("plan, cold", "ms", 1.0, samples)


def call_overhead() -> Figure:
    """``topk`` over the bare NumPy backend on the same array: µs, by differences taken in turns.

    For k = 0, where the backend only allocates: what the core adds is the same for every k, and a
    selection would add its own spread, which is greater than the figure.
    """
    x = np.random.default_rng(0).standard_normal(64, dtype=np.float32)
    call = api.resolve(
        *(np.ndarray, approxtopk.ArrayInfo(x.shape, "float32", "cpu"), 0, None, None, None),
        *(-1, True, False, True, None, False, "numpy"),
    )
    samples = []
    for _ in range(101):
        (bare,) = time_calls(lambda: call.backend.topk(x, call.request, None), 200, 1)
        (whole,) = time_calls(lambda: approxtopk.topk(x, 0, backend="numpy"), 200, 1)
        samples.append((whole - bare) * 1e6)
    return figure("topk over the bare NumPy backend", "µs", 15.0, samples)


def measure() -> list[Figure]:
    """All four."""
    dispatch.registry.declared()  # plug-ins are imported before the clock runs
    return [dispatch_hit(), import_time(), plan_cold(), call_overhead()]


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "cpu": f"{os.cpu_count()}-core {platform.machine()} virtual machine"
        if "hypervisor" in _cpuinfo()
        else f"{os.cpu_count()}-core {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "approxtopk": approxtopk.__version__,
    }


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    arguments = parser.parse_args()
    figures = measure()
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    for f in figures:
        spread = f"({f.low:.2f} to {f.high:.2f})"
        verdict = "ok" if f.median <= f.limit else "OVER"
        print(f"{f.name:34}{f.median:8.2f} {f.unit} {spread:20} limit {f.limit:g} {verdict}")
    if arguments.json:
        result = {"machine": machine(), "figures": [asdict(f) for f in figures]}
        arguments.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
