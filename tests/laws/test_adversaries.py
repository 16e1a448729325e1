"""Certificates and exact answers against a stable sort, on arrays made to break them."""

from __future__ import annotations

import pytest
from tensors import torch_array, torch_to_numpy

from approxtopk.testing import LAWS, Subject, adversaries, available_dtypes

ROWS = 128  #: of each of 20 cases: with 9 dtypes 23,040 rows a backend


@pytest.mark.parametrize("dtype", available_dtypes())
def test_adversaries(backend: Subject, dtype: str) -> None:
    """Law r is that no certificate is wrong, s that none is missing, t that recall=1.0 is exact."""
    check(backend, dtype)


@pytest.mark.parametrize("dtype", available_dtypes())
@pytest.mark.parametrize("way", ["groups", "buckets"])
def test_adversaries_of_torch_operations(dtype: str, way: str, monkeypatch) -> None:
    """Which serve where no compiled kernel does."""
    torch_backend = pytest.importorskip("approxtopk_torch.backend")
    monkeypatch.setattr(torch_backend, "_way", lambda request: (torch_backend.native, None))
    if way == "buckets":
        monkeypatch.setattr(torch_backend.native, "_group_length", lambda request: None)
    check(Subject("torch", torch_array, torch_to_numpy), dtype)


def check(backend: Subject, dtype: str) -> None:
    certified = [0, 0]
    for case in adversaries(dtype, ROWS, seed=1):
        for letter in "rstu":
            LAWS[letter](backend, case)
        _, _, exact = backend(case.array, case.k, **case.arguments, certificate=True)
        for one in exact:
            certified[bool(one)] += 1
    assert min(certified) > 300, "of either sort there are many rows"
