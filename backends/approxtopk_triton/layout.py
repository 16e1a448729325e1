"""Where rows lie in memory, as numbers: no arrays here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: A row that spans more elements than this needs int64 offsets inside it.
INT32_SPAN = 2**31


@dataclass(frozen=True)
class Layout:
    """Strides of rows and of their elements, in elements, for an input and its output.

    Row r begins at ``(r // inner) * outer_stride + (r % inner) * inner_stride``.
    """

    inner: int
    x_outer: int
    x_inner: int
    x_element: int
    out_outer: int
    out_inner: int
    out_element: int

    def wide(self, n: int) -> bool:
        """Whether a row of `n` elements spans 2^31 of the array's elements."""
        return n * self.x_element >= INT32_SPAN

    @property
    def rows_adjacent(self) -> bool:
        """Whether the next row is nearer in memory than the next element of a row."""
        return self.inner > 1 and self.x_inner < self.x_element


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a C-ordered array, in elements."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def row_layout(shape: Sequence[int], axis: int, k: int, strides: Sequence[int]) -> Layout | None:
    """The layout of rows along `axis`, the output being C-ordered with `k` in place of `n`.

    Neighbouring axes that are one axis in memory are merged; None where more than two remain, so
    that the rows can't be numbered with one division.
    """
    out_strides = contiguous_strides((*shape[:axis], k, *shape[axis + 1 :]))
    groups: list[tuple[int, int, int]] = []  # (length, stride of the input, of the output)
    for i, group in enumerate(zip(shape, strides, out_strides, strict=True)):
        length, x, out = group
        if i == axis or length == 1:
            continue
        if groups and groups[-1][1:] == (length * x, length * out):
            groups[-1] = (groups[-1][0] * length, x, out)
        else:
            groups.append(group)
    if len(groups) > 2:
        return None
    (_, x_outer, out_outer), (inner, x_inner, out_inner) = [(1, 0, 0)] * (2 - len(groups)) + groups
    if inner == 1:
        x_inner = out_inner = 0
    return Layout(inner, x_outer, x_inner, strides[axis], out_outer, out_inner, out_strides[axis])
