"""How the Numba backend looks at the pieces of a row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from approxtopk import Request
from approxtopk_numpy.keys import UintArray
from approxtopk_numpy.pieces import BINS, Array, Bound, Found, Looks, Piece, Places, T

from .bits import flat_bits, order, order_keys
from .counting import count_candidates, take_candidates
from .intrinsics import PACE
from .launch import look_keys, look_width
from .threads import spread


class NumbaLooks(Looks):
    """Several at once, compiled. See `Looks`; `select` takes the best k of a piece."""

    def __init__(self, threads: int, select: Callable[[Array, Request], Found]) -> None:
        self.threads = threads
        self.select = select

    def each(
        self,
        look: Callable[[Bound], Iterator[T]],
        use: Callable[[T], object],
        bounds: list[Bound],
    ) -> None:
        """Threads look where nobody has, and wait for their turn to use what they found."""
        turn, used = threading.Condition(), 0

        def look_and_use(at: int) -> None:
            nonlocal used
            try:
                found = look(bounds[at])
                first = next(found)
                with turn:
                    turn.wait_for(lambda: used >= at)
                    use(first)
                    for more in found:  # rarely any
                        use(more)
            finally:  # whoever fails keeps nobody waiting
                with turn:
                    used = max(used, at + 1)
                    turn.notify_all()

        spread(look_and_use, [(at,) for at in range(len(bounds))], self.threads)

    def keys(self, values: Array, request: Request) -> UintArray:
        """As the kernels compute them, which count elements by their bits alone."""
        how = order(request.dtype, request.largest)
        native = np.require(values, values.dtype.newbyteorder("="), ["C", "A"])
        return order_keys(native.view(how.bits), how)

    def count(self, piece: Piece, low: int, high: int, shift: int) -> Places:
        """Count them."""
        counts = np.zeros(BINS, np.int64)
        count_candidates(*_told(piece, low, high), shift, counts)
        return counts

    def take(self, piece: Piece, low: int, high: int, most: int) -> Iterator[tuple[Found, Found]]:
        """Take them, one bufferful after another."""
        request, dtype = piece.request, piece.elements.dtype
        if high - low == 2 ** (8 * request.itemsize) - 1:
            yield (piece.elements[:0], np.empty(0, np.int64)), self.select(piece.elements, request)
            return
        told = _told(piece, low, high)
        if not request.exact:  # stage 1, without which it isn't known what is kept
            count_candidates(*told, 8 * request.itemsize - 1, np.zeros(3, np.int64))
        told = *told[:5], request.kb, *told[6:]  # it isn't compiled for every length of queues
        size = PACE + min(most, request.n)
        panel = first = 0
        while first < request.n:
            values, indices = np.empty(size, told[0].dtype), np.empty(size, np.int64)
            panel, first, front, back = take_candidates(*told, panel, first, values, indices)
            values = values.view(dtype)
            yield (values[:front], indices[:front]), (values[back:], indices[back:])


def _told(piece: Piece, low: int, high: int) -> tuple[Any, ...]:
    """What the kernels are told first."""
    request = piece.request
    how = order(request.dtype, request.largest)
    buckets = request.n, request.b, look_width(request), request.interleaved, (0,) * request.kb
    keys = np.empty(look_keys(request), how.bits)
    told = flat_bits(piece.elements, how.bits), *buckets, how.infinity, how.flip, keys
    return *told, how.bits.type(low), how.bits.type(high)
