"""What else there is on a GPU, on the same buffers; and one look at each element, as the floor."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, ClassVar

from asv_runner.benchmarks.mark import SkipNotImplemented

from . import device, support
from .gpu import FIXED


def torch_topk(workload: str, buffers: list[Any]) -> float:
    k = support.WORKLOADS[workload].k
    return device.microseconds(lambda arr: arr.topk(k, sorted=False), buffers)


def torch_argmax(workload: str, buffers: list[Any]) -> float:
    return device.microseconds(lambda arr: arr.argmax(1), buffers)


def torch_amax(workload: str, buffers: list[Any]) -> float:
    return device.microseconds(lambda arr: arr.amax(1), buffers)


def cupy_argpartition(workload: str, buffers: list[Any]) -> float:
    cupy, w = support.requires("cupy"), support.WORKLOADS[workload]
    if w.dtype == "bfloat16":
        raise NotImplementedError("CuPy has no bfloat16")
    arrays = device.as_cupy(buffers)
    return device.microseconds(lambda arr: cupy.argpartition(arr, w.n - w.k, axis=1), arrays)


def jax_approx_max_k(workload: str, buffers: list[Any]) -> float:
    """By the clock of the host, because JAX has streams of its own; it takes 100 µs and more."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave the others their memory
    jax, k = support.requires("jax"), support.WORKLOADS[workload].k
    arrays = [support.requires("jax.dlpack").from_dlpack(arr) for arr in buffers]
    call = jax.jit(lambda x: jax.lax.approx_max_k(x, k, recall_target=0.95))
    call(arrays[0])[0].block_until_ready()
    times = []
    for _ in range(device.SERIES):
        start = time.perf_counter()
        results = [call(arr)[0] for arr in arrays]
        jax.block_until_ready(results)
        times.append((time.perf_counter() - start) * 1e6 / len(arrays))
    return statistics.median(times)


PEERS: tuple[Callable[[str, list[Any]], float], ...] = (
    *(torch_topk, torch_argmax, torch_amax),
    *(cupy_argpartition, jax_approx_max_k),
)


Numbers = dict[str, dict[str, float | str]]


class Peers:
    """Every peer of every workload, each a benchmark; what can't be measured is skipped."""

    timeout = 900
    params: ClassVar[Any] = (list(FIXED),)
    param_names = ("workload",)
    unit = "µs"

    def setup_cache(self) -> Numbers:
        try:
            support.requires_gpu()
        except NotImplementedError as reason:
            return {workload: {p.__name__: str(reason) for p in PEERS} for workload in FIXED}
        numbers: Numbers = {}
        for workload in FIXED:
            numbers[workload] = found = {}
            buffers = device.inputs(workload)
            for peer in PEERS:
                try:
                    found[peer.__name__] = peer(workload, buffers)
                except NotImplementedError as reason:
                    found[peer.__name__] = str(reason)
        return numbers

    def track_torch_topk(self, numbers: Numbers, workload: str) -> float:
        return measured(numbers[workload]["torch_topk"])

    def track_torch_argmax(self, numbers: Numbers, workload: str) -> float:
        return measured(numbers[workload]["torch_argmax"])

    def track_torch_amax(self, numbers: Numbers, workload: str) -> float:
        return measured(numbers[workload]["torch_amax"])

    def track_cupy_argpartition(self, numbers: Numbers, workload: str) -> float:
        return measured(numbers[workload]["cupy_argpartition"])

    def track_jax_approx_max_k(self, numbers: Numbers, workload: str) -> float:
        return measured(numbers[workload]["jax_approx_max_k"])


def measured(time: float | str) -> float:
    """A time, or skip the benchmark where there is a reason instead."""
    if isinstance(time, str):
        raise SkipNotImplemented(time)
    return time
