"""``approxtopk demo``: nearest neighbours among real images, exact and approximate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from .. import Plan, TopK, expected_recall, explain, planner, topk
from .. import recall as measured_recall
from .console import console, one_line_errors, table

K = 10  #: neighbours per image
CANDIDATES = (12, 16, 24, 32, 64, 128, 256, 512)  #: of the picture; multiples of every kb


@dataclass(frozen=True)
class Digits:
    """The images as scores: row i holds how near every image is to image i."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    exact: TopK

    @classmethod
    def load(cls, *, by_label: bool = False) -> Digits:
        """1,797 images of 8 x 8 pixels, in the order of the file or stably sorted by label."""
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        if by_label:
            order = np.argsort(labels, kind="stable")
            pixels, labels = pixels[order], labels[order]
        pixels = pixels.astype(np.float32)
        squares = (pixels * pixels).sum(axis=1)
        scores = 2 * pixels @ pixels.T - squares - squares[:, None]  # -(distance squared)
        np.fill_diagonal(scores, -np.inf)  # nothing is its own neighbour
        return cls(labels, scores, topk(scores, K, recall=1.0))

    @property
    def n(self) -> int:
        """Number of images, and length of a row of scores."""
        return len(self.labels)

    def right(self, found: TopK) -> float:
        """Share of the neighbours whose label is the image's own."""
        return float((self.labels[found.indices] == self.labels[:, None]).mean())

    def measure(self, plan: Plan, *, interleaved: bool = True) -> float:
        """Recall of a plan."""
        found = topk(self.scores, K, b=plan.b, kb=plan.kb, interleaved=interleaved)
        return measured_recall(found, self.exact)


def demo(
    plot: Annotated[Path, typer.Option(help="Where to write the picture.", dir_okay=False)] = Path(
        "approxtopk-demo.png"
    ),
    recall: Annotated[
        float, typer.Option(help="Expected recall to plan for.")
    ] = planner.DEFAULT_RECALL,
) -> None:
    """Find every digit's 10 nearest among 1,797 images, exactly and approximately, and compare.

    The images come with scikit-learn; nothing is downloaded.
    """
    with one_line_errors():
        _needs("sklearn", "matplotlib")
        if not plot.absolute().parent.is_dir():
            raise ValueError(f"{plot}: there is no folder {plot.parent}")
        from .picture import draw

        digits, sorted_digits = Digits.load(), Digits.load(by_label=True)
        plan = planner.plan(digits.n, K, recall=recall)
        _compare(digits, plan)
        _orders(digits, sorted_digits, plan)
        draw(digits, plot)
        console().print(f"\nRecall against candidates: {plot}", markup=False)


def _compare(digits: Digits, plan: Plan) -> None:
    """Exact and approximate: recall, what it is worth to a classifier, and what it costs."""
    scores, out = digits.scores, console()
    found, took = _timed(lambda: topk(scores, K, b=plan.b, kb=plan.kb))
    _, took_exact = _timed(lambda: topk(scores, K, recall=1.0))
    partitioned, took_partition = _timed(lambda: _partition(scores))
    out.print(
        f"{digits.n} images of handwritten digits, 64 pixels each; for each, the {K} nearest\n"
        "of the others by squared distance.\n"
    )
    rows = table("", "recall predicted", "measured", "right label", "time")
    for name, predicted, result, seconds in (
        ("numpy.argpartition", "1", partitioned, took_partition),
        ("topk, exact", "1", digits.exact, took_exact),
        (f"topk, b={plan.b} kb={plan.kb}", f"{plan.recall:.4f}", found, took),
    ):
        measured = f"{measured_recall(result, digits.exact):.4f}"
        rows.add_row(
            name, predicted, measured, f"{digits.right(result):.2%}", f"{seconds * 1e3:.1f} ms"
        )
    out.print(rows)
    why = explain(scores, K, b=plan.b, kb=plan.kb)
    out.print(
        f"\n{plan.candidates} of {digits.n} elements are candidates; "
        f"backend {why.backend} ({why.kernel}).",
        soft_wrap=True,
    )


def _orders(natural: Digits, by_label: Digits, plan: Plan) -> None:
    """Interleaved against contiguous buckets, where neighbours lie close together."""
    out = console()
    rows = table("measured recall", "interleaved", "contiguous", "neighbours within 100")
    for name, digits in (("in the file's order", natural), ("sorted by label", by_label)):
        rows.add_row(
            name,
            f"{digits.measure(plan):.4f}",
            f"{digits.measure(plan, interleaved=False):.4f}",
            f"{_close(digits):.0%}",
        )
    out.print(f"\nThe prediction, {plan.recall:.4f}, is for a random order. This one is not:\n")
    out.print(rows)
    out.print(
        f"\nIn a random order {_close_by_chance(natural.n):.0%} of the neighbours would lie within "
        "100 places.\nContiguous buckets get too many of them at once and drop some; interleaved\n"
        "buckets spread them, the more evenly the closer they lie."
    )


def _close(digits: Digits, places: int = 100) -> float:
    """Share of the true neighbours that are at most so many places away."""
    away = np.abs(digits.exact.indices - np.arange(digits.n)[:, None])
    return float((away <= places).mean())


def _close_by_chance(n: int, places: int = 100) -> float:
    """The same for a random order."""
    i = np.arange(n)
    there = np.minimum(i, places) + np.minimum(n - 1 - i, places)
    return float((there / (n - 1)).mean())


def _partition(scores: NDArray[np.float32]) -> TopK:
    indices = np.argpartition(scores, -K, axis=1)[:, -K:]
    return TopK(np.take_along_axis(scores, indices, axis=1), indices)


def _timed(call: Callable[[], TopK], repeats: int = 2) -> tuple[TopK, float]:
    """A result, and the shorter of two times, after a first call that may compile."""
    result = call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return result, min(times)


def _needs(*modules: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(f"the demo needs {', '.join(missing)}: pip install 'approxtopk[demo]'")


def sweep(digits: Digits, kb: int, *, interleaved: bool) -> list[tuple[int, float]]:
    """Measured recall by number of candidates."""
    plans = (planner.plan(digits.n, K, b=candidates // kb, kb=kb) for candidates in CANDIDATES)
    return [(plan.candidates, digits.measure(plan, interleaved=interleaved)) for plan in plans]


def predicted(digits: Digits, kb: int) -> list[tuple[int, float]]:
    """The predicted curve over the same range, at every width there is."""
    widths = range(CANDIDATES[0] // kb, CANDIDATES[-1] // kb + 1)
    return [(b * kb, expected_recall(digits.n, K, b, kb)) for b in widths]
