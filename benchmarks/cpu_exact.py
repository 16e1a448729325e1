"""What certificates and exact answers cost on the CPU, on random data and on the worst.

    python benchmarks/cpu_exact.py [--json FILE] [--table FILE] [--seconds S]

Contenders take turns as in `cpu`; the table is written between two marks of a Markdown file. What
a certificate adds is a few percent, so it is told by processor time, call by call in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from cpu import RECALL, check, machine, normal, summary, take_turns

import approxtopk
from approxtopk import Request
from approxtopk_numba.launch import launch, sampled_places
from approxtopk_numpy.fast import by_cheapest_buckets

#: rows, n, k: k of n / 100 or less.
WORKLOADS = [
    (1, 2**20, 64),
    (1, 2**24, 1024),
    (64, 131072, 64),
    (1, 131072, 64),
    (1, 131072, 1310),
    (16, 131072, 1310),
]

#: Into how many buckets each backend divides the rows of an exact request.
LANES: dict[str, Callable[[Request], int]] = {
    "numba": lambda request: launch(request).width,
    "numpy": lambda request: by_cheapest_buckets(request).b,
}

Case = dict[str, object]


def adversaries(arr: np.ndarray, k: int, backend: str) -> dict[str, np.ndarray]:
    """The same values, or one alone, where stage 1 loses most or most elements tie."""
    n = arr.shape[-1]
    width = LANES[backend](Request(arr.shape, "float32", "cpu", 1, k, n, 1))
    crowded = arr.copy()
    columns = crowded[:, : n // width * width].reshape(len(arr), -1, width)[:, :, : k // 8 + 1]
    columns[:] = np.sort(columns + 10.0, axis=1)  # each better than what came before
    rising = np.sort(arr, axis=1)
    made = {
        "constant": np.zeros_like(arr),
        "rising": rising,
        "falling": rising[:, ::-1].copy(),
        "the best in few buckets": crowded,
    }
    by = launch(Request(arr.shape, "float32", "cpu", 1, k, n, 1)).sampled
    if backend == "numba" and by is not None:
        misled = made["the best in its sample"] = arr.copy()
        misled[:, sampled_places(n, by.lines, 4)[:k]] += 10.0
    return made


def selection(
    arr: np.ndarray, k: int, backend: str, recall: float, certificate: bool = False
) -> Callable[[], object]:
    """A call to be timed."""
    how = {"recall": recall, "backend": backend, "certificate": certificate}
    return lambda: approxtopk.topk(arr, k, **how)


def price(call: Callable[[], object], more: Callable[[], object], rounds: int = 41) -> float:
    """How many times as much processor time the second call takes: the median of the rounds."""
    start = time.process_time()
    call()
    calls = max(1, round(2e-2 / max(time.process_time() - start, 1e-6)))
    ratios = []
    for _ in range(rounds):
        took = []
        for each in (call, more, call):
            start = time.process_time()
            for _ in range(calls):
                each()
            took.append(time.process_time() - start)
        ratios.append(2 * took[1] / (took[0] + took[2]))
    return statistics.median(ratios)


def exact(seconds: float) -> Iterator[Case]:
    """Times of every workload on both backends, the exact answer's the reference."""
    for rows, n, k in WORKLOADS:
        arr = normal(rows, n)
        for backend in ("numba", "numpy"):
            assert check(arr, k, backend, recall=1.0) == 1.0
            calls = {
                "approximate": selection(arr, k, backend, RECALL),
                "certified": selection(arr, k, backend, RECALL, certificate=True),
                "exact": selection(arr, k, backend, 1.0),
                "np.argpartition": lambda arr=arr, at=n - k: np.argpartition(arr, at, axis=-1),
            }
            for name, hard in adversaries(arr, k, backend).items():
                assert check(hard, k, backend, recall=1.0) == 1.0
                calls[name] = selection(hard, k, backend, 1.0)
            certificate = price(calls["approximate"], calls.pop("certified"))
            times = take_turns(calls, seconds)
            case = {"rows": rows, "n": n, "k": k, "backend": backend}
            yield {**case, "certificate": certificate, "times": summary(times, "exact")}


def table(cases: list[Case]) -> Iterator[str]:
    """Lines of Markdown."""
    yield (
        "| rows × n, k | backend | recall 0.99 | with certificate | exact | `np.argpartition` | "
        "slowest input |"
    )
    yield "|---|---|---:|---:|---:|---:|---|"
    for case in cases:
        times = case["times"]
        hard = list(times)[3:]
        slowest = max(hard, key=lambda name: times[name]["ratio"])
        partition = times["np.argpartition"]
        yield (
            f"| {case['rows']} × {case['n']}, {case['k']} | {case['backend']} | "
            f"{times['approximate']['median'] / 1000:.3g} ms | × {case['certificate']:.3f} | "
            f"{times['exact']['median'] / 1000:.3g} ms | "
            f"{partition['median'] / 1000:.3g} ms (× {partition['ratio']:.3g}) | "
            f"{slowest} (× {times[slowest]['ratio']:.2g}) |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="Markdown file to write the table into")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each set of contenders")
    options = parser.parse_args()
    report = {"machine": machine(), "exact": []}
    for case in exact(options.seconds):
        report["exact"].append(case)
        print(*list(table([case]))[2:], flush=True)
    report["machine_after"] = machine()
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.table:
        before, rest = options.table.read_text().split("<!-- exact -->\n", 1)
        after = rest[rest.index("<!-- end -->") :]
        lines = "\n".join(table(report["exact"]))
        options.table.write_text(f"{before}<!-- exact -->\n{lines}\n{after}")


if __name__ == "__main__":
    main()
