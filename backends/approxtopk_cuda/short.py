"""Launch policy of ``kernels/short.cu``: some lanes of a warp hold a row in registers."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from approxtopk.backend import itemsize_of

from .problem import Device, Launch, Problem
from .variants import key_bytes, make_kernel

__all__ = ["short"]

THREADS = 256
#: Elements that a lane holds: a bit of a word for each, and 32 registers for their keys.
_MOST_SLOTS = {4: 32, 8: 16}
#: Lanes that may share a row.
_LANES = (8, 16, 32)
#: Warps of a multiprocessor that suffice: beyond, the fewer lanes share a row the better.
_WARPS = 6


def short(p: Problem, device: Device) -> Launch | None:
    """One launch for rows that fit in registers; None for others, and for many winners."""
    enough = _WARPS * 32 * device.multiprocessors
    fewest = next((lanes for lanes in _LANES if lanes * p.rows >= enough), _LANES[-1])
    preferred = [lanes for lanes in _LANES if lanes >= fewest]
    others = [lanes for lanes in reversed(_LANES) if lanes < fewest]
    layouts = _layouts(p, [*preferred, *others])
    return next((_launch(p, lanes, v) for lanes, v in layouts), None)


def _layouts(p: Problem, lanes_of_a_row: list[int]) -> Iterator[tuple[int, int]]:
    """Lanes of a row and elements of a load that will do, in order of preference."""
    if _drops(p) and not p.interleaved:
        return
    size = itemsize_of(p.dtype)
    aligned = p.alignment if p.step == 1 else 1
    widths = [bytes_ // size for bytes_ in (16, 8, 4) if size <= bytes_ <= aligned]
    for lanes in lanes_of_a_row:
        for v in dict.fromkeys([*widths, 1]):
            slots = -(-p.n // (lanes * v)) * v
            divides = not _drops(p) or p.b % (lanes * v) == 0
            if p.k <= lanes and slots <= _MOST_SLOTS[key_bytes(p.dtype)] and divides:
                yield lanes, v


def _drops(p: Problem) -> bool:
    """Whether a bucket can drop one of the best k, as it should."""
    return not p.repair and p.kb < min(p.k, -(-p.n // p.b))


def _launch(p: Problem, lanes: int, v: int) -> Launch:
    steps = -(-p.n // (lanes * v))
    drops = _drops(p)
    # Where nothing is dropped any groups will do for a bound.
    groups = gcd(4, p.b // lanes if drops else steps * v)
    resident = 1024 if key_bytes(p.dtype) == 4 else 768  # threads
    defines = {
        "LANES": lanes,
        "STEPS": steps,
        "PARTIAL": p.n % (lanes * v) != 0,
        "GROUPS": groups,
        "BUCKETS": p.b // lanes if drops else groups,
        "KB": p.kb if drops else 1,
        "V": v,
        "DROPS": drops,
        "AT_ONCE": 1 if 2 * p.k <= lanes else 2,
        "NESTED": p.inner != 1,
        "STRIDED": p.step != 1,
        "CERTIFY": p.certificate and not p.repair,
        "KEY_SHIFT": 0,
    }
    kernel = make_kernel("short", "short_rows", p, THREADS, resident // THREADS, **defines)
    grid = -(-p.rows // (THREADS // lanes))
    fields = (("rows", p.rows),)
    return Launch(kernel, grid, THREADS, fields=fields, certifies=True)
