"""Settings under which small arrays take the ways of large ones."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads share whatever work there is, however small."""
    launch = pytest.importorskip("approxtopk_numba.launch")
    monkeypatch.setattr(launch, "BYTES_PER_THREAD", 1)
    monkeypatch.setattr(launch, "most_threads", lambda: 3)
    launch.launch.cache_clear()
    yield
    launch.launch.cache_clear()


@pytest.fixture
def few_elements_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The NumPy backend takes every row by itself, and a few elements of it at a time."""
    from approxtopk_numpy import memory, stage1

    monkeypatch.setattr(stage1, "SHORT_PART", 50)
    monkeypatch.setattr(memory, "CHUNK", 1)
    memory.block_rows.cache_clear()
    yield
    memory.block_rows.cache_clear()


@pytest.fixture
def rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Numba backend copies every row that it has to in seven pieces, however short it is."""
    backend = pytest.importorskip("approxtopk_numba.backend")
    monkeypatch.setattr(backend, "block_rows", lambda *_: (1, 7))


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are cut in pieces as if nothing but twenty candidates could be held."""
    from approxtopk_numpy import backend, memory

    cached = [memory.piece_count]
    monkeypatch.setattr(memory, "allowance", lambda _: 1)
    monkeypatch.setattr(backend, "room", lambda _: 20)
    if importlib.util.find_spec("numba"):
        from approxtopk_numba import launch, run

        cached += [launch.launch, run.job]
        monkeypatch.setattr(launch, "allowance", lambda _: 1)
        monkeypatch.setattr(run, "room", lambda _: 20)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()
