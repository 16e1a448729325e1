"""Backends whose kernels Numba compiles: another one for each type and each length of a queue.

Each takes some seconds, and is the same function of the source: what is tested by default are short
queues of all types, and queues of every length of one type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import approxtopk
from approxtopk.backend import is_lossless
from approxtopk.testing import Case, Subject

BACKENDS = ("numba", "torch")  #: for arrays, and for CPU tensors the same

#: Longer queues than that are of one type.
LONGEST, ANY_LENGTH = 3, "float32"

#: A dtype of each width, floats and integers.
OF_EACH_WIDTH = ("int8", "bfloat16", "float32", "int64")


class Compiled(Subject):
    """A backend that refuses the queues which are left to exhaustive runs."""

    def __call__(self, array: np.ndarray, k: int, **arguments: Any) -> tuple[np.ndarray, ...]:
        """Select, or refuse as a backend may; an exact answer needs no queue."""
        b, kb = arguments.get("b"), arguments.get("kb")
        queues = b and kb and arguments.get("recall") != 1.0
        if queues and self.leaves_out(Case(array, k, b, kb, arguments.get("axis", -1))):
            raise approxtopk.NoBackendError("left to exhaustive runs")
        return super().__call__(array, k, **arguments)

    def leaves_out(self, case: Case) -> bool:
        """Whether a queue is too long for the type."""
        return (
            case.kb > LONGEST
            and case.array.dtype.name != ANY_LENGTH
            and not is_lossless(case.n, case.k, case.b, case.kb)
        )
