"""`explain`: what a call would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import dispatch
from .api import describers, meet, resolve, same_axis
from .planner import Plan


@dataclass(frozen=True)
class Explanation:
    """What a call would do, as returned by `explain`; ``str()`` of it is a short report.

    Attributes
    ----------
    backend : str
        Name of the backend that serves the call.
    kernel : str
        What it runs, in a few words.
    plan : Plan
        Buckets and queue length, with the expected recall.
    expected_recall : float
        The plan's; on randomly ordered values.
    repair_probability : float
        The share of rows whose true top-k the plan's two stages are expected to miss, on randomly
        ordered values. They get no certificate, unless the answer is to be exact.
    read_again_bytes : float
        Bytes of all rows that the backend expects to read again for certificates, or to make
        answers exact, besides what it takes to select; on randomly ordered distinct values. 0 where
        neither is asked for, and where to select is to know: from whole rows, from rows in
        registers or in shared memory, or by the second look at an array that CPU backends take to
        find any winners. Ties and other orders can make it more.
    workspace_bytes : int
        Extra memory besides the output.
    certificate : bool
        Whether a boolean per row was asked for.
    passed_over : dict
        Backends that were preferred but skipped, each with the reason.
    """

    backend: str
    kernel: str
    plan: Plan
    expected_recall: float
    repair_probability: float
    read_again_bytes: float
    workspace_bytes: int
    certificate: bool
    passed_over: dict[str, str]

    def __str__(self) -> str:
        plan = self.plan
        lines = [
            f"backend    {self.backend}",
            f"kernel     {self.kernel}",
            f"plan       n={plan.n} k={plan.k} b={plan.b} kb={plan.kb}: "
            f"{plan.candidates} candidates",
            f"recall     {self.expected_recall:.6f} expected" + (", exact" * plan.exact),
        ]
        if self.repair_probability and (plan.exact or self.certificate):
            wrong = "need more than b and kb find" if plan.exact else "be not certified"
            read = round(self.read_again_bytes)
            again = f"{read} bytes" if read else "nothing"
            lines.append(
                f"rows       {self.repair_probability:.3g} of them expected to {wrong}, "
                f"{again} read again"
            )
        lines.append(f"workspace  {self.workspace_bytes} bytes")
        lines += [f"not {name}: {reason}" for name, reason in self.passed_over.items()]
        return "\n".join(lines)


def explain(
    arr: Any,
    k: int,
    *,
    b: int | None = None,
    kb: int | None = None,
    recall: float | None = None,
    axis: int = -1,
    largest: bool = True,
    sorted: bool = False,
    interleaved: bool = True,
    index_dtype: Any = None,
    certificate: bool = False,
    backend: str | None = None,
    dim: int | None = None,
) -> Explanation:
    """Say which backend, kernel and plan `topk` would use for these arguments, and why.

    Parameters
    ----------
    arr, k, b, kb, recall, axis, largest, sorted, interleaved, index_dtype
    certificate, backend, dim
        As in `topk`, with the same errors.

    Returns
    -------
    Explanation

    Examples
    --------
    >>> import numpy as np
    >>> import approxtopk
    >>> why = approxtopk.explain(np.zeros(1000), 10, b=100, kb=1, backend="numpy")
    >>> why.backend, why.plan.candidates, round(why.expected_recall, 3)
    ('numpy', 100, 0.96)
    """
    if dim is not None:
        axis = same_axis(axis, dim)
    meet(type(arr), backend)
    info = describers[type(arr)].describe(arr)
    if info is None:
        raise TypeError("arr must have a known shape to be explained; a compiler is tracing it")
    call = resolve(
        *(type(arr), info, k, b, kb, recall, axis, largest, sorted, interleaved, index_dtype),
        *(certificate, backend if backend is not None else dispatch.chosen.get()),
    )
    plan, request = call.plan, call.request
    return Explanation(
        backend=call.name,
        kernel=call.backend.kernel(request),
        plan=plan,
        expected_recall=plan.recall,
        repair_probability=plan.repair_probability,
        read_again_bytes=call.backend.read_again(request) if request.judged else 0.0,
        workspace_bytes=call.backend.workspace(request),
        certificate=request.certificate,
        passed_over=dict(call.passed_over),
    )
