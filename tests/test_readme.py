"""The README's code runs and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from processes import python

import approxtopk

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_prints_its_output(tmp_path):
    (code,), (output,) = blocks("python"), blocks("text")
    assert README.index(output) < README.index("\n## "), "the output is on the first screen"
    done = python(tmp_path, code)
    assert done.stdout == output, done.stderr


def test_the_console_prints_its_output():
    pytest.importorskip("typer")
    sessions = [session.split("\n", 1) for session in blocks("console")]
    assert sessions
    for command, output in sessions:
        words = command.removeprefix("$ approxtopk ").split()
        done = subprocess.run(
            [sys.executable, "-m", "approxtopk", *words],
            capture_output=True,
            text=True,
            timeout=60,
        )
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        assert printed == output.splitlines(), done.stderr


def test_the_claim_about_candidates():
    """How few candidates there are, and the recall where there are no more than k."""
    claimed = int(re.search(r"of (\d+) candidates instead of 131,072", README)[1])
    assert claimed == approxtopk.plan(131072, 64, recall=0.99).candidates
    for kb, recall in ((1, 0.63), (2, 0.73), (4, 0.80)):
        assert round(approxtopk.expected_recall(2**30, 2**14, 2**14 // kb, kb), 2) == recall


def test_two_commands_of_one_line_each():
    demo, tests = blocks("sh")
    for command, extra, program in ((demo, "demo", "approxtopk demo"), (tests, "test", "pytest")):
        assert command.count("\n") == 1
        assert f".venv/bin/pip install '.[{extra}]'" in command
        assert f".venv/bin/{program}" in command
        assert extra in PROJECT["optional-dependencies"]


def test_every_backend_and_no_other_is_listed():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \| .* \|$", README, re.MULTILINE)
    assert {name for name, _ in rows} == set(PROJECT["entry-points"]["approxtopk"])
    for _, install in rows:
        for extra in re.findall(r"approxtopk\[(\w+)\]", install):
            assert extra in PROJECT["optional-dependencies"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / target).exists(), target
    assert (ROOT / "docs" / "images" / "demo.png").stat().st_size < 150_000
