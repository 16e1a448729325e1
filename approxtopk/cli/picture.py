"""The demo's picture: measured recall against candidates, with the predicted curve through it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .demo import Digits, K, predicted, sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#1f2933", "#7b8794"
COLOURS = {1: "#2a6fbb", 2: "#c2571a", 4: "#2f8f5b"}  #: by kb


def draw(digits: Digits, path: Path) -> None:
    """Two panels, one scale: interleaved buckets on the left, contiguous ones on the right."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

    with style.context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.2, 4.3), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        _note(left, "lines: predicted beforehand\ndots: measured")
        _note(right, "the same images and plans; in this order\nsimilar images lie close together")
        for axes, interleaved, title in (
            (left, True, "Interleaved buckets: recall as predicted"),
            (right, False, "Contiguous buckets: on ordered data, less"),
        ):
            _panel(axes, digits, interleaved=interleaved)
            axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
            axes.set_xscale("log", base=2)
            axes.set_xlim(left=5.2)  # room for the labels
            axes.xaxis.set_major_locator(FixedLocator([16, 32, 64, 128, 256, 512]))
            axes.xaxis.set_major_formatter("{x:.0f}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set_xlabel(f"candidates, of {digits.n} elements", color=INK)
            axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.tick_params(colors=FAINT, length=0)
            for side in ("left", "bottom"):
                axes.spines[side].set_color("#cbd2d9")
        left.set_ylabel(f"recall of the {K} nearest neighbours", color=INK)
        left.set_ylim(0.5, 1.015)
        figure.savefig(path)


def _panel(axes: Axes, digits: Digits, *, interleaved: bool) -> None:
    for kb, colour in COLOURS.items():
        curve = predicted(digits, kb)
        axes.plot(*zip(*curve, strict=True), color=colour, alpha=1.0 if interleaved else 0.35)
        points = sweep(digits, kb, interleaved=interleaved)
        axes.plot(
            *zip(*points, strict=True),
            color=colour,
            marker="o",
            markersize=5.5,
            markeredgecolor="white",
            linestyle="none" if interleaved else (0, (1, 2)),
        )
        axes.annotate(
            f"kb = {kb}",
            curve[0] if interleaved else points[0],
            (-8, -3),
            textcoords="offset points",
            ha="right",
            color=colour,
            weight="bold",
        )


def _note(axes: Axes, text: str) -> None:
    axes.text(0.98, 0.05, text, transform=axes.transAxes, ha="right", color=FAINT, linespacing=1.5)
