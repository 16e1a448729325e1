"""Extra memory: as much as `explain` tells, a tenth of input and output; no copy of long rows."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import python

import approxtopk

BACKENDS = ["numpy", "numba"]

#: What Python allocates for a call, and NumPy to convert a bit at a time.
SMALL = 60_000


def extra(arr: np.ndarray, k: int, **how: Any) -> tuple[int, int]:
    """Bytes that a call takes at its peak besides its output, and those of input and output.

    The least of two calls: other threads of the process are counted too.
    """
    approxtopk.topk(arr, k, **how)  # whatever is compiled or remembered
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        result = approxtopk.topk(arr, k, **how)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
    output = sum(part.nbytes for part in result)
    return min(peaks) - output, arr.nbytes + output


def normal(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Few ties: integers take most of their range."""
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    spread = {"int32": 2**28, "int8": 20}.get(dtype, 1)
    return (values * spread).astype(dtype)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "numba":
        pytest.importorskip("numba")
    return str(request.param)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"recall": 1.0},
        {"sorted": True},
        {"certificate": True},
        {"interleaved": False},
        {"index_dtype": "int32"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("shape", "k"), [((1, 2**20), 64), ((1, 2**19), 2**16), ((64, 2**14), 64), ((16, 2**16), 8192)]
)
def test_workspace_is_what_is_taken(
    backend: str, shape: tuple[int, int], k: int, how: dict[str, Any]
) -> None:
    how = {"recall": 0.99, "backend": backend, **how}
    arr = normal(shape)
    taken, _ = extra(arr, k, **how)
    stated = approxtopk.explain(arr, k, **how).workspace_bytes
    assert taken <= 1.1 * stated + SMALL
    assert stated <= 2 * taken + SMALL


@pytest.mark.parametrize("dtype", ["float16", "int32", "float64"])
def test_workspace_of_other_types(backend: str, dtype: str) -> None:
    arr, how = normal((16, 2**16), dtype), {"recall": 0.99, "backend": backend}
    taken, _ = extra(arr, 1000, **how)
    stated = approxtopk.explain(arr, 1000, **how).workspace_bytes
    assert taken <= 1.1 * stated + SMALL
    assert stated <= 2 * taken + SMALL


@pytest.mark.parametrize("share", [1 / 1024, 1 / 64, 1 / 8, 1 / 2])
@pytest.mark.parametrize("shape", [(2048, 1024), (32, 2**16)])
def test_no_more_than_a_tenth_of_input_and_output(
    backend: str, shape: tuple[int, int], share: float
) -> None:
    taken, moved = extra(normal(shape), int(shape[1] * share), recall=0.99, backend=backend)
    assert taken <= 0.1 * moved


#: A selection may take that much however little is moved.
LEAST = 1 << 20

#: Every size of an element, and how a whole answer is asked for.
LONG_ROWS = [
    ("float16", {"recall": 0.99}),
    ("float32", {"recall": 0.99, "certificate": True}),
    ("float32", {"recall": 1.0}),
    ("float64", {"recall": 0.99, "sorted": True}),
    ("int8", {"recall": 1.0, "index_dtype": "int32"}),
]


@pytest.mark.parametrize(("dtype", "how"), LONG_ROWS, ids=str)
@pytest.mark.parametrize("share", [64, pytest.param(8, marks=pytest.mark.exhaustive), 2])
def test_nor_for_one_long_row(backend: str, dtype: str, how: dict[str, Any], share: int) -> None:
    """A row that what is kept of it is no small part of; NumPy alone takes as much again."""
    if backend == "numba" and dtype in ("float16", "float64"):
        how = {**how, "recall": 0.9, "kb": 2}  # long queues are compiled for one type, float32
    arr = normal((2**20,), dtype)
    taken, moved = extra(arr, len(arr) // share, backend=backend, **how)
    assert taken <= max((1.0 if backend == "numpy" else 0.1) * moved, LEAST)
    stated = approxtopk.explain(arr, len(arr) // share, backend=backend, **how).workspace_bytes
    assert stated / 2 - SMALL <= taken <= 2 * stated + SMALL


@pytest.mark.parametrize("pattern", ["rising", "falling", "constant"])
@pytest.mark.parametrize("recall", [0.99, 1.0])
def test_whatever_its_order(backend: str, recall: float, pattern: str) -> None:
    """The best come first or last, or all tie: a row in pieces, which NumPy alone cuts later."""
    arr = np.sort(normal((2**20,)))
    arr = {"rising": arr, "falling": arr[::-1].copy(), "constant": np.zeros_like(arr)}[pattern]
    k = len(arr) // (2 if backend == "numpy" else 8)
    taken, moved = extra(arr, k, recall=recall, backend=backend)
    assert taken <= max(0.1 * moved, LEAST)


def layouts(arr: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
    spaced = np.zeros((*arr.shape[:-1], 2 * arr.shape[-1]), arr.dtype)[..., ::2]
    spaced[...] = arr
    misaligned = np.zeros(arr.nbytes + 1, np.uint8)[1:].view(arr.dtype).reshape(arr.shape)
    misaligned[...] = arr
    return {
        "spaced": (spaced, -1),
        "reversed": (arr[..., ::-1], -1),
        "misaligned": (misaligned, -1),
        "swapped bytes": (arr.astype(arr.dtype.newbyteorder()), -1),
        "columns": (np.moveaxis(np.ascontiguousarray(np.moveaxis(arr, -1, 0)), 0, -1), -1),
    }


@pytest.mark.parametrize("layout", layouts(np.zeros((1, 1), np.float32)))
@pytest.mark.parametrize("shape", [(1, 2**21), (128, 2**14)])
def test_rows_are_never_copied_whole(backend: str, shape: tuple[int, int], layout: str) -> None:
    arr, axis = layouts(normal(shape))[layout]
    taken, moved = extra(arr, 64, axis=axis, recall=0.99, backend=backend)
    assert taken <= 0.1 * moved


#: Rows in blocks, in a process of its own: what earlier arrays were does matter.
FAULTS = """
import resource
import numpy as np
import approxtopk
arr = np.random.default_rng(0).standard_normal((256, 65536), dtype=np.float32)
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with approxtopk.use_backend("numpy"):
        approxtopk.topk(arr, 64, b=4096, kb=1)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' memory is not glibc's")
def test_what_a_block_frees_is_kept_for_the_next(tmp_path: Path) -> None:
    """Not given back to the system and asked for again: 8,000 pages a call, half of its time."""
    done = python(tmp_path, FAULTS)
    assert int(done.stdout) < 800, done.stderr
