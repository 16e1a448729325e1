"""Every law, edge case and promise on arrays of CuPy, JAX and Numba, in every dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from checks import CHECKS, checks_of

from approxtopk.backend import SUPPORTED_DTYPES
from approxtopk.testing import Subject

pytest.importorskip("cupy.cuda")
pytest.importorskip("ml_dtypes")

import cuda_arrays
import cupy

if not cupy.is_available():
    pytest.skip("CuPy finds no CUDA device", allow_module_level=True)  # a thousand tests at once

pytestmark = [
    *(pytest.mark.gpu, pytest.mark.usefixtures("usable")),
    # Numba computes with what NumPy deprecates.
    pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning"),
]

LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "cupy": cuda_arrays.cupy_array,
    "jax": cuda_arrays.jax_array,
    "numba": cuda_arrays.numba_array,
}
#: Promises that only arrays which are written to, or answered in kind, can keep.
NOT_OF = {
    "cupy": (),
    "jax": ("out_is_written", "out_is_refused", "certificates"),
    "numba": ("result_is_like_the_input", "out_is_written", "certificates"),
}


@pytest.fixture
def subject(library: str, dtype: str) -> Iterator[Subject]:
    """Arrays of a library, answered by the CuPy backend."""
    made = Subject("cupy", LIBRARIES[library], cuda_arrays.to_numpy, [dtype])
    if library != "jax":
        pytest.importorskip("numba.cuda" if library == "numba" else library)
        yield made
        return
    config = pytest.importorskip("jax").config
    wide = config.jax_enable_x64
    config.update("jax_enable_x64", True)
    yield made
    config.update("jax_enable_x64", wide)


@pytest.mark.parametrize(
    ("dtype", "what", "library"),
    [
        (dtype, what, library)
        for dtype in SUPPORTED_DTYPES
        for what in checks_of(dtype)
        for library in LIBRARIES
        if what not in NOT_OF[library]
        and (library, dtype) != ("numba", "bfloat16")  # which it doesn't have
    ],
)
def test_arrays_keep_what_is_promised(
    subject: Subject, dtype: str, what: str, library: str
) -> None:
    CHECKS[what](subject, dtype)
