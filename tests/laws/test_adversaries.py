"""Certificates and exact answers against a stable sort, on arrays made to break them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from checks import LossyRows, some_adversaries
from compiled import Compiled
from tensors import torch_array, torch_to_numpy

from approxtopk.backend import count_candidates
from approxtopk.testing import LAWS, Case, Subject, adversaries, available_dtypes
from approxtopk_cuda import Device, Problem
from approxtopk_cuda.exactness import settle

ROWS = 112  #: of each of 24 cases: with 9 dtypes 24,192 rows a backend
DISTINCT = 20_000  #: of these, at least, are different ones that their plan can miss something of


@pytest.mark.parametrize("dtype", available_dtypes())
def test_adversaries(backend: Subject, dtype: str) -> None:
    """Law r is that no certificate is wrong, s that none is missing, t that recall=1.0 is exact."""
    check(backend, dtype)


def ways_and_dtypes() -> list[Any]:
    """Every dtype goes one way, and those that follow each other different ones."""
    both = [(way, dtype) for way in ("groups", "buckets") for dtype in available_dtypes()]
    marks = ((), pytest.mark.exhaustive)
    return [pytest.param(*each, marks=marks[number % 2]) for number, each in enumerate(both)]


@pytest.mark.parametrize(("way", "dtype"), ways_and_dtypes())
def test_adversaries_of_torch_operations(dtype: str, way: str, monkeypatch) -> None:
    """Which serve where no compiled kernel does."""
    torch_backend = pytest.importorskip("approxtopk_torch.backend")
    monkeypatch.setattr(torch_backend, "_way", lambda request: (torch_backend.native, None))
    if way == "buckets":
        monkeypatch.setattr(torch_backend.native, "_group_length", lambda request: None)
    check(Subject("torch", torch_array, torch_to_numpy), dtype)


def test_those_checked_on_a_gpu_are_repaired_there() -> None:
    """And not selected whole, as a few short rows are."""
    for case in some_adversaries("float64"):
        candidates = count_candidates(case.n, case.b, case.kb)
        plan = (case.n, case.k, case.b, case.kb, candidates)
        assert settle(Problem("float64", len(case.rows), *plan, repair=True), Device()).repair


def check(backend: Subject, dtype: str) -> None:
    certified, rows = [0, 0], LossyRows()
    for case in rows.counted(cases_for(backend, dtype)):
        for letter in "rstu":
            LAWS[letter](backend, case)
        _, _, exact = backend(case.array, case.k, **case.arguments, certificate=True)
        for one in exact:
            certified[bool(one)] += 1
    assert min(certified) > 300, "of either sort there are many rows"
    assert len(rows) >= DISTINCT / len(available_dtypes())


def cases_for(backend: Subject, dtype: str) -> Iterator[Case]:
    """No fewer where some are left out: then they are of two seeds."""
    if not isinstance(backend, Compiled):
        return adversaries(dtype, ROWS, seed=1)
    cases = chain(*(adversaries(dtype, ROWS, seed=seed) for seed in (1, 2)))
    return (case for case in cases if not backend.leaves_out(case))
