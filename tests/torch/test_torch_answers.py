"""Torch tensors get the reference's answers, whatever their dtype, layout and device."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import pytest
import torch
from answers import DTYPES, KINDS, bits, check, tensor

import approxtopk
from approxtopk_torch import groups, native

PLANS = (
    {"b": 1, "kb": 9},
    {"b": 37, "kb": 1},  # 2049 % 37 == 14
    {"b": 128, "kb": 3},
    {"b": 700, "kb": 2},  # buckets of 2 and 3
    {"b": 2049},
    {"recall": 0.9},
    {"recall": 1.0},
)


def cases() -> list[Any]:
    """Each kind of each dtype with two of the four ways to select; the others take their time."""
    found = []
    every = product(*(enumerate(each) for each in (DTYPES, KINDS, (True, False), (True, False))))
    for numbered in every:
        numbers, values = zip(*numbered, strict=True)
        marks = pytest.mark.exhaustive if sum(numbers) % 2 else ()
        found.append(pytest.param(*values, marks=marks))
    return found


@pytest.mark.parametrize(("dtype", "kind", "largest", "interleaved"), cases(), ids=str)
def test_same_set_as_the_reference(dtype, kind, largest, interleaved, device) -> None:
    arr = tensor(kind, dtype, 3, 2049).to(device)
    for plan in PLANS:
        check(arr, 9, **plan, largest=largest, interleaved=interleaved)
        check(arr, 9, **plan, largest=largest, interleaved=interleaved, sorted=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("largest", [True, False], ids=["largest", "smallest"])
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "contiguous"])
def test_both_native_ways_agree(dtype, largest, interleaved) -> None:
    rows = torch.cat([tensor(kind, dtype, 2, 1000) for kind in KINDS])
    for k, b, kb in ((1, 1, 1), (5, 10, 1), (5, 7, 2), (40, 30, 3), (30, 3, 20), (9, 999, 1)):
        request = approxtopk.Request(
            *(tuple(rows.shape), str(dtype).removeprefix("torch."), "cpu", 1, k, b, kb, largest),
            interleaved=interleaved,
            certificate=True,
        )
        expected, proved = native.select_by_buckets(rows, request)
        expected = expected.sort(-1).values
        for length in (1, 2, 7, 20):
            counted = b * min(kb, 1000 // b // length) if b * length <= 1000 else 0
            if counted >= k:
                found, exact = groups.select(rows, request, length)
                assert torch.equal(found.sort(-1).values, expected), (request, length)
                assert torch.equal(exact, proved), (request, length)


def test_the_quick_way_is_taken_where_it_pays(without_numba) -> None:
    few = approxtopk.explain(torch.zeros(1 << 17), 64, recall=0.99)
    many = approxtopk.explain(torch.zeros(1 << 17), 1 << 14, b=1 << 13, kb=2)
    assert "groups" in few.kernel
    assert "every bucket" in many.kernel
    assert few.workspace_bytes < many.workspace_bytes
    assert few.backend == many.backend == "torch"


def test_triton_stands_in_for_the_cuda_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    from approxtopk_torch import backend, cuda, triton

    monkeypatch.setattr(triton.launch, "INTERPRETED", False)
    monkeypatch.setattr(cuda, "refuses", lambda request: "no compiler")
    request = approxtopk.Request((5, 3001), "float32", "cuda:0", 1, 20, 100, 2)
    many = dataclasses.replace(request, k=30, kb=9)
    for unusable, wanted, way, why in (
        (None, request, triton, "no compiler"),
        (None, many, native, "no compiler; keeps at most kb=8 elements per bucket, not 9"),
        ("no driver", request, native, "no compiler; no driver"),
    ):
        monkeypatch.setattr(triton.launch, "unusable", lambda reason=unusable: reason)
        backend._way.cache_clear()
        assert backend._way(wanted) == (way, why)
    backend._way.cache_clear()


def test_numba_is_taken_where_no_gradient_is_asked_for() -> None:
    pytest.importorskip("numba")
    arr = torch.randn(1000)
    assert "keys first" in approxtopk.explain(arr, 10, b=100).kernel
    why = approxtopk.explain(arr, 30, b=10, kb=20)
    assert "no cpu kernel: has kernels for kb up to 8" in why.kernel
    got = approxtopk.topk(arr.requires_grad_(), 10, b=100)
    got.values.sum().backward()
    assert torch.equal(arr.grad.nonzero().flatten(), got.indices.sort().values)


@pytest.mark.parametrize("rows", [(7,), (2, 3, 5)], ids=str)
def test_blocks_of_rows(monkeypatch, without_numba, rows) -> None:
    monkeypatch.setattr(native, "BLOCK", 1000)
    arr = tensor("ties", torch.float32, *rows, 300)
    check(arr, 5, b=20)
    check(arr, 5, b=20, axis=0) if len(rows) == 1 and rows[0] >= 20 else None
    check(arr.movedim(-1, 0), 5, b=20, axis=0)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1)], ids=str)
def test_axes_and_strides(axis, order, device) -> None:
    arr = tensor("ties", torch.float32, 5, 7, 205).to(device).permute(order)
    check(arr, 3, b=3, axis=axis)
    result = check(arr, 2, b=4, kb=1, axis=axis, largest=False, index_dtype=torch.int32)
    assert result.values.is_contiguous()
    assert result.indices.is_contiguous()


def test_unusual_memory(device) -> None:
    base = tensor("ties", torch.float32, 6, 2050).to(device)
    expanded = base[0].expand(4, -1)
    for arr in (
        *(base[:, ::2], base[::2, 1:], base[:, 1:2048], expanded, expanded.mT),
        *(base[:1].T.expand(-1, 3).mT, base[2], base[None, :, None, None, :300]),
    ):
        check(arr, 4, b=4)
    negated = torch.complex(base, base).conj().imag
    assert negated.is_neg()
    result = approxtopk.topk(negated, 4, b=4, sorted=True)
    assert torch.equal(bits(result.values), bits(approxtopk.topk(-base, 4, b=4, sorted=True)[0]))


def test_empty_results(device) -> None:
    for shape, k in (((3, 10), 0), ((0, 10), 4), ((3, 0), 0), ((0,), 0)):
        values, indices = approxtopk.topk(torch.zeros(shape, device=device), k)
        assert values.shape == indices.shape == (*shape[:-1], k)
        assert (values.device.type, indices.dtype) == (device, torch.int64)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_out_of_any_strides_is_written_in_place(dtype, device) -> None:
    arr = tensor("ties", dtype, 4, 500).to(device)
    expected = approxtopk.topk(arr, 6, b=50, sorted=True)
    for values, indices in (
        (torch.empty(4, 6, dtype=dtype), torch.empty(4, 6, dtype=torch.int64)),
        (torch.empty(6, 4, dtype=dtype).T, torch.empty(4, 12, dtype=torch.int64)[:, ::2]),
    ):
        out = (values.to(device), indices.to(device))
        result = approxtopk.topk(arr, 6, b=50, sorted=True, out=out)
        assert result.values is out[0]
        assert result.indices is out[1]
        assert torch.equal(bits(out[0]), bits(expected.values))
        assert torch.equal(out[1], expected.indices)


def test_repeats_are_identical_also_in_deterministic_mode(device) -> None:
    arr = tensor("ties", torch.float32, 16, 5000).to(device)
    first = approxtopk.topk(arr, 50, recall=0.95)
    torch.use_deterministic_algorithms(True)
    for _ in range(20):
        again = approxtopk.topk(arr, 50, recall=0.95)
        assert torch.equal(bits(again.values), bits(first.values))
        assert torch.equal(again.indices, first.indices)


def test_recall_measures_tensors(device) -> None:
    arr = torch.rand(20, 4096, device=device, dtype=torch.float64).to(torch.bfloat16)
    found = approxtopk.topk(arr, 32, recall=0.9)
    exact = approxtopk.topk(arr, 32, recall=1.0)
    assert approxtopk.recall(exact, exact) == 1.0
    assert 0.8 < approxtopk.recall(found, exact) <= 1.0
