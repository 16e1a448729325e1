"""How a request is run: lanes, scratch memory, threads. Arithmetic only, nothing is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from approxtopk import Request
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

#: How many more than 2k an exact answer collects before it sorts out.
SPARE = 1024

#: What a thread must have to do to be worth waking: reading 4 MiB takes it some 100 us.
BYTES_PER_THREAD = 1 << 22

#: A row in pieces takes threads longer to share: every piece is handed over, and used in turn.
BYTES_PER_PIECES_THREAD = 1 << 24

#: Rows are handed to threads in this many pieces per thread, so that a slow one holds up little.
PIECES = 4

#: Winners that are sorted or converted at once, unless one row has more.
SOME_WINNERS = 1 << 12


@dataclass(frozen=True)
class Launch:
    """What the kernels are told besides the request.

    Attributes
    ----------
    exact : bool
        The true top-k is to be found, and buckets needn't be looked at.
    width : int
        Lanes, see `approxtopk_numba.kernels`; 0 in an exact launch without stage 1.
    keys : int
        Length of a thread's scratch memory, in keys.
    collected : int
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
    width: int
    keys: int
    collected: int
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
    exact, parts, collected = is_exact(request), 1, 0
    if exact:
        width = exact_width(n, k, tile)
        collected = min(n, 2 * k + SPARE)
        keys = width + count_regions(n, width, tile) + collected
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
    scratch = keys * itemsize + collected * 8
    if request.sorted:
        scratch = max(scratch, piece * k * sorting_bytes(itemsize))
    if request.index_dtype != "int64":
        scratch += piece * k * 8
    workspace = scratch if parts > 1 else scratch * threads
    return Launch(exact, width, keys, collected, parts, threads, piece, 1, workspace)


def in_pieces(request: Request) -> Launch:
    """A launch whose rows come one after another, each with its pieces shared by some threads."""
    threads = max(1, min(most_threads(), request.n * request.itemsize // BYTES_PER_PIECES_THREAD))

    def piece_bytes(piece: Request) -> int:
        return threads * (copied_bytes(piece) + look_keys(piece) * piece.itemsize)

    cuts = max(threads, fewest_pieces(request, piece_bytes))
    workspace = piece_bytes(piece_request(request, cuts)) + threads * held_bytes(request, cuts)
    return Launch(is_exact(request), 0, 0, 0, 1, threads, 1, cuts, workspace)


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


def exact_width(n: int, k: int, tile: int) -> int:
    """Lanes of an exact launch, which need no more than find a threshold that few exceed.

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
