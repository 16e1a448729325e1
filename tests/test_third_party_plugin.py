"""The documentation's plug-in: the files it shows, built, installed and used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import python

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tests" / "plugins" / "approxtopk-stdlib-array"
GUIDE = ROOT / "docs" / "writing-a-backend.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the plug-in installed by pip, which needs the network for nothing."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    source.mkdir()
    for file in PACKAGE.glob("*.*"):  # building leaves nothing in the tree
        (source / file.name).write_bytes(file.read_bytes())
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", folder / "here", source],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return folder / "here"


def test_the_guide_shows_these_files():
    text = GUIDE.read_text()
    for language, name in (("toml", "pyproject.toml"), ("python", "approxtopk_stdlib_array.py")):
        shown = re.search(rf"`{name}`\n\n```{language}\n(.*?)```", text, re.DOTALL)
        assert shown is not None, name
        assert shown[1] == (PACKAGE / name).read_text()


def test_the_guide_shows_its_output(site):
    session = re.search(r"```pycon\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]
    code = f"import doctest; doctest.run_docstring_examples({session!r}, {{}})"
    done = python(site, code)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_it_is_a_distribution_of_its_own(site):
    code = """
import approxtopk
status = next(s for s in approxtopk.backends() if s.name == "stdlib-array")
print(status.usable, status.origin, status.array_types)
"""
    done = python(site, code)
    expected = "approxtopk_stdlib_array (approxtopk-stdlib-array 1.0) ('array.array',)"
    assert done.stdout == f"True {expected}\n", done.stderr


def test_it_keeps_the_promises_that_the_core_makes(site):
    code = """
from array import array
import random
import numpy as np, approxtopk
random.seed(0)
for typecode in "bBhilqfd":
    x = array(typecode, [random.randrange(100) for _ in range(999)])
    for options in ({}, {"recall": 1.0}, {"b": 40, "kb": 2}, {"largest": False}, {"k": 0},
                    {"index_dtype": "int32"}, {"interleaved": False}):
        options = {"k": 9, **options}
        got = approxtopk.topk(x, sorted=True, **options)
        want = approxtopk.topk(np.asarray(x), sorted=True, backend="numpy", **options)
        assert type(got.values) is type(got.indices) is array
        assert got.values.typecode == typecode
        assert got.values.tolist() == want.values.tolist()
        assert got.indices.tolist() == want.indices.tolist()
out = array("d", bytes(16)), array("q", bytes(16))
x = array("d", [3, 1, 4, 1, 5])
assert approxtopk.topk(x, 2, out=out, sorted=True).values is out[0]
assert out[0].tolist() == [5, 4] and out[1].tolist() == [4, 2]
assert approxtopk.recall(out, approxtopk.topk(x, 2, recall=1.0)) == 1.0
for bad, message in ((dict(arr=x, k=6), "k must be in [0, 5]"),
                     (dict(arr=x, k=1, certificate=True), "array.array holds no booleans"),
                     (dict(arr=array("H", [1]), k=1), "arr has dtype uint16")):
    try:
        approxtopk.topk(**bad)
    except (ValueError, TypeError) as error:
        assert message in str(error), error
    else:
        raise AssertionError(bad)
print("kept")
"""
    done = python(site, code)
    assert done.stdout == "kept\n", done.stderr
