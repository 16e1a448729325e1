"""bench: small sizes, short times; what it says must agree with itself and with the library."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import approxtopk
from approxtopk.cli import bench, timing
from approxtopk.cli.app import app

SMALL = ("bench", "4096", "16", "--rows", "8", "--seconds", "0.02")


@pytest.fixture(autouse=True)
def _small_inputs(monkeypatch):
    monkeypatch.setattr(timing, "ROTATED", 1 << 18)
    monkeypatch.setattr(timing, "BATCH", 1e-3)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """One run, its output, its numbers and its picture."""
    folder = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    patch.setattr(timing, "ROTATED", 1 << 20)
    numbers, picture = folder / "numbers.json", folder / "picture.png"
    options = ("--recall", 0.9, "--recall", 0.9999, "--json", numbers, "--plot", picture)
    done = invoke(*SMALL, "--backend", "numpy", *options)
    patch.undo()
    assert done.exit_code == 0, done.output
    return done.stdout, json.loads(numbers.read_text()), picture


def test_numbers_agree_with_the_library(report):
    _, numbers, _ = report
    assert numbers["version"] == approxtopk.__version__
    assert [numbers[name] for name in ("rows", "n", "k", "dtype", "device")] == [
        *(8, 4096, 16),
        *("float32", "cpu"),
    ]
    assert (numbers["library"], numbers["backend"]) == ("numpy", "numpy")
    peer, exact, *approximate = numbers["entries"]
    assert (peer["name"], exact["name"]) == ("numpy.argpartition", "topk, exact")
    assert peer["measured"] == exact["measured"] == exact["expected"] == 1
    assert len(approximate) == 2
    for entry, recall in zip(approximate, (0.9999, 0.9), strict=True):
        plan = approxtopk.plan(4096, 16, recall=recall)
        assert (entry["b"], entry["kb"]) == (plan.b, plan.kb)
        assert entry["candidates"] == plan.candidates
        assert entry["expected"] == plan.recall
        assert entry["measured"] == pytest.approx(plan.recall, abs=0.05)


def test_ratios_are_those_of_the_times(report):
    _, numbers, _ = report
    peer = numbers["entries"][0]
    for entry in numbers["entries"]:
        assert 0 < entry["low"] <= entry["seconds"] <= entry["high"]
        assert entry["speedup"] == pytest.approx(peer["seconds"] / entry["seconds"])
        assert entry["over_floor"] == pytest.approx(entry["seconds"] / numbers["floor"])


def test_the_table_shows_the_numbers(report):
    shown, numbers, _ = report
    assert shown.startswith("Top 16 of 4096 float32, 8 rows, on cpu; arrays of numpy")
    lines = shown.splitlines()
    for entry in numbers["entries"]:
        (line,) = (line for line in lines if line.startswith(f"{entry['name']} "))
        assert line.endswith(f"{entry['over_floor']:.3g}")
        assert bench.duration(entry["seconds"]) in line


def test_the_picture_is_one(report):
    assert report[2].read_bytes().startswith(b"\x89PNG")
    assert report[2].stat().st_size > 10_000


def test_arrays_of_another_library():
    pytest.importorskip("torch")
    done = invoke(*SMALL, "--backend", "torch", "--dtype", "bfloat16", "--recall", 0.95)
    assert done.exit_code == 0, done.output
    assert "arrays of torch, backend torch" in done.stdout
    assert "torch.topk" in done.stdout


def library(name, *missing):
    """A backend's status, and a module that has all but these."""
    has = {"float32", "bfloat16", "topk"} - set(missing)
    about = {"name": name, "usable": True, "device_kinds": ("abacus",)}
    status = SimpleNamespace(array_types=(f"{name}.Array",), **about)
    return status, SimpleNamespace(**dict.fromkeys(has))


@pytest.mark.parametrize(
    ("dtype", "libraries", "chosen"),
    [
        ("float32", {"a": (), "b": ()}, "a"),  # the preferred backend's
        ("float32", {"a": ("topk",), "b": ()}, "b"),
        ("float32", {"a": (), "numpy": ("topk", "bfloat16")}, "numpy"),
        ("bfloat16", {"numpy": ("topk", "bfloat16"), "a": ("bfloat16",), "b": ("topk",)}, "b"),
    ],
)
def test_whose_arrays(dtype, libraries, chosen, monkeypatch):
    made = {name: library(name, *missing) for name, missing in libraries.items()}
    monkeypatch.setattr(timing, "backends", lambda: [status for status, _ in made.values()])
    monkeypatch.setattr(timing, "import_module", lambda name: made[name][1])
    assert timing.library_for("abacus", None, dtype) == chosen


def test_plans_that_are_one_have_one_line():
    """Recall of 1 is there once, and a row too short for a plan below it has no other."""
    done = invoke("bench", 4, 4, "--seconds", 0, "--backend", "numpy", "--recall", 0.999)
    assert done.exit_code == 0, done.output
    assert [line for line in done.stdout.splitlines() if line.startswith("topk")] == [
        line for line in done.stdout.splitlines() if line.startswith("topk, exact")
    ]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "float16"])
def test_every_kind_of_element(dtype):
    done = invoke("bench", 64, 4, "--seconds", 0, "--backend", "numpy", "--dtype", dtype)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("10", "11"), "k must be in [1, 10] (n), got 11"),
        (("10", "0"), "k must be in [1, 10] (n), got 0"),
        (("10", "1", "--rows", "0"), "rows must be in"),
        (("10", "1", "--dtype", "complex64"), "complex64"),
        (
            ("10", "1", "--dtype", "bfloat16", "--backend", "numpy"),
            "dtype must be one that numpy has, got 'bfloat16'",
        ),
        (("10", "1", "--recall", "1.5"), "recall must be in (0, 1], got 1.5"),
        (("10", "1", "--backend", "nupmy"), "got 'nupmy'"),
        (("10", "1", "--device", "abacus", "--backend", "numpy"), "numpy: not on abacus"),
        (("10", "1", "--plot", "nowhere/a.png"), "there is no folder nowhere"),
    ],
)
def test_refusals_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("bench", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_contenders_take_turns_over_all_inputs():
    """Every contender gets the next input, and a result is waited for before the clock is read."""
    seen = {"a": [], "b": []}

    class Result:
        def reshape(self, _):
            return self

        def __getitem__(self, _):
            return self

        def tolist(self):
            seen["waited"] = True

    def call(name):
        return lambda arr: seen[name].append(arr) or Result()

    turn = timing.turns({"a": call("a"), "b": call("b")}, [0, 1, 2])
    rounds = [next(turn) for _ in range(2)]
    assert seen["waited"]
    assert all(set(found) == {"a", "b"} and min(found.values()) > 0 for found in rounds)
    assert {0, 1, 2} <= set(seen["a"]) & set(seen["b"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (1.234e-3, "1.23 ms"), (5e-5, "50 µs"), (3.7e-8, "0.037 µs")],
)
def test_durations(seconds, text):
    assert bench.duration(seconds) == text


def test_a_library_that_takes_no_device(monkeypatch):
    """Its arrays can only be in one place."""

    class Library:
        float32 = np.float32

        def asarray(self, array, dtype):
            return array.astype(dtype)

    monkeypatch.setattr(timing, "import_module", lambda name: Library())
    with pytest.raises(ValueError, match="some makes its arrays on cpu, not on abacus:1"):
        timing.Inputs.make("some", 2, 8, "float32", "abacus:1")
    inputs = timing.Inputs.make("some", 2, 8, "float32", "abacus")
    assert inputs.whole.shape[1] == 8
    assert len(inputs.copies) >= 2
    assert all(copy.shape == (2, 8) for copy in inputs.copies)
