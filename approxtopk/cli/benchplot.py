"""The picture of ``approxtopk bench``: time against recall, between the read floor and exact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .picture import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from .bench import Report


def draw(report: Report, path: Path) -> None:
    """Write the picture; its format is the file name's."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    from .bench import duration

    exact, points = report.entries[0], [each for each in report.entries if each.b is not None]
    with style.context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.8, 4.2), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for label, seconds, rise in (
            (exact.name, exact.seconds, 4),
            ("reading once", report.floor, -13),
        ):
            axes.axhline(seconds, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"{label}: {duration(seconds)}", (0, seconds), (6, rise), color=FAINT,
                textcoords="offset points", xycoords=axes.get_yaxis_transform(),
            )  # fmt: skip
        places = range(len(points))
        points = sorted(points, key=lambda each: each.expected)
        taken = [each.seconds for each in points]
        spread = [
            [each.seconds - each.low for each in points],
            [each.high - each.seconds for each in points],
        ]
        axes.errorbar(
            places, taken, spread, color=COLOURS[1], marker="o", markersize=6, capsize=3,
            markeredgecolor="white",
        )  # fmt: skip
        for place, each in zip(places, points, strict=True):
            axes.annotate(
                f"{duration(each.seconds)}\nb={each.b} kb={each.kb}", (place, each.seconds),
                (9, 2), textcoords="offset points", color=INK, fontsize=8,
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_ylim(report.floor / 2, exact.seconds * 1.8)
        axes.set_xlim(-0.5, len(points) - 0.3)
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.set_xticklabels([f"{each.expected:.4f}\n{each.measured:.4f}" for each in points])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: duration(seconds)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("recall: expected, and measured below", color=INK)
        axes.set_ylabel("time of a call", color=INK)
        axes.set_title(
            f"top {report.k} of {report.n}, {report.rows} rows, {report.dtype}, {report.device}",
            loc="left", color=INK, fontsize=11, fontweight="bold",
        )  # fmt: skip
        axes.tick_params(colors=FAINT, length=0)
        figure.savefig(path)
