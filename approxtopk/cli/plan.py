"""``approxtopk plan``: the plans to choose from, and the one chosen."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import planner
from .console import console, one_line_errors, table


def plan(
    n: Annotated[int, typer.Argument(help="Length of a row.")],
    k: Annotated[int, typer.Argument(help="How many elements of it are wanted.")],
    recall: Annotated[
        float, typer.Option(help="Expected recall to reach; 1 is exact for every input.")
    ] = planner.DEFAULT_RECALL,
) -> None:
    """Show the plans for K out of N elements, one per queue length, and which is the cheapest.

    At recall 1, instead of the recall: how many rows are expected to need repair, and what part of
    a row is in buckets that may hide something, to be read again. Backends may know more, and
    read less; approxtopk.explain asks them.
    """
    with one_line_errors():
        chosen = planner.plan(n, k, recall=recall)
        exact = recall == 1.0
        told = ("rows repaired", "read again") if exact else ("expected recall",)
        rows = table("", "kb", "b", "candidates", *told, "cost")
        plans = list(planner.alternatives(n, k, recall)) if k else [chosen]
        for each in plans:
            expected = f"{each.repair_probability:.2%}", f"{each.read_again / max(n, 1):.2%}"
            rows.add_row(
                "→" if each == chosen else "",
                f"{each.kb}",
                f"{each.b}",
                f"{each.candidates}",
                *(expected if exact else ("1 (exact)" if each.exact else f"{each.recall:.6f}",)),
                f"{each.cost:.3f}",
                style="bold" if each == chosen else "",
            )
        console().print(f"Top {k} of {n} elements at recall {recall:g} or better:\n")
        console().print(rows)
        console().print(
            "\nb buckets keep kb elements each. Cost 1 is reading the row once; "
            "→ marks what topk(arr, k, recall=…) uses.",
            soft_wrap=True,
        )
