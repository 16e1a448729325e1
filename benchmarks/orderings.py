"""Recall on rows that are in no random order, and what a coprime number of buckets does about it.

    python benchmarks/orderings.py [--json FILE] [--table FILE] [--picture FILE]

Every ordering is drawn many times, and the mean recall is compared with what the plan predicts for
random rows. The tables are written between marks of a Markdown file.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cpu_report import replace_block

import approxtopk

N, K = 131_072, 64
ROWS = 200

#: Buckets for kb = 1: what the planner takes for a recall of 0.99, and numbers close to it that
#: share few factors with others. A multiple of 4 keeps loads of 16 bytes aligned for float32, of 8
#: for 16-bit types.
PLANNED = 4096
OTHERS = {4072: "8 × 509", 4084: "4 × 1021", 4093: "a prime"}

#: Steps at which a column of a matrix comes back, when it is stored row by row.
PERIODS = (8, 64, 96, 100, 128, 256, 300, 512, 768, 1000, 1024, 1536, 2048)

Array = np.ndarray


def random(rng: np.random.Generator) -> Array:
    """Independent normal numbers."""
    return rng.standard_normal(N, dtype=np.float32)


def rising(rng: np.random.Generator) -> Array:
    """Sorted, the best last."""
    return np.sort(random(rng))


def falling(rng: np.random.Generator) -> Array:
    """Sorted, the best first."""
    return rising(rng)[::-1]


def clusters(rng: np.random.Generator) -> Array:
    """Eight stretches of 256 stand out, as the hits of a search in sorted documents."""
    row = random(rng)
    for start in rng.integers(0, N - 256, 8):
        row[start : start + 256] += 4
    return row


def walk(rng: np.random.Generator) -> Array:
    """Each step adds to the one before, as in a price or a sensor's drift."""
    return np.cumsum(random(rng), dtype=np.float32)


def image(rng: np.random.Generator) -> Array:
    """A smooth picture of 256 x 512 pixels, row by row: neighbours above are 512 places away."""
    height, width = 256, 512
    wave = np.add.outer(np.fft.fftfreq(height) ** 2, np.fft.rfftfreq(width) ** 2)
    wave[0, 0] = np.inf
    noise = rng.standard_normal((height, width))
    smooth = np.fft.irfft2(np.fft.rfft2(noise) / wave**0.75, (height, width))
    return smooth.astype(np.float32).reshape(-1)


def logits(rng: np.random.Generator) -> Array:
    """A language model's: tokens are numbered by how frequent they are, and frequent ones lead."""
    rank = np.arange(1, N + 1)
    return (random(rng) * 2 - np.log(rank)).astype(np.float32)


def gradient(rng: np.random.Generator) -> Array:
    """Magnitudes of a 128 x 1024 gradient whose rows and columns differ by a power law."""
    rows, columns = (rng.permutation(np.arange(1, n + 1) ** -0.7) for n in (128, 1024))
    return np.abs(random(rng) * np.outer(rows, columns).reshape(-1)).astype(np.float32)


def hot_column(period: int) -> Callable[[np.random.Generator], Array]:
    """One column of a matrix with `period` columns has all of the best elements."""

    def row(rng: np.random.Generator) -> Array:
        values = random(rng)
        values[rng.integers(period) :: period] += 20
        return values

    row.__doc__ = f"One column of {period} stands out."
    return row


ORDERINGS = {
    "random": random,
    "rising": rising,
    "falling": falling,
    "clusters": clusters,
    "random walk": walk,
    "image, 512 wide": image,
    "logits by rank": logits,
    "gradient, 1024 wide": gradient,
    "hot column of 1024": hot_column(1024),
}


@dataclass(frozen=True)
class Recall:
    """A mean over rows, its standard error, and the share of rows with a certificate."""

    mean: float
    error: float
    certified: float


def measure(
    ordering: Callable[[np.random.Generator], Array], b: int, rows: int = ROWS, **how: Any
) -> Recall:
    """Recall of ``kb=1``; ties with the k-th best count as found."""
    got, certified = [], 0
    for seed in range(rows):
        row = ordering(np.random.default_rng(seed))
        found = approxtopk.topk(row, K, b=b, kb=1, certificate=True, **how)
        certified += bool(found.exact)
        bar = np.partition(row, N - K)[N - K]
        got.append(float((found.values >= bar).mean()))
    spread = statistics.stdev(got) / math.sqrt(rows)
    return Recall(statistics.mean(got), spread, certified / rows)


def predicted(period: int, b: int) -> float:
    """Expected recall where all of the best are in one column of a matrix with `period` columns.

    They meet only every gcd(period, b)-th bucket: as in a row of that column alone with so many.
    """
    common = math.gcd(period, b)
    column = N // period
    return approxtopk.expected_recall(column, min(K, column), min(b // common, column), 1)


def orderings() -> Iterator[dict[str, Any]]:
    for name, ordering in ORDERINGS.items():
        got = {str(b): measure(ordering, b) for b in (PLANNED, *OTHERS)}
        got["contiguous"] = measure(ordering, PLANNED, interleaved=False)
        recall = {way: vars(found) for way, found in got.items()}
        yield {"name": name, "about": ordering.__doc__, "recall": recall}


def periods() -> Iterator[dict[str, Any]]:
    for period in PERIODS:
        got = {
            str(b): {
                "predicted": predicted(period, b),
                **vars(measure(hot_column(period), b, ROWS // 4)),
            }
            for b in (PLANNED, *OTHERS)
        }
        yield {"period": period, "recall": got}


def times() -> Iterator[dict[str, Any]]:
    """What another number of buckets costs on the CPU; contenders take turns."""
    from cpu import summary, take_turns

    for rows, n, k in ((64, N, K), (1, 2**20, K)):
        arr = np.random.default_rng(0).standard_normal((rows, n), dtype=np.float32)
        for backend in ("numba", "numpy"):
            calls = {
                str(b): lambda b=b, arr=arr, k=k, backend=backend: approxtopk.topk(
                    arr, k, b=b, kb=1, backend=backend
                )
                for b in (PLANNED, *OTHERS)
            }
            took = summary(take_turns(calls, 1.5), str(PLANNED))
            yield {"rows": rows, "n": n, "k": k, "backend": backend, "times": took}


# ---- report -------------------------------------------------------------------------------------


def table_of_orderings(report: dict[str, Any]) -> Iterator[str]:
    others = " | ".join(f"b = {b}" for b in OTHERS)
    yield f"| row | contiguous | b = {PLANNED} | exact rows | {others} |"
    yield "|---|---:|---:|---:|" + "---:|" * len(OTHERS)
    for case in report["orderings"]:
        got = case["recall"]
        recalls = [f"{got[str(way)]['mean']:.3f}" for way in ("contiguous", PLANNED, *OTHERS)]
        recalls.insert(2, f"{got[str(PLANNED)]['certified']:.0%}")
        yield f"| **{case['name']}**: {case['about']} | {' | '.join(recalls)} |"


def table_of_periods(report: dict[str, Any]) -> Iterator[str]:
    heads = (f"b = {b}: predicted | measured" for b in (PLANNED, *OTHERS))
    yield f"| period | {' | '.join(heads)} |"
    yield "|---:|" + "---:|" * 2 * (1 + len(OTHERS))
    for case in report["periods"]:
        cells = (f"{got['predicted']:.3f} | {got['mean']:.3f}" for got in case["recall"].values())
        yield f"| {case['period']} | {' | '.join(cells)} |"


def table_of_times(report: dict[str, Any]) -> Iterator[str]:
    heads = (f"b = {b}" for b in (PLANNED, *OTHERS))
    yield f"| rows × n, k | backend | {' | '.join(heads)} |"
    yield "|---|---|" + "---:|" * (1 + len(OTHERS))
    for case in report["times"]:
        took = case["times"].values()
        cells = (f"{some['median'] / 1000:.3g} ms (× {some['ratio']:.2f})" for some in took)
        yield f"| {case['rows']} × {case['n']}, {case['k']} | {case['backend']} | " + (
            " | ".join(cells) + " |"
        )


def draw(report: dict[str, Any], path: Path) -> None:
    """Recall of every ordering, a mark to a way, beside recall against the period."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    labels = {"contiguous": f"contiguous, b = {PLANNED}", str(PLANNED): f"b = {PLANNED} (planned)"}
    labels |= {str(b): f"b = {b}, {why}" for b, why in OTHERS.items()}
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
    cases = report["orderings"]
    for shift, ((way, label), marker) in enumerate(zip(labels.items(), "xo^sD", strict=True)):
        places = [i + (shift - 2) * 0.14 for i in range(len(cases))]
        recalls = [case["recall"][way]["mean"] for case in cases]
        left.plot(recalls, places, marker, markersize=5, color=f"C{shift}", label=label)
    expected = approxtopk.expected_recall(N, K, PLANNED, 1)
    left.axvline(expected, color="grey", linewidth=1, label="predicted for a random order")
    left.set_yticks(range(len(cases)), [case["name"] for case in cases])
    left.invert_yaxis()
    left.set(xlabel="measured recall", title=f"top {K} of {N:,}, kb = 1", xlim=(0, 1.03))
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    left.grid(axis="y", linewidth=0.3)
    few = report["periods"]
    names = [str(case["period"]) for case in few]
    for place, (b, marker) in enumerate(zip((PLANNED, *OTHERS), "o^sD", strict=True), 1):
        got, colour = [case["recall"][str(b)] for case in few], f"C{place}"
        right.plot(names, [some["mean"] for some in got], marker, color=colour, label=f"b = {b}")
        right.plot(names, [some["predicted"] for some in got], color=colour, linewidth=0.8)
    right.set(
        xlabel="period", ylim=(0, 1.05), title="one hot column: measured (marks), predicted (lines)"
    )
    right.tick_params(axis="x", labelsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="Markdown file to write the tables into")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    report = {part.__name__: list(part()) for part in (orderings, periods, times)}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    for lines in (table_of_orderings, table_of_periods, table_of_times):
        name = lines.__name__.rpartition("_")[2]
        if options.table:
            replace_block(options.table, name, lines(report))
        else:
            print(*lines(report), sep="\n")
    if options.picture:
        draw(report, options.picture)


if __name__ == "__main__":
    main()
