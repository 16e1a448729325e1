"""How fast selection is on the CPU, against NumPy and torch on the same arrays.

    python benchmarks/cpu.py [--json FILE] [--table FILE] [--picture FILE] [--seconds S]

Contenders take turns, round after round, so that whatever else the machine does meets all of
them; every ratio is the median over the rounds of the ratio within a round. What is timed is
checked first. The table is written between two marks of a Markdown file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import approxtopk

RECALL = 0.99

#: rows, n, k: those that the targets are for, and one row of every power of two.
WORKLOADS = [(1, 2**20, 64), (1, 2**24, 1024), (64, 131072, 64), (32, 65536, 8192)]
LENGTHS = [2**i for i in range(10, 21)]
DTYPES = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8"]

#: Seconds of calls in one turn, and of rest before it: torch's threads spin for a while after
#: their work, on the processors of whoever comes next.
BATCH, REST = 1e-2, 5e-3

Times = dict[str, list[float]]


def take_turns(contenders: dict[str, Callable[[], object]], seconds: float) -> Times:
    """Microseconds of each contender in each round; at least 7 rounds."""
    times: Times = {name: [] for name in contenders}
    calls = {}
    for name, call in contenders.items():
        call()
        start = time.perf_counter()
        call()
        calls[name] = max(1, round(BATCH / (time.perf_counter() - start)))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[name]) < 7:
        for name, call in contenders.items():
            time.sleep(REST)
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            times[name].append((time.perf_counter() - start) / calls[name] * 1e6)
    return times


def summary(times: Times, reference: str) -> dict[str, dict[str, float]]:
    """Median, least and quartiles of each, and how many times as long the others take."""
    result = {}
    for name, samples in times.items():
        low, median, high = statistics.quantiles(samples, n=4)
        ratios = [a / b for a, b in zip(samples, times[reference], strict=True)]
        result[name] = {
            "median": median,
            "least": min(samples),
            "low": low,
            "high": high,
            "ratio": statistics.median(ratios),
        }
    return result


def normal(rows: int, n: int, dtype: str = "float32") -> np.ndarray:
    """Random elements; integers use their whole range."""
    rng = np.random.default_rng(0)
    if dtype.startswith("float"):
        return rng.standard_normal((rows, n), dtype=np.float32).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (rows, n), dtype=dtype, endpoint=True)


def check(arr: np.ndarray, k: int, backend: str, recall: float = RECALL) -> float:
    """The recall that is got, after making sure that the indices belong to the values."""
    result = approxtopk.topk(arr, k, recall=recall, backend=backend)
    assert (np.take_along_axis(arr, result.indices, -1) == result.values).all()
    exact = np.partition(arr, arr.shape[-1] - k, axis=-1)[:, -k:]
    return approxtopk.recall(result, (exact, None))


def contenders(arr: np.ndarray, k: int) -> dict[str, Callable[[], object]]:
    """Everybody, by the name that the table has."""
    import torch

    tensor, n = torch.from_numpy(arr), arr.shape[-1]
    return {
        "numba": lambda: approxtopk.topk(arr, k, recall=RECALL, backend="numba"),
        "numpy": lambda: approxtopk.topk(arr, k, recall=RECALL, backend="numpy"),
        "tensor": lambda: approxtopk.topk(tensor, k, recall=RECALL, backend="torch"),
        "np.argpartition": lambda: np.argpartition(arr, n - k, axis=-1),
        "torch.topk": lambda: torch.topk(tensor, k),
        "arr.max": lambda: arr.max(axis=-1),
    }


def workloads(seconds: float) -> Iterator[dict[str, object]]:
    for rows, n, k in WORKLOADS:
        arr = normal(rows, n)
        got = {backend: check(arr, k, backend) for backend in ("numba", "numpy")}
        plan = approxtopk.plan(n, k, recall=RECALL)
        times = summary(take_turns(contenders(arr, k), seconds), "numba")
        case = {"rows": rows, "n": n, "k": k, "b": plan.b, "kb": plan.kb}
        yield {**case, "recall": got, "times": times}


def lengths(seconds: float) -> Iterator[dict[str, object]]:
    for n in LENGTHS:
        for k in (10, n // 16, n // 2):
            arr = normal(1, n)
            some = {
                name: call
                for name, call in contenders(arr, k).items()
                if name in ("numba", "numpy", "np.argpartition", "torch.topk")
            }
            times = summary(take_turns(some, seconds), "numba")
            yield {"n": n, "k": k, "times": times}


def dtypes(seconds: float) -> Iterator[dict[str, object]]:
    """Time per byte of every type over that of float32."""
    rows, n, k = 16, 131072, 64

    def selection(dtype: str) -> Callable[[], object]:
        arr = normal(rows, n, dtype)
        return lambda: approxtopk.topk(arr, k, recall=RECALL, backend="numba")

    times = summary(take_turns({dtype: selection(dtype) for dtype in DTYPES}, seconds), "float32")
    for dtype in DTYPES:
        per_byte = times[dtype]["ratio"] * 4 / np.dtype(dtype).itemsize
        yield {"dtype": dtype, "median": times[dtype]["median"], "per_byte": per_byte}


def plans(seconds: float) -> Iterator[dict[str, object]]:
    """What the other queue lengths cost, for the planner's model."""
    from approxtopk.planner import alternatives

    for rows, n, k in WORKLOADS:
        arr = normal(rows, n)
        options = {f"b={p.b} kb={p.kb}": p for p in alternatives(n, k, RECALL)}
        calls = {
            name: lambda p=p, arr=arr, k=k: approxtopk.topk(arr, k, b=p.b, kb=p.kb, backend="numba")
            for name, p in options.items()
        }
        chosen = approxtopk.plan(n, k, recall=RECALL)
        times = summary(take_turns(calls, seconds), f"b={chosen.b} kb={chosen.kb}")
        yield {
            "workload": (rows, n, k),
            "options": {name: (times[name]["ratio"], options[name].cost) for name in options},
        }


#: rows, n, k whose extra memory is measured: the workloads, and shares of a row that are large.
LONG_ROW = 2**22
MEMORY = [
    *WORKLOADS,
    *[(32, 65536, 1024), (2048, 1024, 128)],
    *[(1, LONG_ROW, LONG_ROW // share) for share in (64, 8, 2)],
]


def memory(_: float) -> Iterator[dict[str, object]]:
    """Extra memory at its peak over input and output, and what `explain` tells of it."""
    for rows, n, k in MEMORY:
        arr = normal(rows, n)
        case: dict[str, object] = {"rows": rows, "n": n, "k": k}
        for backend in ("numba", "numpy"):
            how = {"recall": RECALL, "backend": backend}
            approxtopk.topk(arr, k, **how)
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            result = approxtopk.topk(arr, k, **how)
            peak = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.stop()
            output = sum(part.nbytes for part in result)
            moved = arr.nbytes + output
            stated = approxtopk.explain(arr, k, **how).workspace_bytes
            case[backend] = {"measured": (peak - output) / moved, "stated": stated / moved}
        yield case


FIRST_CALL = """
import sys, time, numpy, approxtopk
arr = numpy.random.default_rng(0).standard_normal(1 << 16, dtype="float32")
clock = getattr(time, sys.argv[1])
import numba
start = clock()
approxtopk.topk(arr, 64, recall=0.99, backend="numba")
print(clock() - start)
"""


def first_call() -> dict[str, float]:
    """Seconds of a process's first call, by the clock and of the processor, Numba imported."""
    result = {}
    for clock in ("perf_counter", "process_time"):
        with tempfile.TemporaryDirectory() as cache:
            env = os.environ | {"NUMBA_CACHE_DIR": cache}
            for name in ("cold", "cached", "cached"):
                command = [sys.executable, "-c", FIRST_CALL, clock]
                out = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
                result[f"{name} {clock}"] = float(out.stdout)
    return result


def machine() -> dict[str, object]:
    import numba
    import torch

    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{module.__name__: str(module.__version__) for module in (np, torch, numba)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="Markdown file to write the tables into")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each set of contenders")
    options = parser.parse_args()
    report = {"machine": machine()}
    parts = {"workloads": 1.0, "lengths": 0.1, "dtypes": 1.0, "plans": 0.5, "memory": 0.0}
    for name, share in parts.items():
        report[name] = []
        for entry in globals()[name](share * options.seconds):
            print(json.dumps(entry), flush=True)
            report[name].append(entry)
    report["first_call"] = first_call()
    report["machine_after"] = machine()
    print(json.dumps(report["first_call"]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.table or options.picture:
        import cpu_report

        if options.table:
            cpu_report.write_tables(report, options.table)
        if options.picture:
            cpu_report.draw(report, options.picture)


if __name__ == "__main__":
    main()
