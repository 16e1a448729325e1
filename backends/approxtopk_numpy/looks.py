"""How the NumPy backend looks at the pieces of a row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .fast import keep_best
from .keys import UintArray, order_keys
from .pieces import BINS, Array, Found, Looks, Piece, Places
from .reaching import Kept, buckets_at, kept_by

#: Elements that are compared at once: all of them may tie, which takes 100 bytes each.
CHUNK = 1 << 12


class NumpyLooks(Looks):
    """One after another, with what selects from whole rows. See `Looks`."""

    def keys(self, values: Array, request: Request) -> UintArray:
        """As everywhere in this backend."""
        return order_keys(values, request.largest)

    def count(self, piece: Piece, low: int, high: int, shift: int) -> Places:
        """Count them."""
        with np.errstate(invalid="ignore"):  # comparing a signalling NaN
            keys = candidates(piece.elements, piece.request)
        better = keys > high
        bins = keys.dtype.type(high) - keys[(keys >= low) & ~better]
        bins >>= bins.dtype.type(shift)
        counts = np.empty(BINS, np.int64)
        counts[0] = np.count_nonzero(better)
        counts[1:] = np.bincount(bins.astype(np.intp), minlength=BINS - 1)
        return counts

    def take(self, piece: Piece, low: int, high: int, most: int) -> Iterator[tuple[Found, Found]]:
        """Take them, step by step."""
        i, key = np.empty(0, np.int64), self.keys(piece.elements[:0], piece.request)
        steps = elements_reaching if piece.request.exact else kept_reaching
        for more in steps(piece, low):
            i, key = np.concatenate((i, more[0])), np.concatenate((key, more[1]))
            if len(i) >= most:
                yield parted(piece, i, key > high)
                i, key = i[:0], key[:0]
        yield parted(piece, i, key > high)


def parted(piece: Piece, i: Places, better: NDArray[np.bool_]) -> tuple[Found, Found]:
    """What is better, and what isn't."""
    above, within = i[better], i[~better]
    return (piece.elements[above], above), (piece.elements[within], within)


def candidates(elements: Array, request: Request) -> UintArray:
    """Keys of what stage 1 keeps of a piece."""
    if request.exact:
        return order_keys(elements, request.largest)
    kept, read = keep_best(elements[None], request)
    return read.keys(kept).reshape(-1)


def elements_reaching(piece: Piece, low: int) -> Iterator[tuple[Places, UintArray]]:
    """Indices and keys of the elements that reach a key."""
    for start in range(0, piece.request.n, CHUNK):
        key = order_keys(piece.elements[start : start + CHUNK], piece.request.largest)
        reach = np.flatnonzero(key >= low)
        yield start + reach, key[reach]


def kept_reaching(piece: Piece, low: int) -> Iterator[tuple[Places, UintArray]]:
    """Those of them that their buckets kept."""
    with np.errstate(invalid="ignore"):
        queues, read = keep_best(piece.elements[None], piece.request)
        kept = Kept.of(queues, read.keys)
    for i, key in elements_reaching(piece, low):
        bucket = buckets_at(i, piece.request)
        was_kept = kept_by(kept, bucket, key)
        bucket, i, key = bucket[was_kept], i[was_kept], key[was_kept]
        np.subtract.at(kept.equals, bucket[key == kept.worst[bucket]], 1)  # so many fewer to come
        yield i, key
