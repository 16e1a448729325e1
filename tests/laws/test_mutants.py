"""Each law is worth its name: wrong selections break it, the right one does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from approxtopk.testing import EDGE_CASES, LAWS, MUTANTS, Selection, check_edge_case, check_law


@pytest.mark.parametrize("letter", LAWS)
def test_the_right_selection_survives(letter: str) -> None:
    check_law(letter, Selection(), max_examples=40)


@pytest.mark.exhaustive
@pytest.mark.parametrize("edge", [e for e in EDGE_CASES if e.number not in (23, 24, 34)], ids=str)
def test_the_right_selection_survives_an_edge_case(edge: object) -> None:
    check_edge_case(edge, Selection(), "float16")


def enough() -> list[tuple[type[Selection], str]]:
    """Each mutant with a law that kills it, and each law that kills any."""
    chosen: list[tuple[type[Selection], str]] = []
    for mutant, letters in MUTANTS.items():
        used = {letter for _, letter in chosen}
        new = [letter for letter in letters if letter not in used]
        chosen.append((mutant, new[0] if new else letters[0]))
    used = {letter for _, letter in chosen}
    for mutant, letters in MUTANTS.items():
        chosen += [(mutant, letter) for letter in letters if letter not in used]
        used |= set(letters)
    return chosen


def mutants() -> Iterator[Any]:
    """Each with the laws that kill it; more than are enough are left to exhaustive runs."""
    chosen = enough()
    for mutant, letters in MUTANTS.items():
        for letter in letters:
            marks = () if (mutant, letter) in chosen else pytest.mark.exhaustive
            yield pytest.param(mutant, letter, id=f"{mutant.__name__}-{letter}", marks=marks)


@pytest.mark.parametrize(("mutant", "letter"), list(mutants()))
def test_mutant_is_killed(mutant: type[Selection], letter: str) -> None:
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
