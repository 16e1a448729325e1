"""From arrays of any strides to the kernels' words, without a GPU."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from approxtopk import Request
from approxtopk_cuda.strided import Programs, Strided, rows_of


def strided_of(array: np.ndarray) -> Strided:
    return Strided(tuple(s // array.itemsize for s in array.strides), 0)


def addresses(array: np.ndarray, axis: int) -> list[int]:
    """Where each row begins, in elements from the array's first."""
    first = np.moveaxis(array, axis, -1)[..., :1]
    origin = array.__array_interface__["data"][0]
    steps = [range(n) for n in first.shape[:-1]]
    strides = [s // array.itemsize for s in first.strides[:-1]]
    assert origin == first.__array_interface__["data"][0]
    found = [0]
    for places, stride in zip(steps, strides, strict=True):
        found = [at + place * stride for at in found for place in places]
    return found


def check_rows(seed: int) -> bool:
    """Whether two strides describe the rows of random arrays; they must be right if they do."""
    rng = random.Random(seed)
    rank = rng.randint(1, 5)
    shape = [rng.choice([1, 2, 3, 4]) for _ in range(rank)]
    axis = rng.randrange(rank)

    def array() -> Any:
        order = rng.choice([list(range(rank)), rng.sample(range(rank), rank)])
        base = np.zeros([shape[a] * rng.choice([1, 1, 1, 2]) for a in order], np.int8)
        view = base[tuple(slice(shape[a]) for a in order)]
        return view.transpose([order.index(a) for a in range(rank)])

    arrays = [array() for _ in range(rng.choice([1, 3]))]
    request = Request(tuple(shape), "int8", "cuda:0", axis, 1, 1, 1)
    rows = rows_of(request, [strided_of(a) for a in arrays])
    if rows is None:
        return False
    for which, array_ in enumerate(arrays):
        outer, inner = rows.outer_strides[which], rows.inner_strides[which]
        found = [r // rows.inner * outer + r % rows.inner * inner for r in range(request.rows)]
        assert found == addresses(array_, axis), (seed, shape, axis, array_.strides)
    return True


def test_two_strides_are_where_the_rows_are() -> None:
    described = sum(check_rows(seed) for seed in range(300))
    assert 150 < described < 300


@pytest.mark.parametrize("axis", range(3))
def test_contiguous_arrays_need_no_copy(axis: int) -> None:
    array = np.zeros((4, 5, 6), np.int8)
    request = Request(array.shape, "int8", "cuda:0", axis, 1, 1, 1)
    assert rows_of(request, [strided_of(array)] * 3) is not None


def test_programs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Programs, "most", 3)
    programs: Any = Programs()
    for key in range(10):
        programs[(key,)] = key
        assert programs[(key,)] == key
        assert len(programs) <= 3
