"""What else there is on the CPU, on the same arrays; and one look at each element, as the floor."""

from __future__ import annotations

from typing import Any

from . import support
from .cpu import Timed


class Peer(Timed):
    """Each peer is a benchmark of its own, so that what isn't installed is skipped alone."""

    params = (support.ON_CPU,)
    param_names = ("workload",)

    def setup(self, workload: str) -> None:
        self.arr: Any = support.normal(workload)
        self.k = support.WORKLOADS[workload].k


class Numpy(Peer):
    """Exact selection, and the read floor."""

    def time_argpartition(self, workload: str) -> None:
        self.arr.argpartition(self.arr.shape[1] - self.k, axis=1)

    def time_max(self, workload: str) -> None:
        self.arr.max(axis=1)


class Torch(Peer):
    """Exact selection by `torch.topk`, and what finding one element takes."""

    def setup(self, workload: str) -> None:
        torch = support.requires("torch")
        super().setup(workload)
        self.arr = torch.from_numpy(self.arr)

    def time_topk(self, workload: str) -> None:
        self.arr.topk(self.k, sorted=False)

    def time_argmax(self, workload: str) -> None:
        self.arr.argmax(1)


class Jax(Peer):
    """`jax.lax.approx_max_k` with its own default recall, compiled."""

    def setup(self, workload: str) -> None:
        jax = support.requires("jax")
        super().setup(workload)
        self.arr = jax.device_put(self.arr, jax.devices("cpu")[0])
        self.call = jax.jit(lambda x: jax.lax.approx_max_k(x, self.k, recall_target=0.95))
        self.call(self.arr)[0].block_until_ready()

    def time_approx_max_k(self, workload: str) -> None:
        self.call(self.arr)[0].block_until_ready()
