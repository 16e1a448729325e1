"""What the site's figures say is what the library computes and what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import approxtopk

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def figures():
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(DOCS))
    import figures

    yield figures
    sys.path.remove(str(DOCS))
    for name in [name for name in sys.modules if name.partition(".")[0] == "figures"]:
        del sys.modules[name]


def test_buckets_show_one_miss_in_a_full_bucket(figures):
    """The caption's claim: a bucket held three of the top 8, kept two, and seven are found."""
    found = figures.buckets.stages()
    b, kb, k = figures.buckets.B, figures.buckets.KB, figures.buckets.K
    top = np.argsort(-found.row)[:k]
    assert set(top) == set(found.chosen) - (set(found.chosen) - set(top)) | set(found.missed)
    assert len(found.missed) == 1
    assert np.bincount(top % b).max() == kb + 1
    assert set(found.chosen) <= set(found.candidates)
    assert len(found.candidates) == b * kb


def test_dots_lie_on_the_curves(figures):
    """Within what a mean over so many elements spreads, at every dot that is shown."""
    recall = figures.recall
    shown = 0
    for kb in recall.QUEUES:
        for candidates, got in recall.measured(kb):
            expected = approxtopk.expected_recall(recall.N, recall.K, candidates // kb, kb)
            missed = (1 - expected) * recall.K * recall.ROWS
            if missed >= recall.MISSED:
                shown += 1
                assert abs(got - expected) * recall.K * recall.ROWS < 5 * missed**0.5 + 1
    assert shown > 12


def test_curves_are_the_formula(figures):
    for kb in figures.recall.QUEUES:
        curve = figures.recall.expected(kb)
        assert [b for b, _ in curve] == sorted({b for b, _ in curve})
        candidates, recall = curve[len(curve) // 2]
        n, k = figures.recall.N, figures.recall.K
        assert recall == approxtopk.expected_recall(n, k, candidates // kb, kb)


def test_times_are_those_measured(figures):
    sweep = json.loads(figures.times.SWEEP.read_text())["workloads"]
    for rows, n, k in figures.times.PANELS:
        (workload,) = (
            w for w in sweep
            if (w["rows"], w["n"], w["k"], w["dtype"]) == (rows, n, k, "float32")
        )  # fmt: skip
        drawn = [point for points in figures.times.curves(rows, n, k).values() for point in points]
        assert sorted(drawn) == sorted((p["expected_recall"], p["us"]) for p in workload["plans"])


def test_a_figure_is_the_same_every_time(figures, tmp_path):
    for theme in figures.THEMES:
        once, again = tmp_path / "a" / f"{theme}.svg", tmp_path / "b" / f"{theme}.svg"
        for path in (once, again):
            path.parent.mkdir(exist_ok=True)
            figures.FIGURES["times"](path, theme)
        assert once.read_bytes() == again.read_bytes()
        assert b"<svg" in once.read_bytes()[:600]
