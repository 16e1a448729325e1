"""Every law, on every backend, with generated cases; and what a call promises besides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from approxtopk.testing import (
    LAWS,
    PROMISES,
    Subject,
    available_dtypes,
    check_law,
    law_h_mean,
    permutations,
)


@pytest.mark.parametrize("letter", LAWS)
def test_law(backend: Subject, letter: str) -> None:
    """The reference decides about the others, and Numba's kernels serve CPU tensors too."""
    check(backend, letter, {"numpy": 100, "numba": 75, "torch": 50}[backend.name])


@pytest.mark.exhaustive
@pytest.mark.parametrize("letter", LAWS)
def test_law_with_more_examples(backend: Subject, letter: str) -> None:
    check(backend, letter, 150)


def check(backend: Subject, letter: str, examples: int) -> None:
    how = {"dtypes": backend.dtypes, "layouts": backend.layouts}
    check_law(letter, backend, **how, max_examples=examples)


@pytest.mark.parametrize("dtype", available_dtypes())
def test_mean_recall_is_the_expected_one(backend: Subject, dtype: str) -> None:
    for case in permutations(dtype):
        law_h_mean(backend, case)


@pytest.mark.parametrize("dtype", available_dtypes())
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_promise(backend: Subject, promise: Callable[[Subject, str], None], dtype: str) -> None:
    promise(backend, dtype)


@pytest.mark.parametrize("dtype", available_dtypes())
def test_every_dtype_is_served(backend: Subject, dtype: str) -> None:
    """A law also holds for a backend that refuses every request."""
    backend.served.clear()
    case = next(permutations(dtype))
    backend(case.array, case.k, **case.arguments)
    assert backend.served[dtype] == 1
