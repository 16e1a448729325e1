"""Work shared by threads: Python's own, over kernels that let go of the GIL.

Numba's parallel loops would need one of its threading layers, and of those that come with it
OpenMP ends a process that forks and workqueue ends one that calls from two threads.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from numba import config

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def most_threads() -> int:
    """What the environment variable NUMBA_NUM_THREADS says, or the number of processors."""
    return int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def spread(task: Callable[..., None], pieces: Iterable[tuple[Any, ...]], threads: int) -> None:
    """Call ``task(*piece)`` for every piece, on `threads` threads of which the caller is one."""
    left = deque(pieces)

    def work() -> None:
        while True:
            try:
                piece = left.popleft()
            except IndexError:
                return
            task(*piece)

    helpers = _helpers(work, min(threads, len(left)) - 1)
    work()
    for helper in helpers:
        if not helper.cancel():  # one that never began has nothing left to do
            helper.result()


def _helpers(work: Callable[[], None], count: int) -> list[Future[None]]:
    global _pool
    if count < 1:
        return []
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, most_threads() - 1), "approxtopk")
        try:
            return [_pool.submit(work) for _ in range(count)]
        except RuntimeError:  # the interpreter is about to end: the caller does it all
            return []


def _forget() -> None:
    """A child process has the pool but not its threads, and perhaps the lock of another thread."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
