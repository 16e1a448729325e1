"""How much memory a selection takes, and how many rows are selected from at once. Arithmetic only.

A block of rows is as much as hides what calls cost and takes no more than a tenth of input and
output together. A single row that takes more than both is cut in pieces, which take a tenth; below
that it is not, since pieces take 2 to 5 times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from approxtopk import Request
from approxtopk.backend import count_candidates, itemsize_of

from .fast import as_solved
from .pieces import BINS, in_buckets
from .stage1 import CHUNK, SLOW, STRETCH, part, run_elements

#: Elements of a block, at most; CHUNK where keys are made of all, which the cache should hold.
BLOCK = 1 << 20

#: Blocks are not made smaller than that many bytes of temporary arrays ask for.
LEAST = 1 << 17

#: A selection may take that many bytes, however small input and output are.
LEAST_ALLOWED = 1 << 20

#: Of what is counted in one piece, in all before it, and in both.
COUNTS_BYTES = 3 * 8 * BINS

#: Python's own objects.
_OBJECTS = 1 << 13


@lru_cache(maxsize=4096)
def block_rows(request: Request) -> int:
    """Rows of a block."""
    most = min(request.rows, (CHUNK if makes_keys(request) else BLOCK) // request.n)
    bytes = max(LEAST, moved(request) // 11)
    fitting = int(bytes / (most_bytes(request, most) / most)) if most else 0
    return max(1, min(most, fitting))


def makes_keys(request: Request) -> bool:
    """Whether elements are not compared as they are."""
    return as_solved(request).lossless or request.dtype in SLOW


def moved(request: Request) -> int:
    """Bytes of input and output."""
    size, place = request.itemsize, itemsize_of(request.index_dtype)
    return request.rows * (request.n * size + request.k * (size + place))


def allowance(request: Request) -> int:
    """Bytes that a selection may take besides: a tenth of input and output."""
    return max(LEAST_ALLOWED, moved(request) // 10)


def room(request: Request) -> int:
    """How many candidates may be noted, and as many held at once: a quarter of it for either."""
    return max(1, allowance(request) // 4 // noted_bytes(request))


def noted_bytes(request: Request) -> int:
    """Bytes that a noted candidate takes: value and place, both again, and to sort them out."""
    return 2 * (request.itemsize + 8) + 2 * request.itemsize + 10


@lru_cache(maxsize=4096)
def piece_count(request: Request) -> int:
    """How many pieces a row is cut into; 1 if it is selected from as a whole."""
    if most_bytes(request, 1) <= max(LEAST_ALLOWED, moved(request)):
        return 1
    return fewest_pieces(request, look_bytes)


def fewest_pieces(request: Request, piece_bytes: Callable[[Request], int]) -> int:
    """How many pieces leave each with two fifths of the allowance, given what one takes."""
    count = 2
    while piece_bytes(piece_request(request, count)) > allowance(request) * 2 // 5:
        if count >= request.b:
            break
        count += 1 + count // 8
    return count


def piece_request(request: Request, count: int) -> Request:
    """A piece of average size, and an average share of the winners."""
    request = in_buckets(request)
    b = -(-request.b // count)
    n = b * -(-request.n // request.b)
    k = min(-(-request.k // count), count_candidates(n, b, request.kb))
    return replace(request, shape=(1, n), axis=1, b=b, k=k)


def look_bytes(piece: Request) -> int:
    """Bytes of a piece, and of a look at it: in an exact one all keys, and what they come from."""
    if piece.exact:
        return piece.n * (5 * piece.itemsize + 4)
    return copied_bytes(piece) + block_bytes(piece, 1)


def copied_bytes(piece: Request) -> int:
    """Bytes of a piece that isn't neighbours in its row."""
    return piece.n * piece.itemsize if piece.interleaved and not piece.exact else 0


def held_bytes(request: Request, pieces: int) -> int:
    """Bytes of winners, as many as are held at once, of what is noted, and of what is counted."""
    held = min(room(request), -(-request.k // pieces))
    return held * noted_bytes(request) + COUNTS_BYTES


def workspace(request: Request) -> int:
    """Bytes of temporary arrays, for the fewest possible ties."""
    count = piece_count(request)
    if count == 1:
        return block_bytes(request, block_rows(request)) + _OBJECTS
    return look_bytes(piece_request(request, count)) + held_bytes(request, count) + _OBJECTS


def most_bytes(request: Request, rows: int) -> int:
    """The same, should a row not be solved by own buckets but by those asked for, as few are."""
    return max(block_bytes(request, rows), solved_bytes(request, rows))


def block_bytes(request: Request, rows: int) -> int:
    """Bytes of temporary arrays for a block of rows."""
    solved = as_solved(request)
    counts = 0 if request.exact or not solved.exact else 8 * rows * request.b  # of what reaches
    return counts + solved_bytes(solved, rows)


def solved_bytes(request: Request, rows: int) -> int:
    """The same by the buckets of a request."""
    size, n, k, b, kb = request.itemsize, request.n, request.k, request.b, request.kb
    if request.lossless:  # keys of all elements, and the same in another order
        stage1, queues = rows * n * (2 * size + 1), 0
    else:  # what was kept, and the same in another order; and where few buckets have many lanes
        stage1 = rows * request.candidates * (2 * size + 1)
        if kb > 1 and request.interleaved:
            lanes = min(max(STRETCH, rows * b), rows * n // (2 * kb))
            stage1 = max(stage1, lanes * (2 * kb + 1) * size)
        elif kb > 1:
            stage1 = max(stage1, (rows * request.candidates + run_elements(rows, n)) * size)
        # What must be known of them, and a count; of exact answers nothing.
        queues = 0 if request.exact else rows * b * (13 + size)
    reading = rows * part(rows, n) * (2 + size if request.dtype in SLOW else 1)
    # Row, index and key of what reaches the bar, twice; and its bucket.
    winners = rows * k * (2 * (12 + size) + 9)
    return queues + reading + max(stage1, winners)
