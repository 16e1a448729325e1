"""Hypothesis strategies for cases: every dtype, layout and plan, on arrays made to break things.

Needs the extra ``testing``. An array is one string of bytes, each picking an element from
`dtypes.palette`, so an example costs little and shrinks to few and plain elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain

import numpy as np
from hypothesis import strategies as st

from . import oracle
from .case import Case, as_numbers
from .dtypes import Array, available_dtypes, palette
from .layouts import LAYOUTS, lay_out

_LENGTHS = st.one_of(st.integers(1, 12), st.integers(1, 80))
#: Elements of the palette to draw from: all, the special ones, few, around zero, around one.
_POOLS = (
    *(np.arange(256), np.arange(20), np.arange(7), np.arange(3)),
    *(np.array([0, 7, 11, 12, 13]), np.array([1, 14, 15])),
)
_ARRANGEMENTS = (
    *("drawn", "ascending", "descending", "constant", "distinct", "best in one bucket"),
    "mostly the worst",
)


@st.composite
def cases(
    draw: st.DrawFn,
    dtypes: Sequence[str] | None = None,
    layouts: Sequence[str] = tuple(LAYOUTS),
    plans: str = "any",
) -> Case:
    """Cases with ``k >= 1``.

    Parameters
    ----------
    dtypes : sequence of str, optional
        All that NumPy has by default.
    layouts : sequence of str
        Names in `LAYOUTS`.
    plans : {"any", "exact", "doubling", "longer"}
        Whether the plan is any, makes the result exact, has ``2 b <= n`` and is interleaved, or
        leaves room for a longer queue.
    """
    dtype = draw(st.sampled_from(tuple(dtypes or available_dtypes())))
    n = draw(_LENGTHS) + (plans in ("doubling", "longer"))
    lead = draw(st.sampled_from(((), (1,), (2,), (3,), (2, 1), (2, 2))))
    k, b, kb = _plan(draw, n, plans)
    largest, sorted, interleaved = _flags(draw(st.integers(0, 7)))
    interleaved = interleaved or plans == "doubling"

    rows = int(np.prod(lead, dtype=int))
    codes = np.frombuffer(draw(st.binary(min_size=rows * n, max_size=rows * n)), np.uint8)
    pool = draw(st.sampled_from(_POOLS))
    codes = pool[codes.astype(int) % len(pool)]
    arrangement = draw(st.sampled_from(_ARRANGEMENTS))
    codes = np.stack(
        [
            _arranged(row, arrangement, _ranks(dtype), largest, b, interleaved)
            for row in codes.reshape(rows, n)
        ]
    )
    axis = draw(st.integers(0, len(lead)))
    array = np.moveaxis(palette(dtype)[codes].reshape(*lead, n), -1, axis)
    array = lay_out(array, draw(st.sampled_from(tuple(layouts))))
    return Case(array, k, b, kb, axis - array.ndim * (k % 2), largest, sorted, interleaved)


def _plan(draw: st.DrawFn, n: int, plans: str) -> tuple[int, int, int]:
    """A valid (k, b, kb)."""
    if plans == "exact" and draw(st.booleans()):
        k = draw(st.integers(1, n))
        return k, n, 1
    b = draw(st.integers(1, {"doubling": n // 2, "longer": n - 1}.get(plans, n)))
    longest = -(-n // b)
    kb = draw(st.integers(1, longest - (plans == "longer")))
    short, longer = divmod(n, b)
    candidates = (b - longer) * min(kb, short) + longer * min(kb, short + 1)
    if plans == "doubling":  # the doubled plan must have enough candidates too: it has no fewer
        return draw(st.integers(1, candidates)), b, kb
    if plans == "exact" and kb < longest:
        return draw(st.integers(1, kb)), b, kb
    return draw(st.integers(1, candidates)), b, kb


def _flags(number: int) -> tuple[bool, bool, bool]:
    """largest, sorted, interleaved; 0 gives the defaults."""
    return not number & 1, bool(number & 2), not number & 4


@cache
def _ranks(dtype: str) -> Array:
    """Where each element of the palette stands in the order."""
    return np.array(oracle.ranks(as_numbers(palette(dtype))))


def _arranged(
    codes: Array, arrangement: str, ranks: Array, largest: bool, b: int, interleaved: bool
) -> Array:
    """The drawn elements in an order, or replaced by others, that asks more of a selection."""
    n = len(codes)
    if arrangement == "constant":
        return np.full(n, codes[0])
    if arrangement == "distinct":
        _, one_of_each = np.unique(ranks, return_index=True)
        order = np.argsort(codes, kind="stable")
        return one_of_each[:n][order] if n <= len(one_of_each) else codes
    ascending = codes[np.argsort(ranks[codes], kind="stable")]
    best_first = ascending[::-1] if largest else ascending
    if arrangement == "ascending":
        return ascending
    if arrangement == "descending":
        return ascending[::-1]
    if arrangement == "best in one bucket":
        positions = list(chain.from_iterable(oracle.buckets(n, b, interleaved)))
        found = np.empty_like(codes)
        found[positions] = best_first
        return found
    if arrangement == "mostly the worst":
        return np.where(np.arange(n) % 5 == 3, codes, best_first[-1])
    return codes
