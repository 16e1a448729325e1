"""Arrays of other libraries on a CUDA device: their memory, their streams, their kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import approxtopk

pytest.importorskip("cupy.cuda")

import cupy
from work import PLANS, Described, agrees, no_waiting, normal, select, spin

pytestmark = [
    *(pytest.mark.gpu, pytest.mark.usefixtures("usable")),
    # Numba computes with what NumPy deprecates.
    pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning"),
]


def test_read_only_arrays_are_read_and_not_written(plan: Any) -> None:
    arr = normal(plan[0])
    assert agrees(select(Described(arr, read_only=True), plan), arr, plan)
    values, indices = select(arr, plan)
    with pytest.raises(ValueError, match=r"out\[0\] \(values\) must be writable"):
        select(arr, plan, out=(Described(values, read_only=True), indices))
    out = Described(values), Described(indices)
    values[...], indices[...] = 0, 0
    assert select(arr, plan, out=out).values is out[0]
    assert agrees((values, indices), arr, plan)


def test_a_view_is_no_copy() -> None:
    from approxtopk_cupy import foreign

    arr = normal((4, 100))[:, ::2]
    view = foreign.borrow(Described(arr))
    assert (view.data.ptr, view.strides, view.shape) == (arr.data.ptr, arr.strides, arr.shape)


def test_the_named_stream_and_the_current_one_wait_for_each_other(plan: Any) -> None:
    arr, fresh = cupy.zeros(plan[0], "f4"), normal(plan[0])
    owner, current = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    select(Described(arr, owner.ptr), plan)
    cupy.cuda.Device().synchronize()
    with owner:
        spin(0.1)
        arr[...] = fresh
    with current:
        result = select(Described(arr, owner.ptr), plan)  # sees what the owner wrote
        spin(0.1)
        again = select(Described(arr, owner.ptr), plan)
    with owner:
        arr[...] = np.inf  # must not be seen by the call before
    cupy.cuda.Device().synchronize()
    assert agrees(result, fresh, plan)
    assert agrees(again, fresh, plan)


def test_no_library_makes_the_host_wait(plan: Any) -> None:
    jnp = pytest.importorskip("jax.numpy")
    from numba import cuda

    arr = normal(plan[0])
    owner = cupy.cuda.Stream(non_blocking=True)
    jax_array = jnp.asarray(cupy.asnumpy(arr))
    numba_array = cuda.as_cuda_array(Described(arr, owner.ptr), sync=False)
    assert numba_array.__cuda_array_interface__["stream"] == owner.ptr
    for given in (jax_array, numba_array):
        select(given, plan)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as current:
        for given in (jax_array, numba_array):
            with no_waiting():
                result = select(given, plan)
            current.synchronize()
            assert agrees(result, arr, plan)


def test_memory_is_not_given_back_before_it_is_read() -> None:
    from approxtopk_cupy import foreign

    released = []

    class Owner(Described):
        def __del__(self) -> None:
            released.append(True)

    plan = PLANS["fused"]
    arr = normal(plan[0])
    select(Described(arr), plan)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        spin(0.1)
        select(Owner(arr), plan)
        assert not released
        stream.synchronize()
        select(Described(arr), plan)
        assert released
        stream.synchronize()
    assert len(foreign._kept) <= 1


def test_jax_arrays_are_answered_in_kind() -> None:
    jax = pytest.importorskip("jax")
    plan = PLANS["fused"]
    arr = normal(plan[0])
    given = jax.device_put(cupy.asnumpy(arr))
    result = select(given, plan, certificate=True)
    assert all(isinstance(array, jax.Array) for array in result)
    assert all(array.devices() == given.devices() for array in result)
    assert agrees(result[:2], arr, plan)
    assert (jax.numpy.take_along_axis(given, result.indices, -1) == result.values).all()
    with pytest.raises(ValueError, match="must be writable, got a read-only"):
        select(given, plan, out=result[:2])
    for step in range(20):  # temporaries whose memory JAX wants again at once
        fresh = select(given + step, plan)
        assert (fresh.values == result.values + step).all()


def test_jax_in_jit_says_what_is_wrong() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="call outside jit"):
        jax.jit(lambda x: approxtopk.topk(x, 3))(jax.numpy.zeros(100))


def test_torch_tensors_are_answered_in_kind() -> None:
    torch = pytest.importorskip("torch")
    arr = torch.randn(4, 5000, device="cuda").to(torch.bfloat16)
    ours = approxtopk.topk(arr, 30, b=128, kb=2, sorted=True, backend="cupy")
    its = approxtopk.topk(arr, 30, b=128, kb=2, sorted=True, backend="torch")
    assert torch.equal(ours.values, its.values)
    assert torch.equal(ours.indices, its.indices)


def on_jax(arr: Any) -> Any:
    jax = pytest.importorskip("jax")
    return jax.device_put(cupy.asnumpy(arr), jax.devices()[arr.data.device_id])


def on_numba(arr: Any) -> Any:
    return pytest.importorskip("numba.cuda").as_cuda_array(Described(arr))


def on_torch(arr: Any) -> Any:
    return pytest.importorskip("torch").from_dlpack(arr)


@pytest.mark.parametrize("other", [on_jax, on_numba, on_torch])
def test_what_libraries_hold_is_not_copied(other: Callable[[Any], Any]) -> None:
    from approxtopk_cupy import foreign

    given = other(normal((4, 100)))
    assert foreign.borrow(given).data.ptr == given.__cuda_array_interface__["data"][0]


@pytest.mark.parametrize("other", [on_jax, on_numba, on_torch])
def test_a_device_that_is_not_current(other: Callable[[Any], Any]) -> None:
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two CUDA devices")
    plan = PLANS["fused"]
    with cupy.cuda.Device(1):  # which JAX leaves current after putting something there
        arr = normal(plan[0])
        given = other(arr)
    result = select(given, plan)
    assert cupy.cuda.runtime.getDevice() == 0
    assert all(cupy.from_dlpack(array).data.device_id == 1 for array in result)
    with cupy.cuda.Device(1):
        assert agrees(result, arr, plan)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: np.zeros(100, "f4"), TypeError, "serves cuda arrays, not cpu"),
        (lambda: Described(cupy.zeros(100, "f4"), mask=1), TypeError, "mask"),
        (lambda: Described(cupy.zeros(100, "f4"), typestr=">f4"), TypeError, ">f4"),
        (lambda: cupy.zeros(100, "c8"), TypeError, "complex64"),
        (lambda: cupy.zeros(404, "i1")[1:401], None, ""),
        (
            lambda: cupy.ndarray(100, "f4", cupy.cuda.alloc(404) + 1),
            ValueError,
            "multiples of their elements' size",
        ),
    ],
)
def test_refusals(make: Callable[[], Any], error: Any, words: str) -> None:
    if error is None:
        approxtopk.topk(make(), 3, backend="cupy")
        return
    with pytest.raises(error, match=words):
        approxtopk.topk(make(), 3, backend="cupy")
