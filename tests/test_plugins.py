"""Broken plug-ins, as real installed distributions in processes of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import processes
import pytest
from processes import install

GOOD = """
import approxtopk

class Fine(approxtopk.Backend):
    pass

@approxtopk.hookimpl
def approxtopk_backends():
    return [approxtopk.BackendSpec(name="{name}", load=Fine, array_types=("{name}.Array",))]
"""

#: What each broken plug-in says, and what its user is told.
BROKEN = {
    "missing_framework": ("import a_framework_that_is_not_there", "ModuleNotFoundError: No module"),
    "raises_on_import": ("raise OSError('no driver')", "OSError: no driver"),
    "syntax": ("def", "SyntaxError"),
    "raises_in_hook": (
        """
import approxtopk
@approxtopk.hookimpl
def approxtopk_backends():
    raise RuntimeError("not today")
""",
        "RuntimeError: not today",
    ),
    "wrong_signature": (
        """
import approxtopk
@approxtopk.hookimpl
def approxtopk_backends(colour):
    return []
""",
        "{'colour'} are declared in the hookimpl but can not be found in the hookspec",
    ),
    "not_marked": ("def approxtopk_backends(): return []", "marked with @approxtopk.hookimpl"),
    "returns_none": (
        """
import approxtopk
@approxtopk.hookimpl
def approxtopk_backends():
    pass
""",
        "gave None, not a list of BackendSpec",
    ),
    "returns_one_spec": (
        GOOD.replace("return [", "return ").replace(",))]", ",))").format(name="one"),
        "not a list of BackendSpec",
    ),
    "returns_strings": (
        """
import approxtopk
@approxtopk.hookimpl
def approxtopk_backends():
    return ["numpy"]
""",
        "gave 'numpy', not a BackendSpec",
    ),
    "types_as_string": (
        GOOD.replace('("{name}.Array",)', '"{name}.Array"').format(name="letters"),
        "array_types must be a tuple of strings, got the string 'letters.Array'",
    ),
}

#: Asks for the backends three times, and prints what was heard and what still works.
USE = """
import warnings
import numpy as np, approxtopk
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    for _ in range(3):
        assert approxtopk.topk(np.arange(9), 1).values[0] == 8
        names = [status.name for status in approxtopk.backends() if status.usable]
for warning in heard:
    print("heard", warning.category.__name__, str(warning.message).replace(chr(10), " "))
print("works", *names)
"""

#: To import them takes some seconds, which whoever asks for all backends would wait for.
WITHOUT_FRAMEWORKS = """
import sys
sys.modules.update(dict.fromkeys(("torch", "numba", "triton", "cupy")))
"""


def python(site: Path, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """As if no framework were installed: plug-ins are what this is about."""
    return processes.python(site, WITHOUT_FRAMEWORKS + code, **env)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> list[str]:
    """What is printed with all of them, and a good one, in one process."""
    site = tmp_path_factory.mktemp("site")
    for name, (code, _) in BROKEN.items():
        install(site, name, code)
    install(site, "well_kept", GOOD.format(name="well_kept"))
    done = python(site, USE)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_once(name, said):
    start = f"heard PluginWarning plug-in {name} ({name} 1.2) is left out: "
    (line,) = (line for line in said if line.startswith(start))
    assert BROKEN[name][1] in line


def test_the_others_work(said):
    *heard, works = said
    assert len(heard) == len(BROKEN)
    assert {"well_kept", "numpy"} <= set(works.split())


@pytest.mark.parametrize("name", ["raises_on_import", "wrong_signature", "returns_none"])
def test_strict_mode_raises_every_time(name, tmp_path):
    install(tmp_path, name, BROKEN[name][0])
    code = """
import numpy as np, approxtopk
for _ in range(2):
    try:
        approxtopk.topk(np.arange(9), 1)
    except approxtopk.PluginError as error:
        print(error, "| caused by", type(error.__cause__).__name__)
"""
    done = python(tmp_path, code, APPROXTOPK_STRICT_PLUGINS="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"plug-in {name} ({name} 1.2) is left out") == 2
    assert done.stdout.count("| caused by") == 2


def test_warnings_as_errors_stop_one_call_not_all(tmp_path):
    install(tmp_path, "raises_on_import", BROKEN["raises_on_import"][0])
    code = """
import warnings; warnings.simplefilter("error")
import numpy as np, approxtopk
try:
    approxtopk.topk(np.arange(9), 1)
except approxtopk.PluginWarning as warning:
    print("stopped by", warning)
print(approxtopk.topk(np.arange(9), 1).values[0])
"""
    done = python(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stopped by plug-in raises_on_import")
    assert done.stdout.endswith("\n8\n")


def test_two_backends_of_one_name_name_both_distributions(tmp_path):
    install(tmp_path, "first", GOOD.format(name="twin"), "1.0")
    install(tmp_path, "second", GOOD.format(name="twin"), "2.0")
    code = """
import numpy as np, approxtopk
for _ in range(2):
    try:
        approxtopk.topk(np.arange(9), 1)
    except approxtopk.PluginError as error:
        print(error)
"""
    done = python(tmp_path, code)
    assert done.returncode == 0, done.stderr
    first, again = done.stdout.splitlines()
    assert first == again  # until one of them is uninstalled
    assert "'twin'" in first
    assert "first (first 1.0)" in first
    assert "second (second 2.0)" in first


def test_a_backend_that_fails_to_load_leaves_its_reason(tmp_path):
    code = GOOD.format(name="sick").replace("load=Fine", "load=load") + (
        "\ndef load():\n    raise ZeroDivisionError('in load')\n"
    )
    install(tmp_path, "sick", code)
    done = python(tmp_path, USE + "print([s.reason for s in approxtopk.backends()])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("heard") == 1
    assert (
        "backend 'sick' of sick (sick 1.2) is left out: ZeroDivisionError: in load" in done.stdout
    )
    assert "loading failed: ZeroDivisionError: in load" in done.stdout


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import a_framework_that_is_not_there", "pip install 'approxtopk[gadget]'"),
        ("raise approxtopk.BackendUnavailableError('The gadget is off.')", "The gadget is off."),
        ("return 'not a backend'", "load() returned 'not a backend', not an approxtopk.Backend"),
    ],
)
def test_why_a_backend_is_not_usable(body, reason, tmp_path):
    code = GOOD.format(name="gadget").replace("load=Fine", "load=load, extra='gadget'")
    install(tmp_path, "gadget", f"{code}\ndef load():\n    {body}\n")
    done = python(
        tmp_path,
        "import approxtopk, warnings; warnings.simplefilter('ignore')\n"
        "print([s.reason for s in approxtopk.backends() if s.name == 'gadget'])",
    )
    assert done.returncode == 0, done.stderr
    assert reason in done.stdout.replace('\\"', '"').replace("\\'", "'")


def test_plugins_named_by_hand(tmp_path):
    (tmp_path / "by_hand.py").write_text(GOOD.format(name="by_hand"))
    code = "import approxtopk; print([s.name for s in approxtopk.backends()])"
    done = python(tmp_path, code, APPROXTOPK_PLUGINS="by_hand,approxtopk_numpy")
    assert done.returncode == 0, done.stderr
    assert "'by_hand'" in done.stdout
    assert done.stdout.count("'numpy'") == 1
