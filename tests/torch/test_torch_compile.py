"""Tracing: torch.compile, torch.export, make_fx, fake tensors, and torch's check of operators."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from answers import bits, tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import approxtopk

# torch's own tracing uses what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

COMPILER = pytest.param(
    "inductor",
    marks=pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler"),
)


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def selected(arr: torch.Tensor, k: int = 5) -> approxtopk.TopK:
    values, indices = approxtopk.topk(arr, k, recall=0.95, sorted=True)
    return approxtopk.TopK(values * 2, indices)


def same(one: approxtopk.TopK, other: approxtopk.TopK) -> bool:
    return torch.equal(bits(one[0]), bits(other[0])) and torch.equal(one[1], other[1])


def test_the_first_call_of_a_process_is_compiled_without_a_break() -> None:
    """Nothing of approxtopk's plug-ins is loaded when tracing begins."""
    script = Path(__file__).with_name("first_call.py")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["0", "breaks,", "1", "graph"]


@pytest.mark.parametrize("backend", ["aot_eager", COMPILER])
def test_one_graph_without_a_break(device, backend) -> None:
    compiled = torch.compile(selected, fullgraph=True, backend=backend)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            arr = tensor("ties", torch.float32, 4, 300).to(device)
            result = compiled(arr)
            assert isinstance(result, approxtopk.TopK)
            assert same(result, selected(arr))


def test_two_graphs_serve_all_lengths_and_any_number_of_rows(device) -> None:
    compiled = torch.compile(selected, fullgraph=True, backend="aot_eager")
    compiled(torch.rand(3, 100, device=device))
    compiled(torch.rand(4, 200, device=device))  # now both lengths are symbols
    with torch._dynamo.config.patch(error_on_recompile=True):
        for rows, n in ((5, 300), (2, 77), (9, 5000)):
            arr = torch.rand(rows, n, device=device)
            assert same(compiled(arr), selected(arr))


def test_k_as_an_argument(device) -> None:
    compiled = torch.compile(selected, fullgraph=True, backend="aot_eager")
    arr = torch.rand(3, 100, device=device)
    for k in (5, 6, 9, 40):
        assert same(compiled(arr, k), selected(arr, k))


def test_all_arguments(device) -> None:
    def call(arr: torch.Tensor) -> approxtopk.TopK:
        kinds = {"index_dtype": torch.int32, "backend": "torch"}
        order = {"largest": False, "sorted": True, "interleaved": False}
        return approxtopk.topk(arr, 6, b=10, kb=2, dim=0, **order, **kinds)

    arr = tensor("ties", torch.bfloat16, 70, 3).to(device)
    assert same(torch.compile(call, fullgraph=True, backend="aot_eager")(arr), call(arr))


def test_gradients_of_a_compiled_function(device) -> None:
    arr = torch.randn(4, 200, device=device, requires_grad=True)
    (expected,) = torch.autograd.grad(selected(arr).values.square().sum(), arr)
    result = torch.compile(selected, fullgraph=True, backend="aot_eager")(arr)
    assert not result.indices.requires_grad
    assert torch.equal(torch.autograd.grad(result.values.square().sum(), arr)[0], expected)


def test_nothing_is_gathered_where_no_gradient_is_wanted() -> None:
    graphs = []

    def keep(graph, _):
        graphs.append(graph)
        return graph

    arr = torch.rand(3, 100)
    torch.compile(selected, backend=torch._dynamo.backends.common.aot_autograd(fw_compiler=keep))(
        arr
    )
    names = [str(node.target) for node in graphs[0].graph.nodes if node.op == "call_function"]
    assert "approxtopk.topk.default" in names
    assert not any("gather" in name for name in names)


def test_transforms_inside_a_compiled_function(device) -> None:
    def call(arr: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(torch.func.grad(lambda row: selected(row).values.sum()))(arr)

    arr = torch.randn(4, 60, device=device)
    assert torch.equal(torch.compile(call, fullgraph=True, backend="aot_eager")(arr), call(arr))


def test_out_in_a_compiled_function(device) -> None:
    def call(arr: torch.Tensor, values: torch.Tensor, indices: torch.Tensor) -> None:
        approxtopk.topk(arr, 5, b=20, sorted=True, out=(values, indices))

    arr = torch.rand(3, 100, device=device)
    out = torch.empty(3, 5, device=device), torch.empty(3, 5, dtype=torch.int64, device=device)
    torch.compile(call, fullgraph=True, backend="aot_eager")(arr, *out)
    assert same(approxtopk.TopK(*out), approxtopk.topk(arr, 5, b=20, sorted=True))


def test_the_choice_of_a_backend_is_made_when_the_graph_runs(device) -> None:
    compiled = torch.compile(selected, fullgraph=True, backend="aot_eager")
    arr = torch.rand(3, 100, device=device)
    compiled(arr)
    with approxtopk.use_backend("numpy"), pytest.raises(approxtopk.NoBackendError):
        compiled(arr)


def test_errors_of_a_compiled_call(device) -> None:
    compiled = torch.compile(selected, fullgraph=True, backend="aot_eager")
    arr = torch.rand(3, 100, device=device)
    with pytest.raises(Exception, match=r"k must be in \[0, 100\]"):
        compiled(arr, 101)
    with pytest.raises(Exception, match="k must be an integer, got the bool True"):
        compiled(arr, True)
    with pytest.raises(Exception, match="arr has dtype bool; supported are"):
        compiled(arr > 0)
    assert same(compiled(arr), selected(arr))


def test_export(device) -> None:
    class Module(torch.nn.Module):
        def forward(self, arr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return tuple(selected(arr))

    n = torch.export.Dim("n", min=8)
    arr = torch.rand(3, 100, device=device)
    for strict in (True, False):
        exported = torch.export.export(
            Module(), (arr,), dynamic_shapes={"arr": {1: n}}, strict=strict
        )
        other = torch.rand(3, 333, device=device)
        assert same(exported.module()(other), selected(other))


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_records_one_operator(device, mode) -> None:
    arr = torch.rand(3, 100, device=device)
    graph = make_fx(lambda arr: approxtopk.topk(arr, 5, sorted=True), tracing_mode=mode)(arr)
    targets = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert targets[0] is torch.ops.approxtopk.topk.default
    assert same(graph(arr), approxtopk.topk(arr, 5, sorted=True))


def test_fake_tensors_have_the_right_shape_and_strides(device) -> None:
    with FakeTensorMode():
        arr = torch.empty(4, 5, 600, device=device, dtype=torch.float16).mT
        values, indices = approxtopk.topk(arr, 7, axis=1, index_dtype="int32")
    assert values.shape == indices.shape == (4, 7, 5)
    assert (values.dtype, indices.dtype) == (torch.float16, torch.int32)
    assert values.stride() == approxtopk.topk(torch.zeros(4, 600, 5), 7, axis=1)[0].stride()
    assert values.device.type == device


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_opcheck(device, dtype) -> None:
    arr = tensor("distinct", dtype, 6, 7, 50).to(device)
    for one in (arr, arr.mT, arr.clone().requires_grad_(dtype.is_floating_point)):
        for how in (
            (None, None, 0.9, -1, True, False, True, torch.int64, None),
            (3, 2, None, 0, False, True, False, torch.int32, "torch"),
        ):
            torch.library.opcheck(torch.ops.approxtopk.topk.default, (one, 4, *how))
