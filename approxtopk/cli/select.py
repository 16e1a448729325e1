"""``approxtopk select``: top-k of an array in a file, however large the file."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import planner, topk, validate
from ..backend import SUPPORTED_DTYPES
from .console import console, one_line_errors
from .npyfile import NpyFile, Slabs


def select(
    file: Annotated[Path, typer.Argument(help="A .npy file of numbers.", show_default=False)],
    k: Annotated[int, typer.Option("-k", help="Elements per row.", show_default=False)],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The .npz file to write.", show_default=False)
    ],
    recall: Annotated[
        float | None,
        typer.Option(help="Expected recall to reach; 1 is exact.", show_default="0.95"),
    ] = None,
    b: Annotated[int | None, typer.Option("-b", help="Number of buckets.")] = None,
    kb: Annotated[int | None, typer.Option("-kb", "--kb", help="Kept per bucket.")] = None,
    axis: Annotated[int, typer.Option(help="Axis to select along.")] = -1,
    smallest: Annotated[bool, typer.Option("--smallest", help="Smallest, not largest.")] = False,
    sorted: Annotated[bool, typer.Option("--sorted", help="Best first.")] = False,
) -> None:
    """Select the K largest elements per row of FILE, and write values and indices to OUT.

    FILE is mapped block by block, so it may be larger than memory. A row is never split: one
    that doesn't fit, the only row of a rank-1 array included, is an error.
    """
    with one_line_errors(), _ended_by_sigterm():
        source = NpyFile.open(file)
        if source.dtype.name not in SUPPORTED_DTYPES:
            supported = ", ".join(SUPPORTED_DTYPES)
            raise TypeError(f"{file}: holds {source.dtype.name}; supported are {supported}")
        axis = validate.selection_axis("axis", axis, len(source.shape))
        n = source.shape[axis]
        k = validate.integer("k", k, 0, n, " (the length of the axis)")
        plan = planner.plan(n, k, recall=recall, b=b, kb=kb)
        slabs = Slabs.of(source, axis)
        options: dict[str, Any] = {"recall": recall, "b": b, "kb": kb, "sorted": sorted}
        with _Output(out, source, axis, k) as output:
            blocks = list(slabs.blocks())
            for first, last in _progress(blocks):
                rows = source.block(
                    first.start * n * slabs.after, (first.stop - first.start, n, slabs.after)
                )[:, :, last]
                places = tuple(array[first, :, last] for array in output.as_slabs(slabs))
                try:
                    topk(rows, k, axis=1, largest=not smallest, out=places, **options)  # type: ignore[arg-type]
                except MemoryError as error:
                    raise MemoryError(f"a row of {n} elements is worked on whole") from error
            output.keep()
    how = "exact" if plan.exact else f"expected recall {plan.recall:.6f}"
    console().print(
        f"rows: {slabs.before * slabs.after}, {k} of {n} elements each; "
        f"{how} (b={plan.b}, kb={plan.kb}); {out}",
        markup=False,
        soft_wrap=True,
    )


class _Output:
    """Two arrays in a folder beside the target, which becomes one file when all went well."""

    def __init__(self, target: Path, source: NpyFile, axis: int, k: int) -> None:
        self._target = target
        if target.is_dir():
            raise ValueError(f"{target}: is a folder; name the .npz file to write")
        if not target.parent.is_dir():
            raise ValueError(f"{target}: there is no folder {target.parent}")
        shape = (*source.shape[:axis], k, *source.shape[axis + 1 :])
        self._folder = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
        self._shape, self._fortran_order = shape, source.fortran_order
        self._dtypes = {"values": source.dtype, "indices": np.dtype(np.int64)}
        self._arrays: list[np.memmap[Any, Any]] = []

    def __enter__(self) -> _Output:
        for name, dtype in self._dtypes.items():
            self._arrays.append(
                np.lib.format.open_memmap(
                    self._path(name), "w+", dtype, self._shape, self._fortran_order
                )
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._arrays.clear()  # a mapped file can't be deleted everywhere
        self._folder.cleanup()

    def as_slabs(self, slabs: Slabs) -> list[NDArray[Any]]:
        k = self._arrays[0].size // max(1, slabs.before * slabs.after)
        return [
            np.asarray(array.T if self._fortran_order else array).reshape(
                slabs.before, k, slabs.after
            )
            for array in self._arrays
        ]

    def keep(self) -> None:
        """Put the target in place, at once and whole."""
        packed = Path(self._folder.name) / "packed"
        for array in self._arrays:
            array.flush()
        with zipfile.ZipFile(packed, "w", allowZip64=True) as archive:
            for name in self._dtypes:
                archive.write(self._path(name), f"{name}.npy")
        os.replace(packed, self._target)

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.npy"


def _progress(blocks: list[tuple[slice, slice]]) -> Iterator[tuple[slice, slice]]:
    """A bar on stderr, while it is a terminal."""
    columns = (BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeRemainingColumn())
    stderr = Console(stderr=True)
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        yield from bar.track(blocks)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Clean up on SIGTERM too, as Python does on Ctrl-C."""

    def end(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
