"""Exact answers on rows long enough that a CPU backend finds a threshold first, by its own lanes.

NumPy does so from 8192 elements on, Numba from 1024 to 4096 by the dtype's width, where a sample of
the row has not done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, count, product
from typing import Any

import pytest
from checks import LossyRows
from compiled import Compiled

from approxtopk import Request
from approxtopk.testing import LAWS, Case, Subject, adversaries
from approxtopk_numpy import fast

#: By backend, or by what it does for rows that a sample does not do for, the ways to an answer.
WAYS = {
    "numpy": {"by lanes", "too many reach the bar", "the bar is raised"},
    "numba": {"by a sample", "by a sample, more than fits", "by lanes"},
    "numba without samples": {
        *("by lanes", "by lanes, more than fits", "without lanes, more than fits"),
    },
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
    """Every second sample is asked for its greatest, which few rows have k elements to reach."""
    from approxtopk_numba import run
    from approxtopk_numba.launch import TILE_BYTES

    by_sample, exactly, calls = run.select_sampled, run.select_exactly, count()

    def watched(way, places, select, *arguments):
        places[:] = -1
        result = select(*arguments)
        rest = places[-TILE_BYTES // arguments[0].itemsize :]  # what must be free to go on
        ways[way if rest[0] < 0 else f"{way}, more than fits"] += 1
        return result

    def select_sampled(*arguments):
        lines, rank, wanted = arguments[6]
        sample = lines, 1 if next(calls) % 2 else rank, wanted
        places = arguments[-1][1]
        return watched("by a sample", places, by_sample, *arguments[:6], sample, *arguments[7:])

    def select_exactly(*arguments):
        way = "by lanes" if arguments[7] else "without lanes"
        watched(way, arguments[-1], exactly, *arguments)

    monkeypatch.setattr(run, "select_sampled", select_sampled)
    monkeypatch.setattr(run, "select_exactly", select_exactly)


def watch_numba_without_samples(monkeypatch: pytest.MonkeyPatch, ways: Counter[str]) -> None:
    from approxtopk_numba import launch, run

    monkeypatch.setattr(launch, "sampled", lambda request: None)
    monkeypatch.setattr(run, "launch", launch.launch.__wrapped__)  # which are cached
    monkeypatch.setattr(run, "job", run.job.__wrapped__)
    watch_numba(monkeypatch, ways)


def kinds() -> Iterator[Any]:
    """Backends and dtypes; two of these with NumPy and samples are enough for the rest."""
    for name, dtype in product(WAYS, DTYPES):
        more = name == "numba without samples" and dtype in ("float16", "int64")
        yield pytest.param(name, dtype, marks=pytest.mark.exhaustive if more else ())


@pytest.mark.parametrize(("name", "dtype"), list(kinds()))
def test_long_adversaries(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them are against the backend's own buckets; no way to an answer is left out."""
    ways, rows = Counter[str](), LossyRows()
    compiled, lanes = None, numpy_lanes
    if name == "numpy":
        watch_numpy(monkeypatch, ways)
    else:
        pytest.importorskip("numba")
        watch = watch_numba if name == "numba" else watch_numba_without_samples
        watch(monkeypatch, ways)
        compiled, lanes = Compiled("numba"), numba_lanes
    backend = compiled or Subject(name)
    cases = (
        adversaries(dtype, 24, 2, (8192, 12_000), lanes),
        adversaries(dtype, 8, 3, (12_000, 40_000), lanes),
    )
    for case in rows.counted(chain(*cases)):
        for letter in "t" if compiled and compiled.leaves_out(case) else "rst":
            LAWS[letter](backend, case)
    assert min(ways[way] for way in WAYS[name]) >= 5
    assert len(rows) >= DISTINCT / len(DTYPES)
