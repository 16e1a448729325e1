"""Expected recall against candidates, by the exact formula, with recall measured on random rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

import approxtopk

from .style import THEMES, figure, plain, title

N, K, ROWS = 65_536, 64, 256
QUEUES = (1, 2, 4, 8)

#: Dots are shown where so many elements were missed: fewer say little.
MISSED = 10

#: Candidates as multiples of k, and the recalls that the axis names.
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NAMED = (0.5, 0.9, 0.99, 0.999, 0.9999)

Points = list[tuple[int, float]]


def expected(kb: int) -> Points:
    """The curve of a queue length: candidates and expected recall."""
    finer = sorted({round(K * 2 ** (step / 8)) // kb for step in range(8 * 8 + 1)})
    return [(b * kb, approxtopk.expected_recall(N, K, b, kb)) for b in finer if b * kb >= K]


@cache
def measured(kb: int) -> tuple[tuple[int, float], ...]:
    """Recall that was got, the mean over rows of random numbers."""
    rows = np.random.default_rng(7).standard_normal((ROWS, N), dtype=np.float32)
    exact = approxtopk.topk(rows, K, recall=1.0)
    points = []
    for candidates in (K * multiple for multiple in MULTIPLES):
        found = approxtopk.topk(rows, K, b=candidates // kb, kb=kb)
        points.append((candidates, approxtopk.recall(found, exact)))
    return tuple(points)


def draw(path: Path, theme_name: str) -> None:
    """Curves on a scale that shows how much is missed."""
    theme, least = THEMES[theme_name], 2e-5
    with figure(path, theme, 7.2, 4.2) as made:
        axes = made.subplots()
        for kb, colour in zip(QUEUES, theme.colours, strict=True):
            curve = [(c, max(least, 1 - recall)) for c, recall in expected(kb)]
            axes.plot(*zip(*curve, strict=True), color=colour, linewidth=1.8)
            dots = [
                (c, 1 - recall) for c, recall in measured(kb) if 1 - recall >= MISSED / K / ROWS
            ]
            axes.plot(
                *zip(*dots, strict=True), "o", color=colour, markersize=5,
                markeredgecolor=theme.page,
            )  # fmt: skip
            end = next(point for point in curve if point[1] < 9e-5 or point[0] >= 16_000)
            axes.annotate(
                f"kb = {kb}", end, (7, -12), textcoords="offset points", color=colour, weight="bold"
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylim(0.6, least * 2)
        axes.set_xlim(K * 0.9, 28_000)
        axes.xaxis.set_major_locator(FixedLocator([K * multiple for multiple in MULTIPLES]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / K:.0f} k"))
        axes.yaxis.set_major_locator(FixedLocator([1 - recall for recall in NAMED]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - value:.4g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("candidates")
        axes.set_ylabel("recall")
        title(axes, f"Recall of the top {K} of {N:,}: expected (lines) and measured (dots)")
        plain(axes, theme)
