"""The table of edge cases, in every dtype and on every backend; and the smaller workloads."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from compiled import OF_EACH_WIDTH

import approxtopk
from approxtopk.testing import (
    EDGE_CASES,
    LAWS,
    WORKLOADS,
    Case,
    EdgeCase,
    Subject,
    Workload,
    available_dtypes,
    check_edge_case,
    dtype_of,
)
from approxtopk.testing.layouts import LAYOUTS

#: Cases of how an array lies in memory, and of sizes, to which of a dtype its width alone matters:
#: two widths are enough for each, other ones for the next.
LAID_OUT = {*LAYOUTS, "orders of axes", "every axis", "rank 1 to 8", "row counts", "a million rows"}
SIZES = {
    *("lengths", "every residue", "every kb"),
    *("every k; 46 b = 1 and n", "candidates and k; 50 k % kb"),
}


def in_every_dtype() -> list[Any]:
    """Cases and dtypes."""
    found = []
    for (number, edge), dtype in product(enumerate(EDGE_CASES), available_dtypes()):
        enough = edge.name in LAID_OUT | SIZES and dtype not in OF_EACH_WIDTH[number % 2 :: 2]
        marks = pytest.mark.exhaustive if enough else ()
        found.append(pytest.param(edge, dtype, id=f"{edge}-{dtype}", marks=marks))
    return found


@pytest.mark.parametrize(("edge", "dtype"), in_every_dtype())
def test_edge_case(backend: Subject, edge: EdgeCase, dtype: str) -> None:
    if not edge.suits(dtype):
        pytest.skip(f"{dtype} has no such values")
    if edge.name in LAYOUTS and edge.name not in backend.layouts:
        pytest.skip(f"arrays of {backend.name} are never laid out like that")
    check_edge_case(edge, backend, dtype)


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if w.rows * w.n <= 1 << 21], ids=str)
def test_workload(backend: Subject, workload: Workload) -> None:
    """What is measured is right; the larger ones have their place where they are measured."""
    generator = np.random.default_rng(1)
    array = generator.standard_normal((workload.rows, workload.n), np.float32)
    plan = approxtopk.plan(workload.n, workload.k, recall=0.99)
    case = Case(array.astype(dtype_of(workload.dtype)), workload.k, plan.b, plan.kb)
    for letter in "abcdq":
        LAWS[letter](backend, case)
