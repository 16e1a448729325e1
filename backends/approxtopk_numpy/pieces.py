"""Pieces of a row that is too long for what is kept of it to be held at once.

A piece is some whole buckets, or a stretch of the row where every element is a candidate: either
way a row of its own. It is cut, looked at and forgotten; `long_row` looks more than once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk.backend import count_candidates

from .keys import UintArray

Array = NDArray[Any]
Places = NDArray[np.int64]
#: Elements, and where they are.
Found = tuple[Array, Places]
#: The first bucket of a piece, and the one after its last.
Bound = tuple[int, int]
T = TypeVar("T")

#: A look counts candidates in 2**BITS bins, best first, behind one for all that are better still.
BITS = 12
BINS = 1 + (1 << BITS)


class Piece(NamedTuple):
    """Some elements of a row, laid out as a row of their own."""

    elements: Array
    request: Request  #: what to select from them: all that a request for the row could
    first: int  #: where the first element stands in the row
    pitch: int  #: from one step of a bucket to the next, there

    def places(self, indices: Places) -> Places:
        """Where its elements stand in the row."""
        places: Places = indices // self.request.b
        places *= self.pitch - self.request.b
        places += indices
        places += self.first
        return places


class Looks(ABC):
    """How a backend looks at pieces."""

    def each(
        self,
        look: Callable[[Bound], Iterator[T]],
        use: Callable[[T], object],
        bounds: list[Bound],
    ) -> None:
        """Look everywhere, perhaps at several places at once, and use what is found in order."""
        for bound in bounds:
            for found in look(bound):
                use(found)

    @abstractmethod
    def keys(self, values: Array, request: Request) -> UintArray:
        """What it compares: unsigned integers, greater for an element to be selected earlier."""

    @abstractmethod
    def count(self, piece: Piece, low: int, high: int, shift: int) -> Places:
        """How many candidates have which key: above `high`, then every ``2**shift`` down to `low`.

        BINS of them. Candidates that buckets lack may be counted with the least key.
        """

    @abstractmethod
    def take(self, piece: Piece, low: int, high: int, most: int) -> Iterator[tuple[Found, Found]]:
        """Candidates with keys above `high`, and those from there down to `low`.

        Values and indices in the piece, about `most` at once, in the same order every time. Where
        all keys are asked for, the best k will do.
        """


def in_buckets(request: Request) -> Request:
    """The request whose buckets pieces consist of: every element its own for an exact answer."""
    if request.exact or request.lossless:
        return replace(request.by_whole_rows(), interleaved=True, exact=True)
    return request


def cut(row: Array, request: Request, bound: Bound) -> Piece:
    """Some buckets of a row of any layout, contiguous and in native byte order."""
    n, b, dtype = request.n, request.b, row.dtype.newbyteorder("=")
    short, longer = divmod(n, b)
    first, last = bound
    width = last - first
    if request.interleaved and b < n:
        rest = row[short * b + first : min(short * b + last, n)]
        elements = np.empty(short * width + len(rest), dtype)
        steps = row[: short * b].reshape(short, b)[:, first:last]
        elements[: short * width].reshape(short, width)[...] = steps
        elements[short * width :] = rest
        return Piece(elements, request_for(request, len(elements), width), first, b)
    start, stop = (bucket * short + min(bucket, longer) for bucket in bound)
    elements = np.require(row[start:stop], dtype, ["C", "A"])
    return Piece(elements, request_for(request, len(elements), width), start, width)


@lru_cache(maxsize=4096)
def request_for(request: Request, n: int, b: int) -> Request:
    """What to select from a piece of `n` elements in `b` buckets."""
    kb = min(request.kb, -(-n // b))
    k = min(request.k, count_candidates(n, b, kb))
    some = replace(request, shape=(1, n), axis=1, b=b, kb=kb, k=k)
    return replace(some, sorted=False, index_dtype="int64", certificate=False)
