"""How much memory a selection takes, and how many rows are selected from at once. Arithmetic only.

A block of rows is as much as leaves temporary arrays in the processor's cache and takes no more
than a tenth of input and output together; a single row that takes more is a block all the same.
"""

from __future__ import annotations

from functools import lru_cache

from approxtopk import Request

from .fast import by_cheapest_buckets
from .stage1 import CHUNK, SLOW, STRETCH, part, run_elements

#: Bytes of an element, by what is left of its type's name without the letters.
_BYTES = {"8": 1, "16": 2, "32": 4, "64": 8}

#: Blocks are not made smaller than that many bytes of temporary arrays ask for.
LEAST = 1 << 17

#: Python's own objects.
_OBJECTS = 1 << 13


@lru_cache(maxsize=4096)
def block_rows(request: Request) -> int:
    """Rows of a block."""
    moved = request.rows * (request.n * itemsize(request) + request.k * (itemsize(request) + 8))
    most = min(request.rows, CHUNK // request.n)
    fitting = int(max(LEAST, moved // 11) / (block_bytes(request, most) / most)) if most else 0
    return max(1, min(most, fitting))


def workspace(request: Request) -> int:
    """Bytes of temporary arrays, for the fewest possible ties."""
    return block_bytes(request, block_rows(request)) + _OBJECTS


def block_bytes(request: Request, rows: int) -> int:
    """Bytes of temporary arrays for a block of rows."""
    size = itemsize(request)
    if request.exact or request.lossless:
        request = by_cheapest_buckets(request)
    n, k, b, kb = request.n, request.k, request.b, request.kb
    if request.lossless:  # keys of all elements, and the same in another order
        stage1, queues = rows * n * (2 * size + 1), 0
    else:  # what was kept, and the same in another order; and where few buckets have many lanes
        lanes = min(max(STRETCH, rows * b), rows * n // (2 * kb)) if kb > 1 else 0
        stage1 = max(rows * request.candidates * (2 * size + 1), lanes * (2 * kb + 1) * size)
        if kb > 1 and not request.interleaved:
            stage1 = max(stage1, (rows * request.candidates + run_elements(rows, n)) * size)
        queues = rows * b * (13 + size)  # what must be known of them, and a count
    reading = rows * part(rows, n) * (2 + size if request.dtype in SLOW else 1)
    # Row, index and key of what reaches the bar, twice; and its bucket.
    winners = rows * k * (2 * (12 + size) + 9)
    return queues + reading + max(stage1, winners)


def itemsize(request: Request) -> int:
    """Bytes of an element."""
    return _BYTES[request.dtype.lstrip("abfilnotu")]
