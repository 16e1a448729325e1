"""What the library costs besides the selection: the call, the plan, the import, the first call."""

from __future__ import annotations

from itertools import count

import numpy as np

import approxtopk

from . import support


class Call:
    """A selection so small that only the way to it counts."""

    params = ("numpy", "numba", "torch")
    param_names = ("backend",)
    rounds, repeat, warmup_time = 2, (5, 20, 0.5), 0.05

    def setup(self, backend: str) -> None:
        arr = np.random.default_rng(0).standard_normal((4, 64), dtype=np.float32)
        self.arr = support.as_array_of(backend, arr)
        support.requires_backend(backend, self.arr)
        self.time_small(backend)  # compiles

    def time_small(self, backend: str) -> None:
        approxtopk.topk(self.arr, 4, b=32, kb=1, backend=backend)

    def time_nothing(self, backend: str) -> None:
        """For k = 0 a backend only allocates."""
        approxtopk.topk(self.arr, 0, backend=backend)


class CallOnGPU:
    """The same on a GPU, where the host prepares the next call while the device is at work."""

    params = ("torch", "triton")
    param_names = ("backend",)

    def setup(self, backend: str) -> None:
        self.arr = support.requires_gpu().randn(4, 64, device="cuda")
        support.requires_backend(backend, self.arr)
        self.time_small(backend)  # compiles

    def time_small(self, backend: str) -> None:
        approxtopk.topk(self.arr, 4, b=32, kb=1, backend=backend)

    def time_torch_topk(self, backend: str) -> None:
        self.arr.topk(4)


class CallOnCupy:
    """The same on an array of CuPy, and what CuPy's own selection costs the host."""

    def setup(self) -> None:
        support.requires_gpu()
        self.cupy = support.requires("cupy")
        self.arr = self.cupy.random.standard_normal((4, 64), dtype="f4")
        support.requires_backend("cupy", self.arr)
        self.time_small()  # compiles

    def time_small(self) -> None:
        approxtopk.topk(self.arr, 4, b=32, kb=1, backend="cupy")

    def time_argpartition(self) -> None:
        self.cupy.argpartition(self.arr, 4, axis=1)


class Plan:
    """Plans for arguments that no cache has seen."""

    plans = 50
    number, repeat, rounds, warmup_time = 1, 20, 2, 0.0

    def __init__(self) -> None:
        self.fresh = (
            ((1 << 12 + i % 19) + 2 * i + 1, (1, 10, 64, 1000)[i % 4], (0.8, 0.95, 0.99)[i % 3])
            for i in count()
        )

    def setup(self) -> None:
        self.arguments = [next(self.fresh) for _ in range(self.plans)]

    def time_fifty_plans(self) -> None:
        for n, k, recall in self.arguments:
            approxtopk.plan(n, k, recall=recall)


class NewProcess:
    """What a program pays once."""

    number, repeat, rounds, warmup_time = 1, 5, 2, 0.0

    def timeraw_import(self) -> tuple[str, str]:
        """Of the library alone, NumPy being there already."""
        return "import approxtopk", "import numpy"

    def timeraw_first_call(self) -> tuple[str, str]:
        """With plug-ins to be found, and nothing to be compiled."""
        return (
            "approxtopk.topk(arr, 64, backend='numpy')",
            "import numpy, approxtopk; arr = numpy.random.default_rng(0).standard_normal(65536)",
        )

    def timeraw_first_call_numba(self) -> tuple[str, str]:
        """With kernels that Numba has in its cache, from the second process on."""
        support.requires("numba")
        return (
            "approxtopk.topk(arr, 64, backend='numba')",
            "import numpy, numba, approxtopk; "
            "arr = numpy.random.default_rng(0).standard_normal(65536, dtype='float32')",
        )
