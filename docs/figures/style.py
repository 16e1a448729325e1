"""What the figures share: colours for light and dark pages, and how a file is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@dataclass(frozen=True)
class Theme:
    """Colours of one kind of page."""

    ink: str
    faint: str
    line: str
    page: str
    colours: tuple[str, ...]


THEMES = {
    "light": Theme(
        "#1f2933", "#52606d", "#d9dee3", "#ffffff", ("#2a6fbb", "#c2571a", "#2f8f5b", "#8250b0")
    ),
    "dark": Theme(
        "#e4e7eb", "#9aa5b1", "#3e4c59", "#14181e", ("#6cb0f5", "#f0904f", "#5fcf94", "#c39af0")
    ),
}


@contextmanager
def figure(path: Path, theme: Theme, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on, written as SVG at the end; the same drawing gives the same bytes."""
    settings = {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "svg.hashsalt": path.stem,
        "svg.fonttype": "path",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.ink,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "text.color": theme.ink,
    }
    with style.context(settings):
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(made)
        yield made
        made.savefig(path, metadata={"Date": None}, transparent=True)


def title(axes: Axes, text: str) -> None:
    """A heading over the left edge."""
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold")


def plain(axes: Axes, theme: Theme, *, grid: str = "y") -> None:
    """Few lines: a grid behind the data, no ticks."""
    axes.grid(axis=grid, color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
