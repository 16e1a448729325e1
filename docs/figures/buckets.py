"""One row, its buckets, its candidates and its top k: the two stages on 32 elements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import approxtopk

from .style import THEMES, Theme, figure, title

N, K, B, KB = 32, 8, 8, 2

#: Of the random rows tried, the first in which a bucket holds three of the top k.
SEED = 12


@dataclass(frozen=True)
class Stages:
    """What each stage does to the row, as indices."""

    row: np.ndarray
    candidates: np.ndarray  #: that stage 1 keeps
    chosen: np.ndarray  #: that stage 2 returns
    missed: np.ndarray  #: of the true top k


def stages() -> Stages:
    """Both stages on a row of whole numbers."""
    row = np.random.default_rng(SEED).permutation(N).astype("float32")
    candidates = np.concatenate([np.arange(j, N, B)[np.argsort(-row[j::B])[:KB]] for j in range(B)])
    chosen = approxtopk.topk(row, K, b=B, kb=KB, backend="numpy").indices
    exact = approxtopk.topk(row, K, recall=1.0, backend="numpy").indices
    return Stages(row, np.sort(candidates), np.sort(chosen), np.setdiff1d(exact, chosen))


def draw(path: Path, theme_name: str) -> None:
    """The row, the buckets as columns, and the candidates."""
    theme, found = THEMES[theme_name], stages()
    with figure(path, theme, 7.6, 4.6) as made:
        top, middle, bottom = made.subplots(3, 1, height_ratios=(1.1, 1.5, 1.1))
        _bars(top, theme, found, np.arange(N))
        title(top, f"A row of n = {N} elements, in b = {B} interleaved buckets")
        _columns(middle, theme, found)
        title(middle, f"Stage 1 keeps the kb = {KB} best of each bucket")
        _bars(bottom, theme, found, found.candidates)
        title(bottom, f"Stage 2 takes the top k = {K} of {len(found.candidates)} candidates")
        for axes in (top, middle, bottom):
            axes.axis("off")


def _colour(theme: Theme, index: int) -> str:
    return theme.colours[index % B % len(theme.colours)]


def _bars(axes: Axes, theme: Theme, found: Stages, shown: np.ndarray) -> None:
    """A bar for each element, in the colour of its bucket; filled where stage 2 returns it."""
    best = set(found.chosen) if len(shown) < N else set(shown)
    for place, index in enumerate(shown):
        value, colour = found.row[index] + 2.0, _colour(theme, index)
        filled = colour if index in best else "none"
        x = place if len(shown) == N else place * N / len(shown)
        axes.add_patch(Rectangle((x, 0), 0.8, value, facecolor=filled, edgecolor=colour))
        axes.text(x + 0.4, -6.5, f"{index % B}", ha="center", fontsize=7, color=theme.faint)
    axes.set_xlim(-0.5, N + 0.5)
    axes.set_ylim(-8, N + 3)


def _columns(axes: Axes, theme: Theme, found: Stages) -> None:
    """Each bucket a column of cells, the largest on top; filled where stage 1 keeps it."""
    depth = N // B
    for j in range(B):
        column = np.arange(j, N, B)
        for level, index in enumerate(column[np.argsort(-found.row[column])]):
            kept, colour = level < KB, _colour(theme, j)
            place = (j * N / B + 0.2, depth - 1 - level)
            axes.add_patch(
                Rectangle(
                    place, N / B - 0.6, 0.82,
                    facecolor=colour if kept else "none", edgecolor=colour,
                    alpha=1.0 if kept else 0.6,
                )
            )  # fmt: skip
            missed = index in found.missed
            axes.text(
                place[0] + (N / B - 0.6) / 2, place[1] + 0.36,
                f"{found.row[index]:.0f}" + (" missed" if missed else ""),
                ha="center", va="center", fontsize=7.5,
                fontweight="bold" if missed or kept else "normal",
                color=theme.page if kept else theme.ink,
            )  # fmt: skip
    axes.set_xlim(-0.5, N + 0.5)
    axes.set_ylim(-0.3, depth)
