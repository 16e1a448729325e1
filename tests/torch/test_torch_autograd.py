"""Derivatives, functional transforms and subclasses."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from answers import tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, hessian, jacrev, jvp, vmap

import approxtopk

# torch's own forward mode still scripts its decompositions.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def values(arr: torch.Tensor, **arguments) -> torch.Tensor:
    return approxtopk.topk(arr, 3, **{"b": 6, "kb": 1, "sorted": True, **arguments}).values


def cubes(arr: torch.Tensor) -> torch.Tensor:
    return (values(arr) ** 3).sum()


def by_hand(arr: torch.Tensor) -> torch.Tensor:
    """`cubes` with the selection taken for given, so that its derivatives are torch's."""
    indices = approxtopk.topk(arr.detach(), 3, b=6, kb=1, sorted=True).indices
    return (arr.gather(-1, indices) ** 3).sum()


@pytest.fixture
def arr(device: str) -> torch.Tensor:
    return torch.randn(4, 15, dtype=torch.float64, device=device)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32], ids=str)
def test_gradcheck(device, axis, index_dtype) -> None:
    arr = torch.randn(8, 7, dtype=torch.float64, device=device, requires_grad=True)

    def call(arr: torch.Tensor) -> torch.Tensor:
        return values(arr, axis=axis, index_dtype=index_dtype)

    assert gradcheck(call, arr, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(call, arr, check_fwd_over_rev=True)


def test_gradient_goes_to_what_was_selected_at_ties(device) -> None:
    arr = torch.ones(2, 10, device=device, requires_grad=True)
    approxtopk.topk(arr, 4, b=5, kb=1).values.sum().backward()
    expected = torch.tensor([[1.0] * 4 + [0.0] * 6] * 2, device=device)
    assert torch.equal(arr.grad, expected)


def test_two_backwards_accumulate(arr) -> None:
    arr.requires_grad_()
    loss = cubes(arr)
    loss.backward(retain_graph=True)
    once = arr.grad.clone()
    loss.backward()
    assert torch.equal(arr.grad, 2 * once)
    assert once.count_nonzero() == 12


def test_indices_carry_no_gradient_and_integers_need_none(arr, device) -> None:
    result = approxtopk.topk(arr.requires_grad_(), 3)
    assert result.values.requires_grad
    assert not result.indices.requires_grad
    assert not approxtopk.topk(torch.arange(9, device=device), 3).values.requires_grad


def test_no_gradient_is_recorded_where_none_is_wanted(arr) -> None:
    parameter = torch.nn.Parameter(arr)
    expected = values(arr)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            result = values(parameter)
        assert not result.requires_grad
        assert torch.equal(result, expected)
    with torch.inference_mode():
        assert torch.equal(values(arr.clone()), expected)


def test_gradient_in_deterministic_mode(arr) -> None:
    torch.use_deterministic_algorithms(True)
    cubes(arr.requires_grad_()).backward()
    assert torch.equal(arr.grad, grad(by_hand)(arr.detach()))


def test_exact_plans_through_the_operator(arr) -> None:
    expected = torch.topk(arr, 3).values
    found = approxtopk.topk(arr.requires_grad_(), 3, recall=1.0, sorted=True).values
    assert torch.equal(found, expected)


def test_functional_derivatives(arr) -> None:
    assert torch.equal(grad(cubes)(arr), grad(by_hand)(arr))
    assert torch.equal(jacrev(cubes)(arr), jacrev(by_hand)(arr))
    assert torch.equal(hessian(cubes)(arr), hessian(by_hand)(arr))
    assert torch.equal(vmap(grad(cubes))(arr), grad(by_hand)(arr))
    for ours, theirs in zip(jvp(cubes, (arr,), (arr,)), jvp(by_hand, (arr,), (arr,)), strict=True):
        assert torch.equal(ours, theirs)


def test_forward_mode(arr) -> None:
    indices = approxtopk.topk(arr, 3, b=6, kb=1, sorted=True).indices
    tangent = torch.randn_like(arr)
    with forward_ad.dual_level():
        result = forward_ad.unpack_dual(values(forward_ad.make_dual(arr, tangent)))
    assert torch.equal(result.tangent, tangent.gather(-1, indices))


@pytest.mark.parametrize("in_dim", [0, 1, 2, -1])
@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_vmap(device, in_dim, axis) -> None:
    arr = tensor("ties", torch.float32, 8, 9, 10).to(device)

    def call(one: torch.Tensor) -> approxtopk.TopK:
        return approxtopk.topk(one, 3, b=6, axis=axis, sorted=True)

    mapped = vmap(call, in_dims=in_dim)(arr)
    for number, one in enumerate(arr.unbind(in_dim)):
        expected = call(one)
        assert torch.equal(mapped.values[number], expected.values)
        assert torch.equal(mapped.indices[number], expected.indices)


def test_vmap_of_vmap_and_of_an_unmapped_argument(device) -> None:
    arr = torch.randn(3, 4, 50, device=device)
    one = arr[0, 0]
    assert torch.equal(vmap(vmap(values))(arr), values(arr))
    added = vmap(lambda x, y: values(x) + values(y), in_dims=(0, None))(arr[0], one)
    assert torch.equal(added, values(arr[0]) + values(one))


class Named(torch.Tensor):
    """A subclass that keeps its type and counts what is done to it."""

    calls: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(str(func))
        return super().__torch_function__(func, types, args, kwargs or {})


def test_subclasses_see_one_operator_and_keep_their_type(device) -> None:
    arr = torch.randn(4, 50, device=device)
    Named.calls.clear()
    result = approxtopk.topk(arr.as_subclass(Named), 3, sorted=True)
    assert [call for call in Named.calls if "topk" in call] == ["approxtopk.topk.default"]
    assert type(result.values) is type(result.indices) is Named
    expected = approxtopk.topk(arr, 3, sorted=True)
    assert torch.equal(result.values.as_subclass(torch.Tensor), expected.values)


def test_parameters_learn(device) -> None:
    layer = torch.nn.Linear(8, 40, device=device)
    logits = layer(torch.randn(5, 8, device=device))
    approxtopk.topk(logits, 4, recall=0.9).values.logsumexp(-1).sum().backward()
    assert layer.weight.grad.count_nonzero() > 0
    grown = approxtopk.topk(layer.weight, 2, axis=0, recall=0.9).values  # of the Parameter itself
    assert grown.requires_grad
    assert type(grown) is torch.Tensor
