"""The site's figures, each drawn from what the library computes or from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import approxtopk

from . import buckets, exact, recall, times
from .style import RESULTS, THEMES

__all__ = ["FIGURES", "THEMES", "sources"]

#: By the name that pages use: each writes one SVG for one theme.
FIGURES: dict[str, Callable[[Path, str], None]] = {
    "buckets": buckets.draw,
    "exact": exact.draw,
    "recall": recall.draw,
    "times": times.draw,
}


def sources() -> Iterator[Path]:
    """Files that a figure can depend on."""
    yield from Path(__file__).parent.glob("*.py")
    yield from RESULTS.glob("*.json")
    yield from Path(approxtopk.__file__).parent.glob("*.py")
