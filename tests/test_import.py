"""`import approxtopk` is light: it imports no framework, and no plug-in before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "triton", "cupy", "numba", "jax", "hypothesis", "rich", "typer", "sklearn")

CODE = """
import sys
{code}
print(*sorted(set({heavy!r}) & set(sys.modules)))
print(*sorted(name for name in sys.modules if name.partition(".")[0].startswith("approxtopk_")))
"""

SELECT = "import approxtopk, numpy; approxtopk.topk(numpy.arange(9.0), 2, backend='numpy')"


def modules_after(code: str) -> tuple[list[str], list[str]]:
    """Heavy modules and modules of plug-ins that a new process holds after the code."""
    program = CODE.format(code=code, heavy=HEAVY)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    heavy, plugins = run.stdout.splitlines()
    return heavy.split(), plugins.split()


def test_import_brings_no_framework_and_no_plugin() -> None:
    assert modules_after("import approxtopk") == ([], [])


@pytest.mark.parametrize(
    "code",
    [
        "import approxtopk; approxtopk.plan(1 << 20, 64, recall=0.99)",
        SELECT,
        "import approxtopk.testing",
    ],
)
def test_framework_is_imported_only_when_it_is_needed(code: str) -> None:
    heavy, _ = modules_after(code)
    assert heavy == []


def test_all_is_the_public_api() -> None:
    import approxtopk

    public = {name for name in dir(approxtopk) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(approxtopk, name)).__name__ == "module"}
    assert public - modules == set(approxtopk.__all__) | (modules & set(approxtopk.__all__))
    assert sorted(approxtopk.__all__) == approxtopk.__all__
