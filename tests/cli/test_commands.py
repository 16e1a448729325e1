"""info, plan and the program around them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import approxtopk
from approxtopk.cli.app import app, run


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version_and_help():
    assert invoke("--version").stdout == f"approxtopk {approxtopk.__version__}\n"
    shown = invoke("--help")
    assert shown.exit_code == 0
    for command in ("info", "plan", "select", "bench", "demo"):
        assert command in shown.stdout


def test_plan_marks_the_plan_that_topk_uses():
    shown = invoke("plan", 131072, 64, "--recall", 0.99)
    assert shown.exit_code == 0
    marked = [line.split() for line in shown.stdout.splitlines() if line.startswith("→")]
    chosen = approxtopk.plan(131072, 64, recall=0.99)
    assert len(marked) == 1
    assert marked[0][1:] == [
        *(str(number) for number in (chosen.kb, chosen.b, chosen.candidates)),
        f"{chosen.recall:.6f}",
        f"{chosen.cost:.3f}",
    ]
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert all(float(row[3]) >= 0.99 for row in rows)
    assert min(float(row[4]) for row in (*rows, marked[0][1:])) == float(marked[0][5])


def test_plan_for_exact_answers_tells_of_repairs():
    shown = invoke("plan", 65536, 64, "--recall", 1)
    (marked,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("→")]
    chosen = approxtopk.plan(65536, 64, recall=1.0)
    share = chosen.read_again / 65536
    assert marked[4:6] == [f"{chosen.repair_probability:.2%}", f"{share:.2%}"]
    assert "rows repaired  read again" in shown.stdout


@pytest.mark.parametrize(
    ("n", "k", "recall"), [(10, 0, 0.95), (0, 0, 0.5), (1000, 10, 1), (3, 3, 0.9)]
)
def test_plan_at_the_edges(n, k, recall):
    shown = invoke("plan", n, k, "--recall", recall)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("\n→") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "10", "11"], "k must be in [0, 10], got 11"),
        (["plan", "ten", "1"], "integer"),
        (["plan", "10", "1", "--recall", "1.5"], "recall must be in (0, 1], got 1.5"),
        (["plan", "10"], "Missing argument"),
        (["plna"], "No such command 'plna'"),
        (["plan", "10", "1", "--recal", "1"], "No such option"),
        (["select", "a.npy", "-o", "b.npz"], "Missing option '-k'"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(arguments, message, capsys):
    try:
        code = run(arguments)
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("approxtopk: ")
    assert message in said.err


def test_info_tells_every_backend(monkeypatch):
    statuses = [
        approxtopk.BackendStatus(
            name="fine", usable=True, reason="", array_types=("a.B",), device_kinds=("cuda",),
            devices=("cuda:0 (a GPU)",), priority=9, extra="", origin="fine (fine 1.0)",
        ),
        approxtopk.BackendStatus(
            name="sad", usable=False, reason="No module [that]; pip install 'approxtopk[sad]'",
            array_types=("c.D",), device_kinds=("cpu",), devices=(), priority=1, extra="sad",
            origin="sad (sad 2.0)",
        ),
    ]  # fmt: skip
    monkeypatch.setattr("approxtopk.cli.info.backends", lambda: statuses)
    monkeypatch.setattr(
        "approxtopk.cli.info.requires",
        lambda _: ["numpy>=1", 'pytest>=8; extra == "sad"', "nowhere>1; extra == 'sad'"],
    )
    monkeypatch.setenv("COLUMNS", "160")
    shown = invoke("info").stdout
    assert f"approxtopk {approxtopk.__version__}, Python 3." in shown
    assert "numpy " in shown
    fine, sad = (
        next(line for line in shown.splitlines() if name in line) for name in ("fine", "sad")
    )
    assert fine.split()[:3] == ["fine", "yes", "cuda:0"]
    assert sad.split()[:3] == ["sad", "no", "cpu"]
    assert f"pytest {pytest.__version__}" in sad
    assert "nowhere (not installed)" in sad
    assert "sad: No module [that]; pip install 'approxtopk[sad]'" in shown


def test_info_as_it_is_here():
    shown = invoke("info")
    assert shown.exit_code == 0
    assert "numpy" in shown.stdout


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing, tmp_path):
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom approxtopk.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"approxtopk: the command line needs {missing}: pip install 'approxtopk[cli]'\n"
    )


def test_python_m():
    command = [sys.executable, "-m", "approxtopk", "plan", "1000", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "→" in done.stdout
