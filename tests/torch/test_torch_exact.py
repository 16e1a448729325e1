"""Certificates and exact answers through torch's own machinery, and torch's own operations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from answers import bits, tensor

import approxtopk
from approxtopk_torch import native

# torch's own tracing uses what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

PLAN = {"b": 8, "kb": 2}  #: some rows of 100 random elements keep their top 6, some don't


def certified(arr: torch.Tensor, **how) -> approxtopk.CertifiedTopK:
    values, indices, exact = approxtopk.topk(arr, 6, sorted=True, certificate=True, **PLAN, **how)
    return approxtopk.CertifiedTopK(values * 2, indices, exact)


def same(one, other) -> bool:
    return all(torch.equal(bits(a), bits(b)) for a, b in zip(one, other, strict=True))


def rows(device: str) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(40, 100, device=device)


def test_the_certificate_is_what_a_sort_says(device) -> None:
    arr = rows(device)
    exact = certified(arr).exact
    true = arr.sort(descending=True, stable=True).indices[:, :6]
    assert torch.equal(exact, (certified(arr).indices == true).all(-1))
    assert 0 < int(exact.sum()) < 40
    assert torch.equal(approxtopk.topk(arr, 6, sorted=True, recall=1.0, **PLAN).indices, true)


def test_one_graph_without_a_break(device) -> None:
    compiled = torch.compile(certified, fullgraph=True, backend="aot_eager")
    for how in ({}, {"recall": 1.0}):
        result = compiled(rows(device), **how)
        assert isinstance(result, approxtopk.CertifiedTopK)
        assert same(result, certified(rows(device), **how))
    torch._dynamo.reset()


def test_gradients(device) -> None:
    arr = rows(device).double().requires_grad_()
    for how in ({}, {"recall": 1.0}):
        result = certified(arr, **how)
        assert not result.exact.requires_grad
        (got,) = torch.autograd.grad(result.values.square().sum(), arr)
        expected = torch.zeros_like(arr).scatter(1, result.indices, 4 * result.values.detach())
        assert torch.equal(got, expected)
    small = arr.detach()[:2, :20].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: certified(x, recall=1.0).values, small)


def test_vmap(device) -> None:
    arr = rows(device)
    mapped = torch.func.vmap(certified, in_dims=1)(arr.mT)
    assert same(mapped, certified(arr))
    assert torch.func.vmap(certified)(arr[:, None]).exact.shape == (40, 1)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_shapes_of_fake_and_empty_tensors(device, axis) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        exact = approxtopk.topk(
            torch.empty(70, 80, 90, device=device), 5, axis=axis, certificate=True
        ).exact
    assert (exact.shape, exact.dtype) == (torch.zeros(70, 80, 90).amax(axis).shape, torch.bool)
    none = approxtopk.topk(torch.zeros(3, 4, device=device), 0, axis=-1, certificate=True)
    assert none.exact.tolist() == [True] * 3


def test_opcheck(device) -> None:
    arr = tensor("distinct", torch.float32, 6, 7, 50).to(device)
    for one in (arr, arr.mT, arr.clone().requires_grad_()):
        for how in (
            (None, None, 1.0, -1, True, False, True, torch.int64, None),
            (3, 2, None, 0, False, True, False, torch.int32, "torch"),
        ):
            torch.library.opcheck(torch.ops.approxtopk.certified_topk.default, (one, 4, *how))


def test_out_is_a_pair(device) -> None:
    arr = rows(device)
    out = torch.empty(40, 6, device=device), torch.empty(40, 6, dtype=torch.int64, device=device)
    result = approxtopk.topk(arr, 6, sorted=True, certificate=True, out=out, **PLAN)
    assert result.values is out[0]
    assert result.indices is out[1]
    assert torch.equal(result.exact, certified(arr).exact)


def test_what_torch_operations_read_again(monkeypatch) -> None:
    """Rows that have no certificate, for an exact answer, where groups don't tell."""
    taken = []

    def counted(rows, request, select=native.select_by_buckets):
        taken.append(rows.numel())
        return select(rows, request)

    monkeypatch.setattr(native, "select_by_buckets", counted)
    monkeypatch.setattr(native, "_group_length", lambda request: None)
    arr = torch.rand(3000, 100, generator=torch.Generator().manual_seed(0))
    plain = approxtopk.Request(arr.shape, "float32", "cpu", 1, 6, 8, 2)
    certified, exact = replace(plain, certificate=True), replace(plain, exact=True)
    for request in (plain, certified, exact):
        taken.clear()
        native.topk(arr, request)
        first, *again = taken
        assert first == arr.numel()
        if request is exact:
            assert 4 * sum(again) == pytest.approx(native.read_again(request), rel=0.1)
        else:
            assert not again
            assert native.read_again(request) == 0
    monkeypatch.setattr(native, "_group_length", lambda request: 2)
    assert native.read_again(exact) == 0


def test_who_selects_is_asked(monkeypatch) -> None:
    """A tensor on the CPU is Numba's, or one for torch's own operations."""
    monkeypatch.setattr("approxtopk_torch.cpu.read_again", lambda request: 7.0)
    asked = approxtopk.explain(torch.zeros(40, 100), 6, certificate=True, backend="torch", **PLAN)
    assert asked.read_again_bytes == (7 if "keys first" in asked.kernel else 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bfloat16])
@pytest.mark.parametrize("kind", ["ties", "distinct"])
def test_torch_operations_repair_without_groups(dtype, kind, monkeypatch) -> None:
    """As on devices that have no kernels of their own."""
    monkeypatch.setattr(native, "_group_length", lambda request: None)
    arr = tensor(kind, dtype, 30, 100)
    for largest in (True, False):
        request = approxtopk.Request(
            *(arr.shape, str(dtype).removeprefix("torch."), "cpu", 1, 6, 8, 1, largest, True),
            exact=True,
        )
        true = approxtopk.topk(arr, 6, b=100, kb=1, largest=largest, sorted=True)
        assert same(native.topk(arr, request), true)
