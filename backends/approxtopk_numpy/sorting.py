"""Sorting the winners of a long row in the memory of their places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .pieces import Array, Found, Looks

#: Winners that are sorted, or looked up, at once.
CHUNK = 1 << 14

PLACE = np.uint64(2**32 - 1)
HALF = np.uint64(32)


def sort_winners(row: Array, out: Found, request: Request, looks: Looks) -> None:
    """Put winners best first, ties by place.

    A place and half a key, or a whole one of 32 bits at most, are one integer of eight bytes, which
    NumPy sorts where it is; what has one upper half is then sorted by the lower.
    """
    values, places = out
    packed = places.view(np.uint64) if places.dtype == np.int64 else places.astype(np.uint64)

    def pack_and_sort(some: NDArray[np.uint64], shift: int) -> None:
        for part in chunks(some):
            half = ~looks.keys(row[part], request) >> shift
            part |= half.astype(np.uint64) << HALF
        some.sort()

    if request.itemsize <= 4:
        pack_and_sort(packed, 0)
    else:
        pack_and_sort(packed, 32)
        for some in by_upper_half(packed):
            some &= PLACE
            if len(some) > CHUNK:  # all have one upper half
                pack_and_sort(some, 0)
            else:
                some[:] = some[np.lexsort((some, ~looks.keys(row[some], request)))]
    for start in range(0, len(places), CHUNK):
        part = slice(start, start + CHUNK)
        places[part] = packed[part] & PLACE
        values[part] = row[places[part]]


def chunks(packed: NDArray[np.uint64]) -> Iterator[NDArray[np.uint64]]:
    """All of it, CHUNK at a time."""
    return (packed[start : start + CHUNK] for start in range(0, len(packed), CHUNK))


def by_upper_half(packed: NDArray[np.uint64]) -> Iterator[NDArray[np.uint64]]:
    """Sorted integers in parts of CHUNK at most, or longer and alike in the upper half."""
    while len(packed):
        stop = min(CHUNK, len(packed))
        upper = packed[stop - 1] & ~PLACE
        first = int(np.searchsorted(packed, upper))
        end = int(np.searchsorted(packed, upper | PLACE, side="right"))
        if end > stop:
            stop = first or end
        part, packed = packed[:stop], packed[stop:]
        yield part
