"""Time against expected recall, as measured on an H200 for every plan of a sweep."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .style import RESULTS, THEMES, figure, plain, title

SWEEP = RESULTS / "gpu-sweep-h200.json"

#: rows, n, k: one panel each; float32.
PANELS = ((64, 131_072, 64), (256, 131_072, 2048))
NAMED = (0.95, 0.99, 0.999, 0.9999)


@cache
def workload(rows: int, n: int, k: int) -> dict[str, Any]:
    """What the sweep says of a size."""
    for each in json.loads(SWEEP.read_text())["workloads"]:
        if (each["rows"], each["n"], each["k"], each["dtype"]) == (rows, n, k, "float32"):
            return dict(each)
    raise LookupError(f"{SWEEP.name} has no {rows} x {n}, k = {k}")


def curves(rows: int, n: int, k: int) -> dict[int, list[tuple[float, float]]]:
    """By queue length: expected recall and microseconds, along rising b."""
    found: dict[int, list[tuple[float, float]]] = {}
    for plan in sorted(workload(rows, n, k)["plans"], key=lambda plan: plan["b"]):
        found.setdefault(plan["kb"], []).append((plan["expected_recall"], plan["us"]))
    return found


def draw(path: Path, theme_name: str) -> None:
    """A panel for each size, between the read floor and exact selection."""
    theme, least = THEMES[theme_name], 2e-5
    with figure(path, theme, 8.0, 3.9) as made:
        panels = made.subplots(1, 2)
        for axes, (rows, n, k) in zip(panels, PANELS, strict=True):
            about = workload(rows, n, k)
            for kb, points in curves(rows, n, k).items():
                colour = theme.colours[(kb - 1) % len(theme.colours)]
                shown = [(max(least, 1 - recall), us) for recall, us in points]
                axes.plot(
                    *zip(*shown, strict=True), marker="o", color=colour, markersize=5,
                    markeredgecolor=theme.page, label=f"kb = {kb}",
                )  # fmt: skip
            levels = {"reading the rows once": about["floor"], **about["peers"]}
            for name, us in levels.items():
                axes.axhline(us, color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
                axes.annotate(
                    f"{name}: {us:.3g} µs", (0.99, us), (0, 3), xycoords=axes.get_yaxis_transform(),
                    textcoords="offset points", ha="right", fontsize=8, color=theme.faint,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.set_xlim(0.07, least)
            axes.set_yscale("log")
            axes.set_ylim(about["floor"] * 0.85, max(levels.values()) * 1.35)
            axes.xaxis.set_major_locator(FixedLocator([1 - recall for recall in NAMED]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - value:.4g}"))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(FixedLocator([10, 20, 50, 100, 200, 500]))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} µs"))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("expected recall")
            title(axes, f"{rows} × {n:,}, k = {k}")
            plain(axes, theme)
        panels[0].legend(frameon=False, fontsize=8, loc=(0.04, 0.52))
