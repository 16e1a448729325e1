"""What certificates and exact answers read of an array that plain answers don't, counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from approxtopk import Request
from approxtopk_numpy import backend, fast, long_row, stage1
from approxtopk_numpy.backend import NumpyBackend
from approxtopk_numpy.looks import NumpyLooks

PLAIN = Request((5, 4000), "float32", "cpu", 1, 40, 100, 2)
CERTIFIED, EXACT = replace(PLAIN, certificate=True), replace(PLAIN, exact=True)


def elements_read(request: Request, monkeypatch: pytest.MonkeyPatch) -> int:
    """Elements that the NumPy backend compares, one by one or as a part of a row."""
    count = 0

    class Counting(stage1.Reader):
        def __call__(self, values: Any) -> Any:
            nonlocal count
            count += values.size
            return super().__call__(values)

    class Looks(NumpyLooks):
        def keys(self, values: Any, request: Request) -> Any:
            nonlocal count
            count += values.size
            return super().keys(values, request)

    monkeypatch.setattr(fast, "Reader", Counting)
    monkeypatch.setattr(backend, "NumpyLooks", Looks)
    arr = np.random.default_rng(0).permuted(np.tile(np.arange(4000.0, dtype="f4"), (5, 1)), axis=1)
    NumpyBackend().topk(arr, request)
    return count


def test_a_certificate_reads_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is read twice, by stage 1 and to find the winners, whatever is asked for."""
    plain = elements_read(PLAIN, monkeypatch)
    assert plain == pytest.approx(2 * 5 * 4000, rel=0.01)
    assert elements_read(CERTIFIED, monkeypatch) == plain
    assert elements_read(EXACT, monkeypatch) == pytest.approx(plain, rel=0.01)
    assert NumpyBackend().read_again(CERTIFIED) == NumpyBackend().read_again(EXACT) == 0


def test_of_rows_in_pieces_it_reads_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """To count what is better than the worst winner, which an exact answer need not know."""
    monkeypatch.setattr(backend, "piece_count", lambda request: 7)
    monkeypatch.setattr(long_row, "CHUNK", 300)
    more = elements_read(CERTIFIED, monkeypatch) - elements_read(PLAIN, monkeypatch)
    assert more == 5 * 4000
    assert NumpyBackend().read_again(CERTIFIED) == 4 * more
    assert NumpyBackend().read_again(EXACT) == 0


@pytest.mark.parametrize("pieces", [False, True])
def test_numba(pieces: bool, request: pytest.FixtureRequest) -> None:
    """It looks at rows in pieces as NumPy does, and at others no third time."""
    numba = pytest.importorskip("approxtopk_numba.backend").NumbaBackend()
    if pieces:
        request.getfixturevalue("no_memory")
    assert ("pieces" in numba.kernel(CERTIFIED)) == pieces
    assert numba.read_again(CERTIFIED) == (5 * 4000 * 4 if pieces else 0)
    assert numba.read_again(EXACT) == 0
