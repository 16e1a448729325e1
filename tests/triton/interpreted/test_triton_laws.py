"""The shared laws, edge cases and promises, at sizes that an interpreter can bear."""

from __future__ import annotations

from typing import Any

import pytest

from approxtopk.testing import EDGE_CASES, LAWS, PROMISES, EdgeCase, Subject, check_law

#: Elements of an edge case's array: a program's step takes the interpreter half a millisecond.
#: Where these are many rows, one k is enough.
MOST = 512


@pytest.mark.parametrize("letter", LAWS)
def test_law(subject: Subject, letter: str) -> None:
    check_law(letter, subject, dtypes=subject.dtypes, layouts=subject.layouts, max_examples=2)


@pytest.mark.parametrize(("number", "edge"), list(enumerate(EDGE_CASES)), ids=str)
def test_edge_case(subject: Subject, number: int, edge: EdgeCase) -> None:
    """One of the dtypes, another one for each case: equal to the reference, bits and all."""
    for dtype in list(subject.dtypes)[number % 9 :: 9]:
        if not edge.suits(dtype):
            continue
        for case in list(edge.make(dtype))[:1]:
            if case.array.size <= MOST and not (case.k > 2 and case.array.ndim > 2):
                try:
                    subject.to_array(case.array)
                except NotImplementedError:
                    continue
                LAWS["a"](subject, case)
                LAWS["q"](subject, case)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_promise(subject: Subject, promise: Any) -> None:
    if promise.__name__ in ("threads", "twenty_repeats"):
        pytest.skip("Triton's interpreter serves one thread, and runs one program after another")
    promise(subject, "float32")
