"""The demo, on its real data."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

import approxtopk
from approxtopk.cli import demo
from approxtopk.cli.app import app

if not (find_spec("sklearn") and find_spec("matplotlib")):  # each worker would import them
    pytest.skip("needs scikit-learn and matplotlib", allow_module_level=True)


@pytest.fixture(scope="module")
def digits():
    return demo.Digits.load()


def test_the_whole_demo(tmp_path):
    picture = tmp_path / "picture.png"
    done = CliRunner().invoke(app, ["demo", "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    row = r"^(numpy|topk, exact|topk, b|in the|sorted)(.*)$"
    rows = {
        name: [float(cell) for cell in re.findall(r"\d+\.\d+|(?<= )1(?= )", cells)]
        for name, cells in re.findall(row, done.stdout, re.MULTILINE)
    }
    assert rows["topk, exact"][:2] == [1, 1]
    predicted, measured = rows["topk, b"][:2]
    assert predicted >= 0.95
    assert measured == pytest.approx(predicted, abs=0.02)
    assert rows["topk, b"][2] == pytest.approx(rows["topk, exact"][2], abs=0.5)  # right labels, %
    for order in ("in the", "sorted"):
        interleaved, contiguous = rows[order][:2]
        assert interleaved > 0.97 > 0.96 > contiguous


def test_neighbours_are_the_nearest_others(digits):
    """By the definition, for some images."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    for i in (0, 5, 1000, 1796):
        distances = ((pixels - pixels[i]) ** 2).sum(axis=1)
        distances[i] = float("inf")
        assert sorted(-digits.exact.values[i]) == pytest.approx(sorted(distances)[:10])
    assert (digits.labels == labels).all()


@pytest.mark.parametrize("kb", [1, 2, 4])
def test_interleaved_recall_follows_the_prediction(kb, digits):
    predicted = dict(demo.predicted(digits, kb))
    for candidates, measured in demo.sweep(digits, kb, interleaved=True):
        assert measured == pytest.approx(predicted[candidates], abs=0.025)


def test_what_order_means(digits):
    assert demo._close(digits) > 2 * demo._close_by_chance(digits.n)
    assert demo._close_by_chance(1797) == pytest.approx(2 * 100 / 1796, rel=0.05)


def test_a_recall_of_ones_own():
    plan = approxtopk.plan(1797, demo.K, recall=0.8)
    assert demo.Digits.load(by_label=True).measure(plan) > 0.78


def test_refusals(tmp_path, monkeypatch):
    done = CliRunner().invoke(app, ["demo", "--plot", str(tmp_path / "nowhere" / "a.png")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "there is no folder" in done.stderr
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["demo", "--plot", str(tmp_path / "a.png")])
    assert done.exit_code == 2
    assert done.stderr == (
        "approxtopk: the demo needs sklearn, matplotlib: pip install 'approxtopk[demo]'\n"
    )
