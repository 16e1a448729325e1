"""How long a GPU is at work: events around calls on a queue that is filled beforehand.

The queue is kept waiting while the host puts the calls into it, so the host's time is left out, and
whatever uses the default stream can be timed, torch or CuPy. Inputs rotate through more memory than
the L2 cache holds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from . import support

#: Clock cycles that the queue is kept waiting for, some 8 ms; and the calls put into it meanwhile.
WAIT, CALLS = 16_000_000, 48

#: Medians are of so many series.
SERIES = 7


def inputs(workload: str) -> list[Any]:
    """Buffers of random elements, together beyond L2."""
    w = support.WORKLOADS[workload]
    timing = support.load("benchmarks/gpu_timing.py")
    buffers: list[Any] = timing.inputs(w.rows, w.n, getattr(support.requires_gpu(), w.dtype))
    return buffers


def as_cupy(buffers: list[Any]) -> list[Any]:
    """The same memory as CuPy's arrays."""
    cupy = support.requires("cupy")
    return [cupy.from_dlpack(arr) for arr in buffers]


def microseconds(call: Callable[[Any], object], buffers: list[Any]) -> float:
    """Device time of one call: the median over series of calls."""
    torch = support.requires_gpu()
    for arr in buffers[:2]:
        call(arr)
    series = [buffers[i % len(buffers)] for i in range(min(CALLS, max(8, len(buffers))))]
    times = []
    for _ in range(SERIES):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda._sleep(WAIT)
        begin.record()
        for arr in series:
            call(arr)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / len(series))
    return statistics.median(times)


def scratch(call: Callable[[Any], object], arr: Any) -> int:
    """Bytes that a call allocates at its peak, its result among them."""
    torch = support.requires_gpu()
    call(arr)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call(arr)
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def cupy_scratch(call: Callable[[Any], Any], arr: Any) -> int:
    """The same of CuPy's pool, which keeps what a call has given back."""
    pool = support.requires("cupy").get_default_memory_pool()
    call(arr)
    pool.free_all_blocks()
    before = pool.total_bytes()
    call(arr)
    return int(pool.total_bytes() - before)
