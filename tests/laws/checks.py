"""All that a backend must keep, in parts: where every problem compiles kernels, the whole is long.

Parts that follow each other need many of the same kernels, which a process compiles once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from approxtopk.testing import (
    EDGE_CASES,
    LAWS,
    PROMISES,
    EdgeCase,
    Subject,
    adversaries,
    check_edge_case,
    check_law,
    law_h_mean,
    permutations,
)
from approxtopk.testing.layouts import LAYOUTS


def laws(subject: Subject, dtype: str) -> None:
    for letter in LAWS:
        check_law(letter, subject, dtypes=[dtype], layouts=subject.layouts, max_examples=5)
    for case in permutations(dtype):
        law_h_mean(subject, case)
    assert subject.served[dtype] > 0


def exactness(subject: Subject, dtype: str) -> None:
    for case in adversaries(dtype):
        for letter in "rstu":
            LAWS[letter](subject, case)


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
