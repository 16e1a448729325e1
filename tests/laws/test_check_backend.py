"""`check_backend`, the one call for outsiders: it passes what is right and names what is wrong."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import approxtopk
from approxtopk.testing import EDGE_CASES, check_backend
from approxtopk_numpy.backend import NumpyBackend


class Marked(np.ndarray):
    """An array type of these tests, so that their backends serve nobody else's arrays."""


class Careless(NumpyBackend):
    """Loses the sign of zeros."""

    def topk(self, arr, request, out=None):
        values, indices = super().topk(arr, request, out)
        with np.errstate(invalid="ignore"):
            values[values == 0] = 0
        return values.view(Marked), indices.view(Marked)


class Shy(NumpyBackend):
    """Refuses whatever it is asked."""

    def refuses(self, request):
        return "not today"


class Plugin:
    @approxtopk.hookimpl
    def approxtopk_backends(self):
        types = (f"{Marked.__module__}.{Marked.__qualname__}",)
        return [
            approxtopk.BackendSpec(f"{cls.__name__.lower()} of tests", cls, types, priority=-1)
            for cls in (Careless, Shy)
        ]


@pytest.fixture(scope="module", autouse=True)
def _plugin():
    approxtopk.register(Plugin(), "plug-in of test_check_backend")


def marked(array: np.ndarray) -> Marked:
    return array.view(Marked)


def test_the_reference_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the edge cases: each of them has a test of its own."""
    monkeypatch.setattr("approxtopk.testing.check.EDGE_CASES", EDGE_CASES[::6])
    check_backend("numpy", dtypes=["float16"], max_examples=10)


def test_a_broken_law_is_named_with_the_smallest_counterexample() -> None:
    with pytest.raises(AssertionError) as caught:
        check_backend("careless of tests", to_array=marked, to_numpy=np.asarray)
    message = str(caught.value)
    assert "law a is broken: Values equal the gathered input bit for bit." in message
    assert "topk([-0.], 1, b=1, kb=1, axis=" in message


def test_a_backend_that_refuses_everything_fails() -> None:
    with pytest.raises(approxtopk.NoBackendError, match="not today"):
        check_backend("shy of tests", to_array=marked, dtypes=["int8"], max_examples=5)


def test_an_unknown_backend() -> None:
    with pytest.raises(ValueError, match=r"no usable backend 'abacus': there are .*numpy"):
        check_backend("abacus")


def test_without_hypothesis_the_cure_is_named() -> None:
    code = (
        "import sys\n"
        "for name in ('hypothesis', 'torch', 'triton', 'numba', 'cupy'): sys.modules[name] = None\n"
        "from approxtopk.testing import check_backend\n"
        "check_backend('numpy')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "pip install 'approxtopk[testing]'" in run.stderr
