"""The sizes that tests and benchmarks share.

The file needs nothing but the standard library: ``asv_bench`` reads it by its path, so that every
commit is measured on the same sizes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A size that is measured: ``rows`` rows of ``n`` elements, top `k`."""

    rows: int
    n: int
    k: int
    dtype: str = "float32"

    @property
    def elements(self) -> int:
        """Of the whole array."""
        return self.rows * self.n

    def __str__(self) -> str:
        return f"{self.rows}x{self.n}-k{self.k}-{self.dtype}"


#: Many and few rows, long and short, the ones that attention, retrieval and training have.
GPU_WORKLOADS = (
    Workload(64, 131_072, 64),
    Workload(128, 65_536, 64),
    Workload(256, 131_072, 2048),
    Workload(16_384, 16_384, 64),
    Workload(256, 131_072, 64),
    Workload(1, 1 << 27, 1024),
    Workload(64, 131_072, 64, "bfloat16"),
    Workload(256, 131_072, 2048, "bfloat16"),
    Workload(32, 4096, 64),
    Workload(8192, 256, 8),
)
#: With some for computers that have no GPU.
WORKLOADS = (
    *GPU_WORKLOADS,
    Workload(1, 1 << 20, 64),
    Workload(1, 1 << 24, 1024),
    Workload(32, 65_536, 8192),
)
