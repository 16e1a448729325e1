"""A process whose first call of approxtopk is traced; run by test_torch_compile."""

import torch

import approxtopk


@torch.compile(fullgraph=True, backend="aot_eager")
def select(arr: torch.Tensor) -> approxtopk.TopK:
    return approxtopk.topk(arr, 3, recall=0.99)


torch._dynamo.config.error_on_recompile = True
arr = torch.rand(4, 50)
traced = [select(arr) for _ in range(3)][-1]
eager = approxtopk.topk(arr, 3, recall=0.99)
assert torch.equal(traced.values, eager.values)
assert torch.equal(traced.indices, eager.indices)

counters = torch._dynamo.utils.counters
print(
    sum(counters["graph_break"].values()),
    "breaks,",
    counters["stats"]["unique_graphs"],
    "graph",
)
