"""``approxtopk bench``: what the library gives on sizes and a machine of one's own."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import Plan, __version__, explain, planner, topk, validate
from .. import recall as measured_recall
from .console import console, one_line_errors, table
from .timing import ROTATED, Call, Inputs, library_for, turns

RECALLS = (0.9, 0.95, 0.99, 0.999)

EXACT = "topk, exact"

#: Recall is the mean over so many inputs, at most.
LOOKED_AT = 16


@dataclass(frozen=True)
class Entry:
    """One contender: what it promises, what it gave, and how long it took.

    Attributes
    ----------
    name : str
        What is called.
    b, kb, candidates : int or None
        The plan, where there is one.
    expected, measured : float
        Recall.
    seconds, low, high : float
        Of one call: the median, and the quartiles around it.
    speedup : float
        How many times as long the array library's own exact selection takes.
    over_floor : float
        How many times as long as reading the input once.
    """

    name: str
    b: int | None
    kb: int | None
    candidates: int | None
    expected: float
    measured: float
    seconds: float
    low: float
    high: float
    speedup: float
    over_floor: float


@dataclass(frozen=True)
class Report:
    """All that was measured, and on what."""

    version: str
    rows: int
    n: int
    k: int
    dtype: str
    device: str
    library: str
    backend: str
    kernel: str
    floor: float  #: seconds to read the input once
    entries: list[Entry]


def bench(
    n: Annotated[int, typer.Argument(help="Length of a row.", show_default=False)],
    k: Annotated[int, typer.Argument(help="Elements wanted of it.", show_default=False)],
    rows: Annotated[int, typer.Option(help="Number of rows.")] = 1,
    dtype: Annotated[str, typer.Option(help="Type of the elements.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")] = "cpu",
    backend: Annotated[
        str | None, typer.Option(help="Which backend to measure.", show_default="the best one")
    ] = None,
    recall: Annotated[
        list[float] | None,
        typer.Option(
            help="Expected recall to plan for; may be given several times.",
            show_default=" ".join(map(str, RECALLS)),
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each contender.")] = 1.0,
    plot: Annotated[
        Path | None, typer.Option(help="Write a picture of time against recall.", dir_okay=False)
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all numbers as JSON.", dir_okay=False)
    ] = None,
) -> None:
    """Measure top K of ROWS rows of N random elements: recall and time, exact and approximate.

    Times are of calls as a program makes them, host and device, on inputs that rotate through
    more memory than caches hold; contenders take turns.
    """
    with one_line_errors():
        n = validate.integer("n", n, 1, 2**63 - 1)
        k = validate.integer("k", k, 1, n, " (n)")
        rows = validate.integer("rows", rows, 1, 2**63 - 1)
        for target in (plot, json_file):
            if target and not target.absolute().parent.is_dir():
                raise ValueError(f"{target}: there is no folder {target.parent}")
        if plot:
            from .benchplot import draw
        inputs = Inputs.make(library_for(device, backend, dtype), rows, n, dtype, device)
        wanted = sorted(set(recall or RECALLS) - {1.0}, reverse=True)
        plans = {_label(each): each for each in (planner.plan(n, k, recall=r) for r in wanted)}
        plans.pop(EXACT, None)
        plans = {EXACT: planner.plan(n, k, recall=1.0), **plans}
        report = _measure(inputs, k, dtype, device, backend, plans, seconds)
        _show(report)
        if json_file:
            json_file.write_text(json.dumps(asdict(report), indent=1) + "\n")
        if plot:
            draw(report, plot)


def _measure(
    inputs: Inputs,
    k: int,
    dtype: str,
    device: str,
    backend: str | None,
    plans: dict[str, Plan],
    seconds: float,
) -> Report:
    copies = inputs.copies
    name, exact_call = _library_exact(inputs, k)
    calls: dict[str, Call] = {name: exact_call}
    for label, plan in plans.items():
        how: dict[str, Any] = {"b": plan.b, "kb": plan.kb} if label != EXACT else {"recall": 1.0}
        calls[label] = partial(topk, k=k, backend=backend, **how)
    measured = _recalls(copies, k, backend, {label: calls[label] for label in plans})
    floor = inputs.read()
    times = _times(calls, copies, seconds)
    medians = {label: statistics.median(taken) for label, taken in times.items()}
    entries = []
    for label, taken in times.items():
        approximate = plans[label] if label in plans and label != EXACT else None
        low, _, high = statistics.quantiles(taken, n=4)
        entry = Entry(
            name=label,
            b=approximate.b if approximate else None,
            kb=approximate.kb if approximate else None,
            candidates=approximate.candidates if approximate else None,
            expected=approximate.recall if approximate else 1.0,
            measured=measured.get(label, 1.0),
            seconds=medians[label],
            low=low,
            high=high,
            speedup=medians[name] / medians[label],
            over_floor=medians[label] / floor,
        )
        entries.append(entry)
    why = explain(copies[0], k, backend=backend)
    about = (dtype, device, inputs.library, why.backend, why.kernel, floor, entries)
    return Report(__version__, inputs.rows, inputs.whole.shape[1], k, *about)


def _label(plan: Plan) -> str:
    return EXACT if plan.exact else f"topk, b={plan.b} kb={plan.kb}"


def _library_exact(inputs: Inputs, k: int) -> tuple[str, Call]:
    """The library's own exact selection: `topk` where it has one, else `argpartition`."""
    module, n = inputs.module, inputs.whole.shape[1]
    if hasattr(module, "topk"):
        return f"{inputs.library}.topk", lambda arr: module.topk(arr, k)
    return f"{inputs.library}.argpartition", lambda arr: module.argpartition(arr, n - k, axis=-1)


def _recalls(
    copies: list[Any], k: int, backend: str | None, calls: dict[str, Call]
) -> dict[str, float]:
    """Of each call, the mean over some inputs."""
    some = copies[:LOOKED_AT]
    exact = [topk(arr, k, recall=1.0, backend=backend) for arr in some]
    return {
        label: statistics.fmean(
            measured_recall(call(arr), true) for arr, true in zip(some, exact, strict=True)
        )
        for label, call in calls.items()
    }


def _times(calls: dict[str, Call], copies: list[Any], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call in every round, at least 5 rounds; a bar on stderr meanwhile."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    stderr = Console(stderr=True)
    rounds: list[dict[str, float]] = []
    total, start = seconds * len(calls), time.perf_counter()
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("measuring", total=total)
        for found in turns(calls, copies):
            rounds.append(found)
            passed = time.perf_counter() - start
            bar.update(task, completed=passed)
            if passed >= total and len(rounds) >= 5:
                break
    return {label: [found[label] for found in rounds] for label in calls}


def _show(report: Report) -> None:
    out = console()
    rows = "1 row" if report.rows == 1 else f"{report.rows} rows"
    out.print(
        f"Top {report.k} of {report.n} {report.dtype}, {rows}, on {report.device}; "
        f"arrays of {report.library}, backend {report.backend} ({report.kernel}).\n",
        soft_wrap=True,
    )
    made = table("", "candidates", "recall", "measured", "time", "× faster", "× reading")
    for entry in report.entries:
        made.add_row(
            entry.name,
            "–" if entry.candidates is None else str(entry.candidates),
            *("1" if each == 1 else f"{each:.4f}" for each in (entry.expected, entry.measured)),
            *(duration(entry.seconds), f"{entry.speedup:.3g}", f"{entry.over_floor:.3g}"),
        )
    out.print(made)
    out.print(
        "\nrecall is the expected one, on randomly ordered values; measured, that of this run.\n"
        f"× faster: than {report.entries[0].name}. × reading: over one look at each byte, "
        f"{duration(report.floor)}.\nInputs rotate through {ROTATED >> 20} MiB or two copies.",
        soft_wrap=True,
    )


def duration(seconds: float) -> str:
    """Three digits, and the unit that suits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
