"""How a request is run: lanes, scratch memory, threads. Arithmetic only, nothing is compiled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk_numpy.fast import enough
from approxtopk_numpy.memory import (
    allowance,
    copied_bytes,
    fewest_pieces,
    held_bytes,
    piece_request,
)

from .threads import most_threads

#: The longest queue there is a kernel for.
LONGEST_KB = 8

#: Steps taken per visit to a lane: its queue is loaded and stored once for that many elements.
STEPS = 4

#: A tile is that many bytes of neighbouring lanes; the best key of every STEPS tiles is noted.
TILE_BYTES = 512

#: Lanes are spread to that many bytes where buckets are few: the STEPS streams that a step group
#: reads are then long enough for the processor to fetch ahead (64 x 131072 float32, b = 256,
#: kb = 2: 65 us a row with 1 KiB, 41 with 4 KiB, 40 with 8 and with 16).
SPREAD_BYTES = 8192

#: How many more than twice what is wanted are collected before they are sorted out.
SPARE = 1024

#: A sample of a row is some of its lines of so many bytes, at least so many.
LINE_BYTES, LEAST_LINES = 64, 4
#: Lines begin anywhere in equal parts of the row, by multiples of 2^32 over the golden ratio, which
#: are spread evenly modulo 2^32.
GOLDEN, LOW = np.uint64(0x9E3779B1), np.uint64(2**32 - 1)
#: It has so many times the cube root of n k elements: what is collected beyond what is wanted falls
#: with its square root, and costs some ten times as much each. At most one element of so many.
SAMPLE, SAMPLED = 6, 8
#: Standard deviations more than is wanted that are expected to reach what it tells. Where fewer
#: than k do the row is looked at twice again.
SIGMAS = 2.5
#: Rows whose buckets drop something are so long at least, and have so many elements for each that
#: is wanted: others are faster by lanes, as are those of 8-bit elements.
LONG, FEW, FEW_PER_KB = 8192, 24, 16
#: Where less than one in so many is wanted, rows are faster by lanes but of these types, two of
#: which are compared as they are: others' stage 1 takes less than to look at all keys.
SPARSE, NEVER_SPARSE = 512, ("float32", "float64", "int64")

#: What a thread must have to do to be worth waking: reading 4 MiB takes it some 100 us.
BYTES_PER_THREAD = 1 << 22

#: A row in pieces takes threads longer to share: every piece is handed over, and used in turn.
BYTES_PER_PIECES_THREAD = 1 << 24

#: Rows are handed to threads in this many pieces per thread, so that a slow one holds up little.
PIECES = 4

#: Winners that are sorted or converted at once, unless one row has more.
SOME_WINNERS = 1 << 12


@dataclass(frozen=True)
class Sampled:
    """How rows are selected from by a sample, see `approxtopk_numba.sampled`.

    Attributes
    ----------
    lines, rank : int
        Lines of a row to look at, and a rank in them that somewhat more than `wanted` elements of
        the row reach.
    wanted : int
        Elements that an answer is found among: of an exact one k.
    keys, places, queues : int
        Lengths of scratch memory.
    """

    lines: int
    rank: int
    wanted: int
    keys: int
    places: int
    queues: int

    def workspace(self, itemsize: int) -> int:
        """Bytes of it."""
        return self.keys * itemsize + self.places * 8 + self.queues * 4


@dataclass(frozen=True)
class Launch:
    """What the kernels are told besides the request.

    Attributes
    ----------
    exact : bool
        The true top-k is to be found, and buckets needn't be looked at.
    sampled : Sampled or None
        How a sample is used first; what follows is for rows that it does not do for, then.
    width : int
        Lanes, see `approxtopk_numba.kernels`; 0 in an exact launch without stage 1.
    keys : int
        Length of a thread's scratch memory, in keys.
    places : int
        How many indices an exact launch collects.
    parts : int
        Into how many parts stage 1 splits a row. If more than one, rows come one after another.
    threads : int
        How many threads share the work.
    piece : int
        How many rows a thread takes at a time.
    cuts : int
        Into how many pieces a row is cut that would take too much memory as a whole; 1 if it isn't.
    workspace : int
        Bytes of scratch memory of all threads.
    """

    exact: bool
    sampled: Sampled | None
    width: int
    keys: int
    places: int
    parts: int
    threads: int
    piece: int
    cuts: int
    workspace: int


def is_exact(request: Request) -> bool:
    """Whether the answer is the true top-k, by whichever way it is found."""
    return request.exact or request.lossless


@lru_cache(maxsize=4096)
def launch(request: Request) -> Launch:
    """Policy for a request that is not empty: as many threads as pay and memory allows."""
    most = request.rows * request.n * request.itemsize // BYTES_PER_THREAD
    most = max(1, min(most_threads(), most))
    plans = (whole_rows(request, threads) for threads in range(most, 0, -1))
    fits = (plan for plan in plans if plan.workspace <= allowance(request))
    return next(fits, None) or in_pieces(request)


def whole_rows(request: Request, threads: int) -> Launch:
    """A launch of so many threads at most, of which each has a row or shares one."""
    n, k, kb, itemsize = request.n, request.k, request.kb, request.itemsize
    tile = TILE_BYTES // itemsize
    exact, parts, places = is_exact(request), 1, 0
    if exact:
        width, places = exact_width(n, k, tile), collected(n, k, itemsize)
        keys = width + count_regions(n, width, tile) + places
        threads = min(threads, request.rows)
    else:
        width = bucket_width(request, itemsize)
        if request.interleaved and request.rows < threads and 8 * kb * width <= n:
            parts = threads
        else:
            threads = min(threads, request.rows)
        keys = queue_keys(request, width, parts)
    piece = -(-request.rows // (threads * PIECES)) if threads > 1 else request.rows
    if request.sorted or request.index_dtype != "int64":
        piece = max(1, min(piece, SOME_WINNERS // k))
    piece = 1 if parts > 1 else piece
    scratch = keys * itemsize + places * 8
    by_sample = sampled(request) if parts == 1 else None
    if by_sample is not None:
        scratch = max(scratch, by_sample.workspace(itemsize)) + piece * 8
    if request.sorted:
        scratch = max(scratch, piece * k * sorting_bytes(itemsize))
    if request.index_dtype != "int64":
        scratch += piece * k * 8
    workspace = scratch if parts > 1 else scratch * threads
    return Launch(exact, by_sample, width, keys, places, parts, threads, piece, 1, workspace)


def in_pieces(request: Request) -> Launch:
    """A launch whose rows come one after another, each with its pieces shared by some threads."""
    threads = max(1, min(most_threads(), request.n * request.itemsize // BYTES_PER_PIECES_THREAD))

    def piece_bytes(piece: Request) -> int:
        return threads * (copied_bytes(piece) + look_keys(piece) * piece.itemsize)

    cuts = max(threads, fewest_pieces(request, piece_bytes))
    workspace = piece_bytes(piece_request(request, cuts)) + threads * held_bytes(request, cuts)
    return Launch(is_exact(request), None, 0, 0, 0, 1, threads, 1, cuts, workspace)


def look_width(piece: Request) -> int:
    """Lanes of stage 1 of a piece; 0 without stage 1."""
    return 0 if piece.exact else bucket_width(piece, piece.itemsize)


def look_keys(piece: Request) -> int:
    """Length of scratch memory for stage 1 of a piece."""
    return 0 if piece.exact else queue_keys(piece, look_width(piece))


def queue_keys(request: Request, width: int, parts: int = 1) -> int:
    """Length of scratch memory for stage 1 of a row: queues, what is noted of them, and lanes."""
    b, kb = request.b, request.kb
    spread = parts > 1 or not request.interleaved or width > b
    tops = count_regions(request.n, width, TILE_BYTES // request.itemsize)
    return (kb + 1) * b + tops + (kb * width * parts if spread else 0)


def sorting_bytes(itemsize: int) -> int:
    """Of temporary arrays for each winner that `bits.sort_rows` sorts."""
    return 24 + itemsize if itemsize <= 4 else 40


def bucket_width(request: Request, itemsize: int) -> int:
    """Lanes for `request.b` buckets, or for each contiguous one.

    As many as SPREAD_BYTES asks for, unless merging them again would cost more than an eighth of
    the work of stage 1.
    """
    n, b, kb = request.n, request.b, request.kb
    lanes = SPREAD_BYTES // itemsize
    if request.interleaved:
        return b * max(1, min(lanes // b, n // (8 * kb * b)))
    return max(1, min(TILE_BYTES // itemsize, n // b // (8 * kb)))


def sampled(request: Request) -> Sampled | None:
    """Policy of a sample; None where it would be a large part of a row, or takes longer."""
    n, k, b, kb = request.n, request.k, request.b, request.kb
    exact, per = is_exact(request), LINE_BYTES // request.itemsize
    wanted = k if exact else enough(request)
    if not exact:
        crowded = wanted * (FEW + FEW_PER_KB * kb) > n
        if crowded or n < LONG or request.itemsize == 1:
            return None
    if wanted * SPARSE < n and request.dtype not in NEVER_SPARSE:
        return None
    lines = round(min(SAMPLE * math.cbrt(n * wanted), n / SAMPLED) / per)
    size = lines * per
    expected = wanted * size / n
    rank = math.ceil(expected + SIGMAS * math.sqrt(expected) + 1)
    if lines < LEAST_LINES or rank >= size:
        return None
    places = collected(n, wanted, request.itemsize)
    return Sampled(lines, rank, wanted, size + places, places, 0 if exact else kb * b)


def sampled_places(n: int, lines: int, itemsize: int) -> NDArray[np.int64]:
    """Where a row's sample is, as `approxtopk_numba.collecting.guess` takes it."""
    per, part = LINE_BYTES // itemsize, n // lines
    line = np.arange(lines, dtype=np.uint64)
    somewhere = (line * GOLDEN & LOW) * np.uint64(part - per + 1) >> np.uint64(32)
    first = line.astype(np.int64) * part + somewhere.astype(np.int64)
    return (first[:, None] + np.arange(per)).reshape(-1)


def collected(n: int, wanted: int, itemsize: int) -> int:
    """How many places there are for what may win, of which so many are wanted."""
    return min(n, 2 * wanted + SPARE) + TILE_BYTES // itemsize


def exact_width(n: int, k: int, tile: int) -> int:
    """Lanes of an exact launch's stage 1, which need but find a threshold that few exceed.

    8 k of them hold most of the top k; 4 k, if these would fill half of a first-level cache. 0, no
    stage 1, where that is no small part of the row.
    """
    width = max(4 * k, min(8 * k, 32 * tile), 2 * tile)
    return width if 4 * width <= n else 0


def count_regions(n: int, width: int, tile: int) -> int:
    """How many best keys stage 1 notes for `n` elements, at most."""
    if width == 0:
        return 0
    return (-(-n // width) // STEPS + STEPS) * -(-width // tile)
