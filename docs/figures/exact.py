"""Certificate and repair on 48 elements: which buckets are flagged, and what one of them hides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from approxtopk_numpy import reference
from approxtopk_numpy.keys import order_keys

from .style import THEMES, Theme, figure, title

N, K, B, KB = 48, 9, 12, 2

#: Of the random rows tried, the first with a flagged bucket that hides something and one that not.
SEED = 0


@dataclass(frozen=True)
class Repair:
    """What certificate and repair do to the row."""

    row: np.ndarray
    kept: np.ndarray  #: which elements stage 1 keeps
    answer: np.ndarray  #: indices, best first
    flagged: np.ndarray  #: numbers of buckets
    hidden: np.ndarray  #: indices
    repaired: np.ndarray  #: indices, best first


def repair(seed: int = SEED) -> Repair:
    """All steps on a row of whole numbers, by the reference."""
    row = np.random.default_rng(seed).permutation(N).astype("float32")
    keys = order_keys(row[None], True)
    place = np.argsort(np.argsort(-row.reshape(-1, B), axis=0), axis=0)  # in its bucket
    answer = reference.select(keys, K, B, KB, True)
    (flagged,) = np.nonzero(reference.flagged(keys, answer, B, KB, True)[0])
    (hidden,) = np.nonzero(reference.hidden(keys, answer, B, KB, True)[0])
    repaired = reference.repair(keys, answer, B, KB, True)
    return Repair(row, place.reshape(-1) < KB, answer[0], flagged, hidden, repaired[0])


def draw(path: Path, theme_name: str) -> None:
    """The row by buckets, with the answer before the repair and after it."""
    theme, found = THEMES[theme_name], repair()
    with figure(path, theme, 7.6, 4.0) as made:
        before, after = made.subplots(1, 2, sharey=True)
        _panel(before, theme, found, found.answer, "τ")
        title(before, "Stages 1 and 2")
        _panel(after, theme, found, found.repaired, "τ, risen")
        title(after, "Repaired")
        for j in found.flagged:
            before.axvspan(j - 0.45, j + 0.45, color=theme.line, alpha=0.6, linewidth=0)
        for i in found.hidden:
            before.annotate(
                "hidden", (i % B, found.row[i]), (i % B + 0.5, found.row[i] + 1.2),
                color=theme.colours[1], fontweight="bold",
            )  # fmt: skip
        before.set_ylabel("value")


def _panel(axes: Axes, theme: Theme, found: Repair, answer: np.ndarray, name: str) -> None:
    """An element a dot over its bucket: filled if kept, coloured if in the answer."""
    index, taken = np.arange(N), np.isin(np.arange(N), answer)
    hidden = np.isin(index, found.hidden)
    colour = np.where(taken, theme.colours[0], theme.faint)
    colour = np.where(hidden, theme.colours[1], colour)
    solid = found.kept | (hidden & taken)
    face = np.where(solid, colour, theme.page)
    axes.scatter(index % B, found.row, s=34, c=face, edgecolors=colour, linewidths=1.2, zorder=3)
    worst = found.row[answer].min()
    axes.axhline(worst, color=theme.ink, linewidth=1, linestyle="--")
    axes.text(-0.9, worst + 0.7, name, color=theme.ink)
    axes.set_xlim(-1.0, B)
    axes.set_ylim(12, N + 1)
    axes.set_xticks(range(B))
    axes.set_xlabel(f"bucket ({N // B} elements each, the best {KB} kept)")
    axes.tick_params(length=0)
