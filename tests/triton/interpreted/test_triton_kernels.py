"""Every kernel in every dtype, by configurations that the policy wouldn't pick for small arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from adapters import to_array, to_tensor

import approxtopk
from approxtopk import Request
from approxtopk.testing import available_dtypes, dtype_of
from approxtopk_triton import launch, policy, schedule
from approxtopk_triton.backend import TritonBackend
from approxtopk_triton.kernels.buckets import longest
from approxtopk_triton.layout import row_layout
from approxtopk_triton.policy import Config, Device

FUSED, TWO_STAGES = Config(True, 4, 4), Config(False, 1, 2)
SPLIT = Config(False, 1, 1, splits=4)

#: shape, axis, k, b, kb, configuration, the kernels that must run.
PATHS = [
    ((3, 300), 1, 7, 20, 3, FUSED, "fused"),
    ((3, 300), 1, 7, 20, 3, TWO_STAGES, "bucket + select"),
    ((3, 300), 1, 60, 20, 3, TWO_STAGES, "bucket"),
    ((2, 1000), 1, 9, 6, 2, SPLIT, "bucket + merge + select"),
    ((2, 1000), 1, 12, 6, 2, SPLIT, "bucket + merge"),
    ((2, 90, 5), 1, 7, 10, 2, TWO_STAGES, "bucket + select"),
    ((2, 90, 5), 1, 20, 10, 2, SPLIT, "bucket + merge"),
    ((2, 300), 1, 7, 300, 1, TWO_STAGES, "select"),
    ((2, 7), 1, 7, 3, 3, TWO_STAGES, "bucket"),
    ((40, 8), 1, 3, 2, 2, TWO_STAGES, "bucket + select"),
    ((2, 300), 1, 30, 7, 8, TWO_STAGES, "bucket + select"),
]


def random_array(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Few distinct values, so that ties abound; all kinds of NaN, infinities, both zeros."""
    generator = np.random.default_rng(seed)
    kind = dtype_of(dtype)
    if np.dtype(kind).kind in "iu":
        info = np.iinfo(kind)
        values = np.array([info.min, info.min + 1, 0, 1, 5, info.max - 1, info.max], kind)
        return generator.choice(values, shape)
    array = generator.standard_normal(shape).astype(kind)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]).astype(kind)
    return np.where(generator.random(shape) < 0.6, generator.choice(special, shape), array)


def check(array: np.ndarray, request: Request, config: Config, kernels: str) -> None:
    tensor = to_tensor(array, "cpu")
    layout = row_layout(request.shape, request.axis, request.k, tensor.stride())
    assert layout is not None
    pipeline = launch.Pipeline(request, layout, Device(4, 32), config)
    assert pipeline.name == kernels
    values, indices = pipeline(tensor, None)
    got, at, axis = to_array(values), indices.numpy(), request.axis
    wanted = approxtopk.topk(
        *(array, request.k),
        **{name: getattr(request, name) for name in ("b", "kb", "largest", "interleaved")},
        axis=axis,
        sorted=request.sorted,
        backend="numpy",
    )
    if not request.sorted:
        assert (np.sort(at, axis) == np.sort(wanted.indices, axis)).all()
    else:
        assert (at == wanted.indices).all()
    gathered = np.take_along_axis(array, at, axis)
    width = f"u{array.dtype.itemsize}"
    assert (np.ascontiguousarray(gathered).view(width) == got.view(width)).all()


def some_dtypes(number: int) -> list[str]:
    """One of them, another one for each number. All dtypes run on a GPU."""
    dtypes = list(available_dtypes())
    return [dtypes[number % len(dtypes)]]


@pytest.mark.parametrize(
    ("path", "dtype"),
    [(path, dtype) for number, path in enumerate(PATHS) for dtype in some_dtypes(number)],
    ids=str,
)
def test_path(path: Any, dtype: str) -> None:
    shape, axis, k, b, kb, config, kernels = path
    for largest, interleaved in ((True, True), (False, config.fused)):
        array = random_array(shape, dtype, k + largest)
        how = {"largest": largest, "interleaved": interleaved}
        request = Request(shape, dtype, "cpu", axis, k, b, kb, **how)
        check(array, request, config, kernels)


@pytest.mark.parametrize(
    ("dtype", "k", "b", "kernels"),
    [
        ("float16", 10, 300, "narrow + select"),
        ("float64", 10, 150, "bucket + narrow + narrow + select"),
        ("int32", 32, 300, "narrow + narrow + select"),
        ("float32", 40, 150, "bucket + long"),
        ("int64", 40, 300, "long"),
    ],
)
def test_more_candidates_than_registers(
    monkeypatch: pytest.MonkeyPatch, dtype: str, k: int, b: int, kernels: str
) -> None:
    monkeypatch.setattr(policy, "RESIDENT", 128)
    monkeypatch.setattr(policy, "CHUNK", 64)
    monkeypatch.setattr(schedule, "SELECTED", 32)
    monkeypatch.setattr(schedule, "READ_AGAIN", 128)
    request = Request((2, 300), dtype, "cpu", 1, k, b, 300 // b)
    check(random_array((2, 300), dtype, k), request, TWO_STAGES, kernels)


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "int32",
        *(pytest.param(d, marks=pytest.mark.exhaustive) for d in ("int8", "float64")),
    ],
)
def test_selection_from_several_chunks(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """With and without codes, which wrap within a chunk; results in fewer lanes and in more."""
    monkeypatch.setattr(schedule, "SELECTED", 32)
    for k, interleaved in ((20, True), (70, True), (70, False)):
        array = random_array((2, 300), dtype, k)
        request = Request((2, 300), dtype, "cpu", 1, k, 45, 3, interleaved=interleaved)
        check(array, request, TWO_STAGES, "bucket + select")


@pytest.mark.parametrize("dtype", ["bfloat16", "int64"])
@pytest.mark.parametrize("k", [2, 33, 150])
def test_sorted(dtype: str, k: int) -> None:
    array = random_array((2, 400), dtype, k)
    request = Request((2, 400), dtype, "cpu", 1, k, 50, 3, sorted=True)
    kernels = "bucket + order" if k == 150 else "bucket + select + order"
    check(array, request, TWO_STAGES, kernels)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_strides_that_need_int64_offsets(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr("approxtopk_triton.layout.INT32_SPAN", 1)
    for config, kernels in ((FUSED, "fused"), (TWO_STAGES, "bucket + select")):
        array = random_array((3, 200), dtype, 0)
        check(array, Request((3, 200), dtype, "cpu", 1, 5, 10, 2), config, kernels)


@triton.jit
def longest_kernel(out, n, b):
    tl.store(out, longest(n, b))


def test_no_sum_of_n_and_b_passes_2_31() -> None:
    out = torch.zeros(1, dtype=torch.int32)
    for n, b in ((policy.MOST_NUMBERED, 2**20), (policy.MOST_NUMBERED, 1), (7, 7), (8, 7)):
        longest_kernel[(1,)](out, n, b)
        assert out.item() == -(-n // b)


@pytest.mark.exhaustive  # as long rows and more of them are selected from on a GPU
def test_rows_beyond_65535() -> None:
    array = np.random.default_rng(0).standard_normal((66000, 2), np.float32)
    values, indices = approxtopk.topk(torch.from_numpy(array), 1, b=1, kb=1, backend="triton")
    assert (indices.numpy()[:, 0] == array.argmax(1)).all()
    assert (values.numpy()[:, 0] == array.max(1)).all()


def test_out_is_written_in_place_whatever_its_strides() -> None:
    arr = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    values, indices = torch.empty(4, 6).t(), torch.empty(6, 4, dtype=torch.int64)
    result = approxtopk.topk(arr, 4, b=8, kb=1, backend="triton", out=(values, indices))
    assert result.values is values
    assert result.indices is indices
    assert torch.equal(arr.gather(1, indices), values)


def test_gradients_and_explain() -> None:
    arr = torch.randn(3, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    values, indices = approxtopk.topk(arr, 5, b=16, kb=1, backend="triton")
    values.sum().backward()
    assert torch.equal(arr.grad, torch.zeros(3, 64).scatter(1, indices, 1.0))
    told = approxtopk.explain(arr.detach(), 5, b=16, kb=1, backend="triton")
    assert told.kernel
    assert told.workspace_bytes >= 0
    assert told.read_again_bytes == 0
    how = {"b": 16, "kb": 1, "backend": "triton", "certificate": True}
    flagged = approxtopk.plan(64, 5, b=16, kb=1).read_again
    assert approxtopk.explain(arr.detach(), 5, **how).read_again_bytes == 3 * 4 * flagged


def test_configurations_agree() -> None:
    """Whatever tuning may choose, the answer is the same."""
    arr = torch.randn(3, 2048, generator=torch.Generator().manual_seed(0))
    request = Request((3, 2048), "float32", "cpu", 1, 9, 64, 2)
    layout = row_layout(request.shape, 1, 9, arr.stride())
    assert layout is not None
    answers = set()
    for config in policy.configurations(request, layout, Device(4, 32)):
        _, indices = launch.Pipeline(request, layout, Device(4, 32), config)(arr, None)
        answers.add(tuple(indices.sort(1).values.flatten().tolist()))
    assert len(answers) == 1


def test_few_pipelines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approxtopk_triton.backend.MOST_KEPT", 2)
    backend = TritonBackend()
    for n in (20, 21, 22, 20):
        arr = torch.arange(float(n))[None]
        values, _ = backend.topk(arr, Request((1, n), "float32", "cpu", 1, 1, 4, 1))
        assert values.item() == n - 1
        assert 1 <= len(backend._pipelines) <= 2


def test_serves_cpu_tensors_only_where_interpreted() -> None:
    status = {status.name: status for status in approxtopk.backends()}["triton"]
    assert status.usable
    assert status.device_kinds == ("cpu",)
    assert TritonBackend().describe(torch.zeros(2)) == ((2,), "float32", "cpu")
