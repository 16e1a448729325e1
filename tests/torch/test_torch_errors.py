"""What can't be served is refused with one clear message, before anything is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from answers import bits

import approxtopk


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.complex64, torch.uint16, torch.float8_e4m3fn], ids=str
)
def test_unsupported_dtypes(dtype, device) -> None:
    arr = torch.zeros(4, 10, device=device).to(dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(TypeError, match=f"arr has dtype {name}; supported are float16, bfloat16"):
        approxtopk.topk(arr, 2)


def test_sparse_tensors(device) -> None:
    for arr in (torch.eye(4, device=device).to_sparse(),):
        with pytest.raises(
            TypeError, match=r"arr has layout torch.sparse_coo; .*arr\.to_dense\(\)"
        ):
            approxtopk.topk(arr, 2)


def test_meta_tensors_hold_no_data() -> None:
    with pytest.raises(approxtopk.NoBackendError, match="torch: a tensor on meta holds no data"):
        approxtopk.topk(torch.empty(4, 10, device="meta"), 2)


def test_arrays_of_another_kind_as_out() -> None:
    arr = torch.rand(3, 10)
    with pytest.raises(TypeError, match=r"out\[0\] \(values\) must be a Tensor like arr"):
        approxtopk.topk(arr, 2, out=(np.empty((3, 2), np.float32), np.empty((3, 2), np.int64)))


def outputs(*shape: int, values=torch.float32, indices=torch.int64, device="cpu"):
    return (
        torch.full(shape, 7, dtype=values, device=device),
        torch.full(shape, 7, dtype=indices, device=device),
    )


def test_out_must_fit_and_is_not_touched_otherwise(device) -> None:
    arr = torch.rand(3, 10, device=device)
    read_only = (
        torch.zeros(3, 1, device=device).expand(3, 2),
        outputs(3, 2, device=device)[1],
    )
    learning = outputs(3, 2, device=device)
    learning[0].requires_grad_()
    for out, message in (
        (outputs(3, 3, device=device), r"out\[0\] \(values\) must have shape \(3, 2\)"),
        (outputs(3, 2, values=torch.float64, device=device), "must have dtype float32"),
        (outputs(3, 2, indices=torch.int32, device=device), r"out\[1\] .* dtype int64"),
        (outputs(3, 2, device="meta"), f"must have device {device}"),
        (read_only, r"out\[0\] \(values\) must be writable"),
        (learning, r"out\[0\] \(values\) must be writable"),
    ):
        with pytest.raises(ValueError, match=message):
            approxtopk.topk(arr, 2, out=out)
        assert out[0].device.type == "meta" or bool((out[0].detach() == out[0][0, 0]).all())


def test_overlap_is_exact(device) -> None:
    memory = torch.rand(60, device=device)
    arr = memory[:40].view(2, 20)
    indices = torch.empty(2, 3, dtype=torch.int64, device=device)
    beside = memory[40:46].view(2, 3)
    assert approxtopk.topk(arr, 3, out=(beside, indices)).values is beside
    even, odd = memory[::2].view(2, 15), memory[1:13:2].view(2, 3)  # interleaved, yet disjoint
    assert approxtopk.topk(even, 3, out=(odd, indices)).values is odd
    for values in (memory[39:45].view(2, 3), memory[:6].view(2, 3), arr[:, :3]):
        before = bits(memory)
        with pytest.raises(ValueError, match=r"out\[0\] \(values\) must not overlap arr in memory"):
            approxtopk.topk(arr, 3, out=(values, indices))
        assert torch.equal(bits(memory), before)
    both = torch.zeros(2, 3, dtype=torch.int64, device=device)
    with pytest.raises(ValueError, match="must not overlap in memory"):
        approxtopk.topk(torch.ones(2, 20, dtype=torch.int64, device=device), 3, out=(both, both))


def test_out_where_a_gradient_is_wanted(device) -> None:
    arr = torch.rand(3, 10, device=device, requires_grad=True)
    out = outputs(3, 2, device=device)
    with pytest.raises(ValueError, match="out must be None where arr requires grad"):
        approxtopk.topk(arr, 2, out=out)
    assert bool((out[0] == 7).all())
    with torch.no_grad():
        approxtopk.topk(arr, 2, out=out)
    assert bool((out[0] != 7).all())


def test_the_process_is_usable_after_an_error(device) -> None:
    arr = torch.rand(3, 10, device=device)
    with pytest.raises(ValueError, match=r"k must be in \[0, 10\]"):
        approxtopk.topk(arr, 11)
    assert approxtopk.topk(arr, 2).values.shape == (3, 2)
