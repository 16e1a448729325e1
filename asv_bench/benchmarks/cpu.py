"""Whole calls and stage 1 on the CPU, the memory they take, and the recall they give."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

import approxtopk

from . import support

BACKENDS = ("numpy", "numba", "torch")


class Timed:
    """A selection takes milliseconds, so a second holds enough of them, in two processes."""

    rounds, repeat, warmup_time = 2, (3, 20, 0.5), 0.1


class TopK(Timed):
    """A whole call, planned for a recall."""

    params = (support.ON_CPU, BACKENDS, support.RECALLS)
    param_names = ("workload", "backend", "recall")

    def setup(self, workload: str, backend: str, recall: float) -> None:
        self.arr = support.array_for(backend, workload)
        self.k = support.WORKLOADS[workload].k

    def time_topk(self, workload: str, backend: str, recall: float) -> None:
        approxtopk.topk(self.arr, self.k, recall=recall, backend=backend)


class FixedPlan(Timed):
    """A whole call with its plan given: the kernels alone, whatever the planner thinks today."""

    plans: ClassVar = {
        "1x1048576-k64-float32": (4096, 1),
        "1x16777216-k1024-float32": (16_384, 2),
        "64x131072-k64-float32": (256, 2),
        "32x65536-k8192-float32": (4096, 4),
    }
    params = (list(plans), BACKENDS)
    param_names = ("workload", "backend")

    def setup(self, workload: str, backend: str) -> None:
        self.arr = support.array_for(backend, workload)
        self.k = support.WORKLOADS[workload].k
        self.b, self.kb = self.plans[workload]

    def time_topk(self, workload: str, backend: str) -> None:
        approxtopk.topk(self.arr, self.k, b=self.b, kb=self.kb, backend=backend)


class Exact(Timed):
    """Exact answers, of random rows and of constant ones, and an approximate one's certificate."""

    params = (support.ON_CPU, BACKENDS)
    param_names = ("workload", "backend")

    def setup(self, workload: str, backend: str) -> None:
        if not hasattr(approxtopk, "CertifiedTopK"):
            raise NotImplementedError("this commit knows no certificate")
        self.arr = support.array_for(backend, workload)
        self.k = support.WORKLOADS[workload].k
        constant = np.zeros_like(support.normal(workload))
        self.constant = support.as_array_of(backend, constant)

    def time_exact(self, workload: str, backend: str) -> None:
        approxtopk.topk(self.arr, self.k, recall=1.0, backend=backend)

    def time_exact_of_constant_rows(self, workload: str, backend: str) -> None:
        approxtopk.topk(self.constant, self.k, recall=1.0, backend=backend)

    def time_certified(self, workload: str, backend: str) -> None:
        approxtopk.topk(self.arr, self.k, recall=0.99, certificate=True, backend=backend)


class Stage1(Timed):
    """Exactly `k` candidates, so that there is no second stage."""

    params = ((1, 2, 4), BACKENDS)
    param_names = ("kb", "backend")
    workload = "32x65536-k8192-float32"

    def setup(self, kb: int, backend: str) -> None:
        self.arr = support.array_for(backend, self.workload)
        self.k = support.WORKLOADS[self.workload].k

    def time_stage1(self, kb: int, backend: str) -> None:
        approxtopk.topk(self.arr, self.k, b=self.k // kb, kb=kb, backend=backend)


class Memory:
    """A process that selects from 64 MiB: the interpreter, the array, the library, its scratch."""

    params = (BACKENDS,)
    param_names = ("backend",)
    workload = "1x16777216-k1024-float32"

    def setup(self, backend: str) -> None:
        self.arr = support.array_for(backend, self.workload)
        self.k = support.WORKLOADS[self.workload].k

    def peakmem_topk(self, backend: str) -> None:
        approxtopk.topk(self.arr, self.k, recall=0.99, backend=backend)


class Recall:
    """What share of the true top-k a plan for a recall finds; the same on every backend."""

    params = (support.ON_CPU, support.RECALLS)
    param_names = ("workload", "recall")
    unit = "share of the true top-k"

    def track_recall(self, workload: str, recall: float) -> float:
        arr, k = support.normal(workload), support.WORKLOADS[workload].k
        exact = np.partition(arr, arr.shape[1] - k, axis=1)[:, -k:]
        return approxtopk.recall(approxtopk.topk(arr, k, recall=recall), (exact, None))
