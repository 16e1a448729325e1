"""Exact answers on rows long enough that a CPU backend finds a threshold first, by its own lanes.

NumPy does so from 8192 elements on, Numba from 1024 to 4096 by the dtype's width.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from checks import LossyRows
from compiled import Compiled

from approxtopk import Request
from approxtopk.testing import LAWS, Case, Subject, adversaries
from approxtopk_numpy import fast

#: By backend, the ways that an exact answer is found.
WAYS = {
    "numpy": {"by lanes", "too many reach the bar", "the bar is raised"},
    "numba": {"by lanes", "by lanes, more than fits", "without lanes, more than fits"},
}
DTYPES = ("float32", "float16", "int8", "int64")
DISTINCT = 2000  #: different rows, at least, that their plan can miss something of; in all dtypes


def exact_request(case: Case) -> Request:
    array = case.array
    return Request(array.shape, array.dtype.name, "cpu", 1, case.k, case.b, case.kb, exact=True)


def numpy_lanes(case: Case) -> tuple[int]:
    return (fast.by_cheapest_buckets(exact_request(case)).b,)


def numba_lanes(case: Case) -> tuple[int]:
    from approxtopk_numba.launch import launch

    return (launch(exact_request(case)).width or case.n,)


def watch_numpy(monkeypatch: pytest.MonkeyPatch, ways: Counter[str]) -> None:
    reach, rise = fast.reaching_the_candidates, fast.raised

    def reaching_the_candidates(values, request):
        found = reach(values, request)
        if request.exact:
            ways["by lanes" if found else "too many reach the bar"] += 1
        return found

    def raised(found, k):
        better = rise(found, k)
        ways["the bar is raised"] += better is not found
        return better

    monkeypatch.setattr(fast, "reaching_the_candidates", reaching_the_candidates)
    monkeypatch.setattr(fast, "raised", raised)


def watch_numba(monkeypatch: pytest.MonkeyPatch, ways: Counter[str]) -> None:
    from approxtopk_numba import run

    select = run.select_exactly

    def select_exactly(*arguments):
        width, places = arguments[7], arguments[-1]
        places[:] = -1  # the last one is written to when no more fits
        select(*arguments)
        way = "by lanes" if width else "without lanes"
        ways[way if places[-1] < 0 else f"{way}, more than fits"] += 1

    monkeypatch.setattr(run, "select_exactly", select_exactly)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WAYS)
def test_long_adversaries(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them are against the backend's own buckets; no way to an answer is left out."""
    if name == "numba":
        pytest.importorskip("numba")
    ways, rows = Counter[str](), LossyRows()
    compiled = Compiled(name) if name == "numba" else None
    backend = compiled or Subject(name)
    {"numpy": watch_numpy, "numba": watch_numba}[name](monkeypatch, ways)
    lanes = {"numpy": numpy_lanes, "numba": numba_lanes}[name]
    cases = (
        adversaries(dtype, 24, 2, (8192, 12_000), lanes),
        adversaries(dtype, 8, 3, (12_000, 40_000), lanes),
    )
    for case in rows.counted(chain(*cases)):
        for letter in "t" if compiled and compiled.leaves_out(case) else "rst":
            LAWS[letter](backend, case)
    assert set(ways) == WAYS[name]
    assert min(ways.values()) >= 5
    assert len(rows) >= DISTINCT / len(DTYPES)
