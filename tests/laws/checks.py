"""All that a backend must keep, in parts: where every problem compiles kernels, the whole is long.

Parts that follow each other need many of the same kernels, which a process compiles once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import pytest

from approxtopk.backend import is_lossless
from approxtopk.testing import (
    EDGE_CASES,
    LAWS,
    PROMISES,
    Case,
    EdgeCase,
    Subject,
    adversaries,
    check_edge_case,
    check_law,
    law_h_mean,
    permutations,
)
from approxtopk.testing.adversaries import ADVERSARIES
from approxtopk.testing.layouts import LAYOUTS

#: Rows of an adversary's case: more than a GPU has multiprocessors, since an exact answer for so
#: few short rows is found otherwise than by repair.
ROWS = 200


def laws(subject: Subject, dtype: str) -> None:
    for letter in LAWS:
        check_law(letter, subject, dtypes=[dtype], layouts=subject.layouts, max_examples=5)
    for case in permutations(dtype):
        law_h_mean(subject, case)
    assert subject.served[dtype] > 0


def exactness(subject: Subject, dtype: str) -> None:
    for case in some_adversaries(dtype):
        for letter in "rstu":
            LAWS[letter](subject, case)


def some_adversaries(dtype: str) -> Iterator[Case]:
    """One case of each."""
    return islice(adversaries(dtype, ROWS), len(ADVERSARIES))


def edge_case(edge: EdgeCase, subject: Subject, dtype: str) -> None:
    if edge.name in LAYOUTS and edge.name not in subject.layouts:
        pytest.skip("its arrays are never laid out like that")
    check_edge_case(edge, subject, dtype)


#: By name: ``check(subject, dtype)``.
CHECKS: dict[str, Callable[[Subject, str], None]] = {
    "laws": laws,
    "exactness": exactness,
    **{promise.__name__: promise for promise in PROMISES},
    **{str(edge): partial(edge_case, edge) for edge in EDGE_CASES},
}


def checks_of(dtype: str) -> list[str]:
    """Names of the checks that there are for a dtype."""
    unsuited = {str(edge) for edge in EDGE_CASES if not edge.suits(dtype)}
    return [what for what in CHECKS if what not in unsuited]


class LossyRows(set[tuple[Any, ...]]):
    """Different rows that a test has seen, each with a plan by which something can be lost."""

    def counted(self, cases: Iterable[Case]) -> Iterator[Case]:
        """The cases, after their rows were added."""
        for case in cases:
            plan = (case.n, case.k, case.b, case.kb)
            if not is_lossless(*plan):
                how = (*plan, case.largest, case.sorted, case.interleaved, case.array.dtype.name)
                self.update((*how, row.tobytes()) for row in case.rows)
            yield case
