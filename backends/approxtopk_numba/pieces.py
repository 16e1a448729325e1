"""Rows that the kernels can't read as they lie, too long to be copied whole.

A piece is some whole buckets, or a stretch of the row where buckets don't matter: what it selects
by itself are candidates for the row, and nothing else of it is needed. So every piece is copied,
selected from and forgotten.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk.backend import count_candidates
from approxtopk_numpy.keys import order_keys

from .launch import is_exact
from .run import UNASKED, run

_Array = NDArray[Any]
_Places = NDArray[np.int64]


class Piece(NamedTuple):
    """Some elements of a row, laid out as a row of their own."""

    elements: _Array
    b: int
    first: int  #: where the first element stands in the row
    pitch: int  #: from one step of a bucket to the next, there

    def places(self, indices: _Places) -> _Places:
        """Where its elements stand in the row."""
        if self.b == self.pitch:
            return self.first + indices
        step, bucket = np.divmod(indices, self.b)
        return self.first + step * self.pitch + bucket


def select_in_pieces(
    row: _Array,
    found: tuple[_Array, _Array],
    exact: NDArray[np.uint8],
    request: Request,
    count: int,
) -> None:
    """Select from a row of any layout in about `count` pieces; `found` and `exact` as for `run`."""
    values, places = np.empty(0, found[0].dtype), np.empty(0, np.int64)
    for piece in pieces(row, request, count):
        n, b = len(piece.elements), piece.b
        kb = min(request.kb, -(-n // b))
        k = min(request.k, n if is_exact(request) else count_candidates(n, b, kb))
        some = _run(piece.elements, replace(request, b=b, kb=kb, k=k, sorted=False))
        values = np.concatenate((values, some[0]))
        places = np.concatenate((places, piece.places(some[1])))
        if len(values) > 2 * request.k:
            values, places = _best(values, places, replace(request, sorted=False))
    values, places = _best(values, places, request)
    found[0][0], found[1][0] = values, places
    if request.certificate and not is_exact(request):
        exact[0] = _is_true_topk(row, values, places, request, count)


def pieces(row: _Array, request: Request, count: int) -> Iterator[Piece]:
    """The row in pieces, contiguous and in native byte order. Fewer if there are fewer buckets."""
    n, b, dtype = request.n, request.b, row.dtype.newbyteorder("=")
    short, longer = divmod(n, b)
    bounds = [part * b // count for part in range(count + 1)]
    if is_exact(request):
        bounds = [part * n // count for part in range(count + 1)]
    for first, last in itertools.pairwise(bounds):
        if first == last:
            continue
        width = last - first
        if is_exact(request):
            yield Piece(row[first:last].astype(dtype), width, first, width)
        elif request.interleaved:
            rest = row[short * b + first : min(short * b + last, n)]
            elements = np.empty(short * width + len(rest), dtype)
            steps = row[: short * b].reshape(short, b)[:, first:last]
            elements[: short * width].reshape(short, width)[...] = steps
            elements[short * width :] = rest
            yield Piece(elements, width, first, b)
        else:
            start, stop = (bucket * short + min(bucket, longer) for bucket in (first, last))
            yield Piece(row[start:stop].astype(dtype), width, start, width)


def _best(values: _Array, places: _Places, request: Request) -> tuple[_Array, _Places]:
    """The best k of some candidates, by ascending place unless sorted."""
    order = np.argsort(places)
    values, places = values[order], places[order]
    k = min(request.k, len(values))
    best = _run(values, replace(request, b=len(values), kb=1, k=k, exact=True))
    return best[0], places[best[1]]


def _run(elements: _Array, request: Request) -> tuple[_Array, _Places]:
    request = replace(
        request, shape=(1, len(elements)), axis=1, index_dtype="int64", certificate=False
    )
    values, indices = np.empty(request.k, elements.dtype), np.empty(request.k, np.int64)
    run(elements, values, indices, UNASKED, request)
    return values, indices


def _is_true_topk(
    row: _Array, values: _Array, places: _Places, request: Request, count: int
) -> bool:
    """Whether no more elements than these come before the last of them."""
    found = order_keys(values, request.largest)
    worst = found.min()
    last = places[found == worst].max()
    before = 0
    size = -(-len(row) // count)
    for start in range(0, len(row), size):
        keys = order_keys(row[start : start + size], request.largest)
        before += int(np.count_nonzero(keys > worst))
        before += int(np.count_nonzero(keys[: max(0, last - start)] == worst))
    return before == request.k - 1
