"""Selection from one long row in pieces, so that memory is bounded whatever is kept of it.

To look at all pieces, one after another, tells how many candidates reach which key; so the *span*
of keys that the k-th best must be in narrows until the candidates in it are few. The last look
takes the winners: what is better than the span wins, what is in it is noted and sorted out at the
end. Where too many have one key, their places are narrowed down in the same way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .keys import UintArray
from .pieces import BINS, BITS, Array, Bound, Found, Looks, Piece, Places, T, cut, in_buckets
from .sorting import sort_winners

#: So many elements of a row tell where to look first.
SAMPLE = 1024

#: Elements that are compared for a certificate are so many at once.
CHUNK = 1 << 14


class Span(NamedTuple):
    """The candidates that may win or not. What is better does, what is worse doesn't."""

    low: int  #: their least key
    high: int  #: and the greatest
    first: int  #: where they begin to stand in the row, should they have but one key
    stop: int  #: and where they end
    wanted: int  #: how many of them win


def select_in_pieces(
    row: Array, out: Found, request: Request, looks: Looks, count: int, room: int
) -> bool:
    """Select from a row of any layout in about `count` pieces, into a row of values and indices.

    About `room` candidates are held at once, and as many noted to be sorted out. Returns the
    certificate.
    """
    request = in_buckets(request)
    cuts = [part * request.b // count for part in range(count + 1)]
    bounds = [(first, last) for first, last in itertools.pairwise(cuts) if first < last]
    pieces = Pieces(row, request, looks, bounds, room)
    span = pieces.narrowed()
    values, places = pieces.take(span, out)
    wins, worst, last = best_of(looks.keys(values, request), places, span.wanted)
    out[0][request.k - span.wanted :] = values[wins]
    out[1][request.k - span.wanted :] = places[wins]
    if request.sorted:
        sort_winners(row, out, request, looks)
    if request.exact or not request.certificate:
        return True
    return pieces.count_before(worst, last) == request.k - 1


class Pieces(NamedTuple):
    """A row that is looked at piece by piece."""

    row: Array
    request: Request
    looks: Looks
    bounds: list[Bound]
    room: int

    def each(self, look: Callable[[Piece], Iterator[T]], use: Callable[[T], object]) -> None:
        """Cut the pieces, look at each, and use what is found in their order."""
        self.looks.each(lambda bound: look(cut(self.row, self.request, bound)), use, self.bounds)

    def counted(self, look: Callable[[Piece], Iterator[Places]]) -> Places:
        """The sum of all that is counted."""
        total = np.zeros(BINS, np.int64)
        self.each(look, lambda counts: np.add(total, counts, out=total))
        return total

    def narrowed(self) -> Span:
        """The span, with no more candidates in it than there is room for."""
        n, k = self.request.n, self.request.k
        bottom, top = 0, 2 ** (8 * self.request.itemsize) - 1
        if self.most_candidates() <= self.room:
            return Span(bottom, top, 0, n, k)
        low, high = self.guess()
        while True:
            shift = max(0, (high - low).bit_length() - BITS)
            bin, better, among = find(self.count_keys(low, high, shift), k)
            if bin == 0:  # the k-th is better than was guessed
                low, high = high + 1, top
            elif bin == BINS:  # or worse
                low, high = bottom, low - 1
            else:
                high -= bin - 1 << shift
                low = max(low, high + 1 - (1 << shift))
                span = Span(low, high, 0, n, k - better)
                if among <= self.room:
                    return span
                if low == high:
                    return self.narrowed_by_place(span)

    def most_candidates(self) -> int:
        """How many candidates may be among the best `k` of their pieces."""
        return sum(
            min(self.request.k, self.request.kb * (last - first)) for first, last in self.bounds
        )

    def guess(self) -> tuple[int, int]:
        """Keys that the k-th best is likely to be between: half its rank in a sample, and twice."""
        n = self.request.n
        keys = np.sort(self.looks.keys(self.row[:: max(1, n // SAMPLE)], self.request))[::-1]
        rank = self.request.k * len(keys) // n
        return int(keys[min(2 * rank + 8, len(keys) - 1)]), int(keys[rank // 2])

    def count_keys(self, low: int, high: int, shift: int) -> Places:
        """See `Looks.count`."""
        return self.counted(lambda piece: iter([self.looks.count(piece, low, high, shift)]))

    def narrowed_by_place(self, span: Span) -> Span:
        """A span of one key at few enough places."""
        size = -(-self.request.n // BINS)

        def count(piece: Piece) -> Iterator[Places]:
            for _, (_, indices) in self.looks.take(piece, span.low, span.high, self.room):
                yield np.bincount(piece.places(indices) // size, minlength=BINS)

        at, before, _ = find(self.counted(count), span.wanted)
        return span._replace(first=at * size, stop=(at + 1) * size, wanted=span.wanted - before)

    def take(self, span: Span, out: Found) -> Found:
        """Write what is better than the span to the front of `out`; return what is in it."""
        taken, noted = 0, []

        def look(piece: Piece) -> Iterator[tuple[Found, Found]]:
            for better, within in self.looks.take(piece, span.low, span.high, self.room):
                yield (better[0], piece.places(better[1])), (within[0], piece.places(within[1]))

        def write(values: Array, places: Places) -> None:
            nonlocal taken
            end = taken + len(values)
            out[0][taken:end], out[1][taken:end] = values, places
            taken = end

        def use(found: tuple[Found, Found]) -> None:
            better, (values, places) = found
            early = places < span.first
            within = ~early & (places < span.stop)
            noted.append((values[within], places[within]))
            write(*better)
            write(values[early], places[early])

        self.each(look, use)
        assert taken == self.request.k - span.wanted
        values, places = (np.concatenate(parts) for parts in zip(*noted, strict=True))
        return values, places

    def count_before(self, worst: Any, last: int) -> int:
        """How many elements are better than the one with this key at this place."""
        before = 0
        for start in range(0, self.request.n, CHUNK):
            keys = self.looks.keys(self.row[start : start + CHUNK], self.request)
            before += int(np.count_nonzero(keys > worst))
            before += int(np.count_nonzero(keys[: max(0, last - start)] == worst))
        return before


def find(counts: Places, k: int) -> tuple[int, int, int]:
    """Where the k-th of all that were counted is; how many come before, and how many are there."""
    reach = np.cumsum(counts)
    at = int(np.searchsorted(reach, k))
    among = int(counts[at]) if at < len(counts) else 0
    return at, int(reach[min(at, len(counts) - 1)]) - among, among


def best_of(keys: UintArray, places: Places, k: int) -> tuple[NDArray[np.bool_], Any, int]:
    """Which are the best `k` of some candidates; the worst key of those, and where it is last."""
    worst = np.partition(keys, len(keys) - k)[len(keys) - k]
    wins: NDArray[np.bool_] = keys > worst
    ties = np.flatnonzero(keys == worst)
    ties = ties[np.argsort(places[ties])[: k - np.count_nonzero(wins)]]
    wins[ties] = True
    return wins, worst, int(places[ties[-1]])
