"""The picture and the tables of `gpu_sweep`, from its JSON file. Needs no GPU.

    python benchmarks/gpu_sweep_report.py

Tables are written between two marks of a Markdown file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpu_report import replace_block

import approxtopk

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "gpu-sweep-h200.json"
RECALLS = (0.95, 0.99)

#: Rows up to that length are taken by a warp, which wants 32 or 64 buckets.
SHORT = 1024

Case = dict[str, Any]


def name(case: Case) -> str:
    n = case["n"]
    length = f"2^{n.bit_length() - 1}" if n > 2**17 else n
    kind = {"float32": "f32", "bfloat16": "bf16"}[case["dtype"]]
    return f"{case['rows']} × {length}, {case['k']}, {kind}"


def chosen_and_best(case: Case, recall: float) -> tuple[Case, Case]:
    """What the planner chooses, and the fastest of the sweep that reaches the same recall."""
    plan = approxtopk.plan(case["n"], case["k"], recall=recall)
    good = [entry for entry in case["plans"] if entry["expected_recall"] >= recall]
    mine = [entry for entry in good if (entry["b"], entry["kb"]) == (plan.b, plan.kb)]
    if not mine:
        raise SystemExit(f"{name(case)}: b={plan.b} kb={plan.kb} was not measured, sweep again")
    return mine[0], min(good, key=lambda entry: entry["us"])


def table(cases: list[Case]) -> Iterator[str]:
    yield (
        "| rows × n, k, dtype | recall 0.95: planned | best | | recall 0.99: planned | best | |\n"
        "|---|---|---|---|---|---|---|"
    )
    for case in sorted(cases, key=lambda case: not case["in_table"]):
        cells = [name(case)]
        for recall in RECALLS:
            mine, best = chosen_and_best(case, recall)
            cells += [f"{e['b']}, {e['kb']}: {e['us']:.1f}" for e in (mine, best)]
            cells.append(f"{mine['us'] / best['us']:.2f} ×")
        yield f"| {' | '.join(cells)} |"


def coprime_table(cases: list[Case]) -> Iterator[str]:
    """What numbers of buckets cost that share few factors with others, over the next round one."""
    yield "| rows × n, k, dtype | b, kb | 8 × a prime | 4 × a prime | a prime |"
    yield "|---|---:|---:|---:|---:|"
    for case in cases:
        if case["n"] <= SHORT:
            continue
        odd = case["coprime"]
        wider = [e for e in case["plans"] if e["kb"] == odd[0]["kb"] and e["b"] >= odd[-1]["b"]]
        base = min(wider, key=lambda entry: entry["b"])
        cells = [f"{base['b']}, {base['kb']}: {base['us']:.1f} µs"]
        cells += [f"{entry['b']}: × {entry['us'] / base['us']:.2f}" for entry in odd]
        yield f"| {name(case)} | {' | '.join(cells)} |"


def draw(data: Case, path: Path) -> None:
    """Time over expected recall, a panel to a workload of the target table, a line to a kb."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    cases = [case for case in data["workloads"] if case["in_table"]]
    figure, panels = plt.subplots(2, 5, figsize=(17, 7.2), layout="constrained")
    for axes, case in zip(panels.flat, cases, strict=True):
        for kb in sorted({entry["kb"] for entry in case["plans"]}):
            line = [entry for entry in case["plans"] if entry["kb"] == kb]
            # A recall of 1 has no place on a logarithmic scale of what is missed.
            line = [e for e in line if e["expected_recall"] < 1 - 1e-5]
            missed = [1 - entry["expected_recall"] for entry in line]
            times = [entry["us"] for entry in line]
            axes.plot(missed, times, marker="o", markersize=3.5, linewidth=1, label=f"kb = {kb}")
        for recall, marker in zip(RECALLS, "sD", strict=True):
            mine, _ = chosen_and_best(case, recall)
            axes.plot(
                *(1 - mine["expected_recall"], mine["us"]),
                *(marker,),
                markersize=10,
                markerfacecolor="none",
                color="black",
                linestyle="none",
                label=f"planned for {recall}",
            )
        lines = {**case["peers"], "floor": case["floor"]}
        styles = {"torch.topk": (":", "tab:purple"), "argmax": ("--", "grey"), "floor": ("-", "k")}
        for label, time in lines.items():
            style, colour = styles[label]
            axes.axhline(time, linestyle=style, color=colour, linewidth=1, label=label)
        axes.set(xscale="log", yscale="log", title=name(case), xlim=(0.06, 1e-5))
        axes.xaxis.set_major_locator(FixedLocator([0.05, 0.01, 1e-3, 1e-4]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda missed, _: f"{1 - missed:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{time:g}"))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("µs")
    for axes in panels[1]:
        axes.set_xlabel("expected recall")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=9, frameon=False)
    figure.suptitle(
        f"{data['device']}, rows × n, k, dtype: the time of every plan of the sweep, widest at the "
        "right of its line"
    )
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/images/gpu-sweep-h200.png")
    options = parser.parse_args()
    data = json.loads(options.results.read_text())
    draw(data, options.picture)
    replace_block(ROOT / "docs/performance-log.md", "sweep", table(data["workloads"]))
    replace_block(ROOT / "docs/orderings.md", "coprime", coprime_table(data["workloads"]))


if __name__ == "__main__":
    main()
