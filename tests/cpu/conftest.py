"""Settings under which small arrays take the ways of large ones."""

from __future__ import annotations

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
