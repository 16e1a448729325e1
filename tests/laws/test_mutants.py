"""Each law is worth its name: wrong selections break it, the right one does not."""

from __future__ import annotations

import numpy as np
import pytest

from approxtopk.testing import EDGE_CASES, LAWS, MUTANTS, Selection, check_edge_case, check_law


@pytest.mark.parametrize("letter", LAWS)
def test_the_right_selection_survives(letter: str) -> None:
    check_law(letter, Selection(), max_examples=40)


@pytest.mark.parametrize("edge", [e for e in EDGE_CASES if e.number not in (23, 24, 34)], ids=str)
def test_the_right_selection_survives_an_edge_case(edge: object) -> None:
    check_edge_case(edge, Selection(), "float16")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_killed(mutant: type[Selection]) -> None:
    for letter in MUTANTS[mutant]:
        with pytest.raises(AssertionError, match=f"law {letter} is broken"):
            check_law(letter, mutant(), max_examples=400, shrink=False)


class OtherOrder(Selection):
    """With a certificate, results that needn't be sorted come worst first."""

    def __call__(self, *args, **how):
        values, indices, *exact = super().__call__(*args, **how)
        if exact and not how["sorted"]:
            values, indices = (np.flip(found, how["axis"]) for found in (values, indices))
        return values, indices, *exact


def test_a_certificate_may_go_with_another_order() -> None:
    check_law("u", OtherOrder(), max_examples=100)


def test_every_law_kills() -> None:
    assert set("".join(MUTANTS.values())) == set(LAWS)
    assert all(MUTANTS.values())
