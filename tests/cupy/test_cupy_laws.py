"""Every law, edge case and promise on arrays of CuPy; laws on those of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from approxtopk.backend import SUPPORTED_DTYPES
from approxtopk.testing import LAWS, PROMISES, Subject, check_backend, check_law

pytest.importorskip("cupy.cuda")
pytest.importorskip("ml_dtypes")

import cuda_arrays

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("usable")]

#: Promises that only arrays which are written to, or answered in kind, can keep.
NOT_OF = {
    "jax": ("out_is_written", "out_is_refused", "certificates"),
    "numba": ("result_is_like_the_input", "out_is_written", "certificates"),
}


@pytest.mark.parametrize("dtype", SUPPORTED_DTYPES)
def test_cupy_arrays_keep_the_laws(dtype: str) -> None:
    check_backend(
        "cupy",
        to_array=cuda_arrays.cupy_array,
        to_numpy=cuda_arrays.to_numpy,
        dtypes=[dtype],
        max_examples=5,
    )


def jax_array() -> Callable[[np.ndarray], Any]:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return cuda_arrays.jax_array


def numba_array() -> Callable[[np.ndarray], Any]:
    pytest.importorskip("numba.cuda")
    return cuda_arrays.numba_array


@pytest.mark.parametrize(
    ("library", "adapter", "dtype"),
    [
        *(("jax", jax_array, dtype) for dtype in ("float32", "bfloat16", "int64")),
        *(("numba", numba_array, dtype) for dtype in ("float32", "float16", "uint8")),
    ],
)
# Numba computes with what NumPy deprecates.
@pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")
def test_arrays_of_other_libraries_keep_the_laws(
    library: str, adapter: Callable[[], Any], dtype: str
) -> None:
    subject = Subject("cupy", adapter(), cuda_arrays.to_numpy, [dtype])
    for letter in LAWS:
        check_law(letter, subject, dtypes=[dtype], layouts=subject.layouts, max_examples=5)
    for promise in PROMISES:
        if promise.__name__ not in NOT_OF[library]:
            promise(subject, dtype)
    assert subject.served[dtype] > 0
