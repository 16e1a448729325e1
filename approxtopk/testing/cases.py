"""Edge cases as data.

The number of an edge case is its name in bug reports; 1, 2 and 4 are that every case comes in
every dtype, 3 and 44 are errors (see `promises`), 42 is part of law o.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations as orders

import numpy as np

from approxtopk.backend import count_candidates

from .case import Case
from .dtypes import FLOATS, Array, Specials, dtype_of, palette
from .layouts import lay_out


@dataclass(frozen=True)
class EdgeCase:
    """Cases of one kind: ``make(dtype)`` gives them."""

    number: int
    name: str
    make: Callable[[str], Iterable[Case]]
    floats_only: bool = False

    def suits(self, dtype: str) -> bool:
        """Whether the dtype has such values."""
        return dtype in FLOATS or not self.floats_only

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


def each_way(array: Array, plans: Iterable[tuple[int, int, int]] | None = None) -> Iterator[Case]:
    """Both directions of each plan (k, b, kb), sorted and interleaved in turns."""
    turn = 0
    for k, b, kb in plans or plans_of(array.shape[-1]):
        for largest in (True, False):
            yield Case(array, k, b, kb, -1, largest, sorted=turn % 3 == 2, interleaved=turn < 2)
            turn = (turn + 1) % 4


def plans_of(n: int) -> list[tuple[int, int, int]]:
    """Some plans for a row of `n`: the smallest, an exact one, and queues of 1, 2 and 3."""
    plans = [(1, 1, 1), (n, 1, n)]
    for b, kb, share in ((min(n, 2), 1, 1.0), (max(1, n // 3), 2, 0.5), (max(1, n // 8), 3, 1.0)):
        kb = min(kb, -(-n // b))
        plans.append((math.ceil(share * count_candidates(n, b, kb)), b, kb))
    return list(dict.fromkeys(plans))


def mixed(dtype: str, *shape: int) -> Array:
    """An array of special and ordinary elements, always the same for a shape."""
    codes = np.random.default_rng(math.prod(shape)).integers(0, 256, shape)
    return palette(dtype)[codes]


def special(dtype: str, names: str) -> Array:
    """The named special values, as a row."""
    return palette(dtype)[[Specials._fields.index(name) for name in names.split()]]


def _rows_of_special(*texts: str) -> Callable[[str], Iterator[Case]]:
    """A maker of cases from rows such as ``"one 4*nan"``."""

    def make(dtype: str) -> Iterator[Case]:
        for text in texts:
            names: list[str] = []
            for word in text.split():
                times, _, name = word.rpartition("*")
                names += [name] * int(times or 1)
            yield from each_way(special(dtype, " ".join(names)))

    return make


def _five_values(dtype: str) -> Iterator[Case]:
    array = special(dtype, "nan inf zero zero zero minus_inf")
    array[2], array[4] = 1e4, -1e4
    return each_way(array)


def _one_value(dtype: str) -> Iterator[Case]:
    """All lowest, greatest, infinite or NaN, of which an integer type has two."""
    names = ("minus_inf", "nan", "minus_nan", "inf", "lowest", "greatest")
    arrays = [np.repeat(special(dtype, name), 11) for name in names]
    for array in {array.tobytes(): array for array in arrays}.values():
        yield from each_way(array)


def _mostly_at_the_bound(dtype: str) -> Iterator[Case]:
    """90 % and 99.9 % at a bound, the others anywhere."""
    for bound in ("minus_inf", "lowest", "greatest", "inf", "nan"):
        for n, others, plan in ((200, 20, (4, 8, 1)), (1000, 1, (40, 20, 3))):
            array = np.repeat(special(dtype, bound), n)
            array[:: n // others] = mixed(dtype, others)
            yield from each_way(array, [plan])


def _nan_in_a_bucket(dtype: str) -> Iterator[Case]:
    """NaN first, in the middle and last of a bucket."""
    for interleaved in (True, False):
        for step in range(4):
            array = np.arange(12).astype(dtype_of(dtype))
            array[1 + 3 * step if interleaved else 4 + step] = special(dtype, "minus_nan")[0]
            for largest in (True, False):
                for kb in (1, 2):
                    yield Case(array, 3, 3, kb, -1, largest, interleaved=interleaved)


def _denormals(dtype: str) -> Iterator[Case]:
    names = "minus_zero denormal zero minus_denormal greatest_denormal denormal minus_zero one"
    return each_way(special(dtype, names))


def _ordinary(*rows: list[int]) -> Callable[[str], Iterator[Case]]:
    """Small whole numbers, the same in every dtype."""

    def make(dtype: str) -> Iterator[Case]:
        for row in rows:
            yield from each_way(np.array(row).astype(dtype_of(dtype)))

    return make


def _best_in_one_bucket(dtype: str) -> Iterator[Case]:
    for interleaved in (True, False):
        array = np.zeros(64, dtype_of(dtype))
        array[slice(3, None, 8) if interleaved else slice(24, 32)] = np.arange(8, 0, -1)
        for kb in (1, 2, 8):
            yield Case(array, 8, 8, kb, sorted=True, interleaved=interleaved)
            yield Case(array, 8, 8, kb, interleaved=not interleaved)


def _lengths(dtype: str) -> Iterator[Case]:
    """Around the widths that kernels like."""
    for width in (32, 64, 1024, 2048):
        for n in (width - 1, width, width + 1):
            for b, kb in ((n // 4, 2), (16, 1), (5, 4)):
                yield Case(mixed(dtype, 2, n), 9, b, kb, sorted=n % 2 == 0, interleaved=b != 5)


def _residues(dtype: str) -> Iterator[Case]:
    """Every n % b."""
    for n in range(32, 41):
        for interleaved in (True, False):
            yield Case(mixed(dtype, 2, n), 7, 8, 2, largest=n % 2 == 0, interleaved=interleaved)


def _row_counts(dtype: str) -> Iterator[Case]:
    """Around the largest grid.y, and many more."""
    for rows in (1, 65534, 65535, 65536, 100_000):
        yield Case(mixed(dtype, rows, 2), 1, 2, 1, sorted=True)


def _million_rows(dtype: str) -> Iterator[Case]:
    yield Case(mixed(dtype, 1 << 20, 2), 1, 1, 1, largest=False, sorted=True)


def _no_rows(dtype: str) -> Iterator[Case]:
    yield Case(np.empty((0, 5), dtype_of(dtype)), 2, 3, 1)
    yield Case(np.empty((3, 0, 4), dtype_of(dtype)), 4, 4, 1, interleaved=False)
    yield Case(np.empty((6, 0), dtype_of(dtype)), 3, 3, 1, axis=0)


def _ranks(dtype: str) -> Iterator[Case]:
    """Rank 1 to 8, along the last but one axis of two or more."""
    for rank in range(1, 9):
        shape = (2, 1, 3, 2, 1, 2, 5, 2)[-rank:]
        axis = max(rank - 2, 0)
        yield Case(mixed(dtype, *shape), 2, 2, 1, axis)


def _orders(dtype: str) -> Iterator[Case]:
    """Every order of the axes in memory, and every axis."""
    array = mixed(dtype, 5, 7, 2049)
    for order in orders(range(3)):
        for axis in range(3):
            yield Case(array.transpose(order), 4, 4, 1, axis, sorted=True)


def _layout(name: str) -> Callable[[str], Iterator[Case]]:
    """A memory layout, every axis."""

    def make(dtype: str) -> Iterator[Case]:
        for axis in range(3):
            array = lay_out(mixed(dtype, 3, 4, 37), name)
            n = array.shape[axis]
            yield Case(array, 2, 2, 1, axis)
            b = n // 2
            yield Case(array, n, b, -(-n // b), axis, False, sorted=n == 37, interleaved=n < 5)

    return make


def _all_k(dtype: str) -> Iterator[Case]:
    array = mixed(dtype, 2, 23)
    for k in (0, 1, 2, 22, 23):
        yield Case(array, k, 23, 1)
        yield Case(array, k, 1, 23, largest=False)
        yield Case(array, k, 6, 4, interleaved=False)


def _candidates(dtype: str) -> Iterator[Case]:
    """As many as k, one more, and many more; k divisible by kb and not."""
    for k in (32, 31, 9, 8, 7):
        yield Case(mixed(dtype, 2, 67), k, 8, 4, sorted=True)
        yield Case(mixed(dtype, 2, 67), k, 8, 4, interleaved=False)


def _all_kb(dtype: str) -> Iterator[Case]:
    """1 to 16, and longer than the smaller buckets."""
    for kb in range(1, 17):
        yield Case(mixed(dtype, 2, 130), 4 * kb + 2, 8, kb, largest=kb % 2 == 0)
        yield Case(mixed(dtype, 8 * kb + 1), 5 * kb, 8, kb + 1, interleaved=kb % 2 == 0)


def _axes(dtype: str) -> Iterator[Case]:
    for axis in range(-4, 4):
        yield Case(mixed(dtype, 3, 2, 4, 5), 2, 2, 1, axis, sorted=True)


EDGE_CASES = (
    EdgeCase(5, "NaN, infinities, 1e4", _five_values, floats_only=True),
    EdgeCase(6, "one and NaNs", _rows_of_special("one 4*nan")),
    EdgeCase(7, "one and -inf", _rows_of_special("one 4*minus_inf")),
    EdgeCase(8, "one and inf", _rows_of_special("one 4*inf")),
    EdgeCase(9, "both bounds", _rows_of_special("one minus_inf nan minus_inf inf")),
    EdgeCase(10, "all of one bound", _one_value),
    EdgeCase(11, "mostly at the bound", _mostly_at_the_bound),
    EdgeCase(12, "NaN in a bucket", _nan_in_a_bucket),
    EdgeCase(
        13, "kinds of NaN", _rows_of_special("nan minus_nan payload signalling inf minus_nan")
    ),
    EdgeCase(14, "signed zeros", _rows_of_special("2*zero 2*minus_zero zero minus_zero 2*zero")),
    EdgeCase(15, "denormals", _denormals),
    EdgeCase(16, "all equal", _ordinary([3] * 50)),
    EdgeCase(17, "ones and two twos", _ordinary([1] * 20 + [2] + [1] * 13 + [2, 1])),
    EdgeCase(18, "repeating", _ordinary([i % 32 for i in range(128)])),
    EdgeCase(19, "sorted and reversed", _ordinary([*range(100)], [*range(100, 0, -1)])),
    EdgeCase(20, "best in one bucket", _best_in_one_bucket),
    EdgeCase(21, "n = 1", lambda dtype: each_way(mixed(dtype, 1))),
    EdgeCase(22, "every residue", _residues),
    EdgeCase(23, "lengths", _lengths),
    EdgeCase(24, "row counts", _row_counts),
    EdgeCase(24, "a million rows", _million_rows),
    EdgeCase(25, "no rows", _no_rows),
    EdgeCase(28, "rank 1 to 8", _ranks),
    EdgeCase(34, "orders of axes", _orders),
    *(
        EdgeCase(number, layout, _layout(layout))
        for number, layout in (
            *((33, "every second"), (35, "expanded"), (36, "reversed"), (37, "Fortran")),
            *((38, "misaligned"), (39, "padded"), (40, "read-only"), (41, "byte-swapped")),
        )
    ),
    EdgeCase(43, "every k; 46 b = 1 and n", _all_k),
    EdgeCase(47, "candidates and k; 50 k % kb", _candidates),
    EdgeCase(48, "every kb", _all_kb),
    EdgeCase(51, "every axis", _axes),
)


def permutations(dtype: str) -> Iterator[Case]:
    """For law h': every row is a random permutation."""
    generator = np.random.default_rng(11)
    for n, k, b, kb in (
        *((64, 8, 8, 1), (100, 16, 7, 3), (97, 32, 32, 1), (33, 5, 4, 2)),
        *((120, 60, 20, 3), (64, 64, 32, 2), (50, 1, 3, 1)),
    ):
        array = generator.permuted(np.tile(np.arange(n), (1500, 1)), axis=1).astype(dtype_of(dtype))
        yield Case(array, k, b, kb, largest=n % 2 == 0, interleaved=b != 8)
