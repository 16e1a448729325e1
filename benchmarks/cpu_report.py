"""The tables and the picture of `benchmarks/cpu.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Report = dict[str, Any]


def write_tables(report: Report, path: Path) -> None:
    for name, lines in TABLES.items():
        replace_block(path, name, lines(report))


def replace_block(path: Path, name: str, lines: Iterable[str]) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end -->`` of a Markdown file."""
    block = "\n".join(lines)
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    text, count = re.subn(
        pattern, lambda found: f"{found[1]}{block}\n{found[2]}", path.read_text(), flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{path} must have one <!-- {name} --> … <!-- end -->")
    path.write_text(text)


def machine(report: Report) -> Iterator[str]:
    about, after = report["machine"], report["machine_after"]
    yield (
        f"{about['processor']}, {about['cores']} cores; Python {about['python']}, NumPy "
        f"{about['numpy']}, torch {about['torch']}, Numba {about['numba']}. Load average "
        f"{about['load']:.1f} before and {after['load']:.1f} after the run."
    )


def workloads(report: Report) -> Iterator[str]:
    names = ("numba", "tensor", "numpy", "np.argpartition", "torch.topk", "arr.max")
    heads = ("Numba", "torch tensor", "NumPy alone", *(f"`{name}`" for name in names[3:]))
    yield f"| rows × n, k | plan (b, kb) | {' | '.join(heads)} |"
    yield "|---|---|" + "---:|" * len(names)
    for case in report["workloads"]:
        times = case["times"]
        cells = [f"{times[name]['median'] / 1000:.3g} ms" for name in names[:3]]
        cells += [
            f"{times[name]['median'] / 1000:.3g} ms (× {times[name]['ratio']:.3g})"
            for name in names[3:]
        ]
        yield (
            f"| {case['rows']} × {case['n']}, {case['k']} | {case['b']}, {case['kb']} | "
            f"{' | '.join(cells)} |"
        )


def lengths(report: Report) -> Iterator[str]:
    yield "| n | k = 10 | k = n/16 | k = n/2 |"
    yield "|---:|---:|---:|---:|"
    ratios: dict[int, list[str]] = {}
    for case in report["lengths"]:
        ratio = case["times"]["np.argpartition"]["ratio"]
        ratios.setdefault(case["n"], []).append(f"{ratio:.3g}")
    for n, cells in ratios.items():
        yield f"| {n} | {' | '.join(cells)} |"


def dtypes(report: Report) -> Iterator[str]:
    yield "| dtype | time | per byte, over float32 |"
    yield "|---|---:|---:|"
    for case in report["dtypes"]:
        yield f"| {case['dtype']} | {case['median'] / 1000:.3g} ms | {case['per_byte']:.2f} |"


def plans(report: Report) -> Iterator[str]:
    yield "| rows × n, k | " + " | ".join(f"kb = {kb}" for kb in range(1, 9)) + " |"
    yield "|---|" + "---:|" * 8
    for case in report["plans"]:
        rows, n, k = case["workload"]
        cells = [f"{ratio:.2f}" for ratio, _ in case["options"].values()]
        yield f"| {rows} × {n}, {k} | {' | '.join(cells)} |"


def memory(report: Report) -> Iterator[str]:
    yield "| rows × n, k | Numba: measured | stated | NumPy alone: measured | stated |"
    yield "|---|---:|---:|---:|---:|"
    for case in report["memory"]:
        cells = [
            f"{case[backend][what]:.1%}"
            for backend in ("numba", "numpy")
            for what in ("measured", "stated")
        ]
        yield f"| {case['rows']} × {case['n']}, {case['k']} | {' | '.join(cells)} |"


def first_call(report: Report) -> Iterator[str]:
    times = report["first_call"]
    for name in ("cold", "cached"):
        yield (
            f"- {name}: {times[f'{name} perf_counter']:.2f} s by the clock, "
            f"{times[f'{name} process_time']:.2f} s of processor time"
        )


TABLES = {
    "machine": machine,
    "workloads": workloads,
    "lengths": lengths,
    "dtypes": dtypes,
    "plans": plans,
    "memory": memory,
    "first call": first_call,
}


def draw(report: Report, path: Path) -> None:
    """Time over n for k = n/16, and the four workloads as ratios to the Numba backend."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = {
        "numba": "approxtopk, Numba",
        "numpy": "approxtopk, NumPy alone",
        "torch.topk": "torch.topk",
        "np.argpartition": "np.argpartition",
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    few = [case for case in report["lengths"] if case["k"] == case["n"] // 16]
    for name, label in names.items():
        times = [case["times"][name]["median"] for case in few]
        left.loglog([case["n"] for case in few], times, marker="o", markersize=3, label=label)
    left.set(xlabel="n", ylabel="µs", title="one row, k = n/16, recall ≥ 0.99")
    left.legend(frameon=False)
    cases = report["workloads"]
    labels = [f"{case['rows']} × {case['n']}\nk = {case['k']}" for case in cases]
    shown = ("np.argpartition", "torch.topk", "arr.max")
    for place, name in enumerate(shown):
        ratios = [case["times"][name]["ratio"] for case in cases]
        at = [i + (place - 1) * 0.27 for i in range(len(cases))]
        bars = right.bar(at, ratios, 0.25, label=name)
        right.bar_label(bars, [f"{ratio:.2g}" for ratio in ratios], fontsize=8)
    right.axhline(1, color="black", linewidth=0.8)
    right.set_yscale("log")
    right.set_xticks(range(len(cases)), labels, fontsize=8)
    right.set(ylabel="time over the Numba backend's", title="recall ≥ 0.99, float32")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
