"""A slowdown planted into a commit is found by what ``nox -s bench_compare`` runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARK = r"overhead.Call.time_nothing\('numpy'\)"

#: Some 30 µs more for a call of 5.
SLOWER = """

_quick = topk


def topk(*args, **kwargs):
    for _ in range(2000):
        pass
    return _quick(*args, **kwargs)
"""


def git(folder, *arguments):
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *author, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture
def clone(tmp_path):
    """A repository of this tree, whose last commit is slower than the one before."""
    pytest.importorskip("asv")
    if shutil.which("git") is None:
        pytest.skip("git isn't installed")
    here = tmp_path / "clone"
    for part in ("approxtopk", "backends", "benchmarks"):
        shutil.copytree(ROOT / part, here / part, ignore=shutil.ignore_patterns("__pycache__"))
    without_results = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(ROOT / "asv_bench", here / "asv_bench", ignore=without_results)
    shutil.copy(ROOT / "pyproject.toml", here)
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(here))
    git(here, "add", ".")
    git(here, "commit", "--quiet", "-m", "as it is")
    with (here / "approxtopk" / "api.py").open("a") as file:
        file.write(SLOWER)
    git(here, "commit", "--quiet", "-a", "-m", "slower")
    return here


def compare(clone, first, second):
    command = [sys.executable, "asv_bench/compare.py", first, second, "--factor", "1.5"]
    return subprocess.run(
        [*command, "--bench", BENCHMARK], cwd=clone, capture_output=True, text=True, timeout=200
    )


def test_a_planted_slowdown_is_found(clone):
    done = compare(clone, "HEAD~1", "HEAD")
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (row for row in done.stdout.splitlines() if "overhead.Call.time_nothing" in row)
    assert line.startswith("| +")
    assert float(line.split("|")[4]) > 1.5


@pytest.mark.exhaustive
def test_the_way_back_is_no_slowdown(clone):
    """It isn't that every difference is taken for one."""
    done = compare(clone, "HEAD", "HEAD~1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PERFORMANCE INCREASED" in done.stdout


def test_commits_that_are_none_are_said_in_a_line(clone):
    done = compare(clone, "HEAD", "nothing-of-the-kind")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "compare: Unknown commit nothing-of-the-kind"
