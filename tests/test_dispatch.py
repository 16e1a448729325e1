"""Which backend gets a call, and what is said where none does."""

from __future__ import annotations

import ast
import pickle
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from processes import python

import approxtopk
from approxtopk import ArrayInfo, Backend, BackendSpec, Request, dispatch
from approxtopk.registry import Registry


class Fruit:
    """An array of nobody's: only its shape matters here."""

    shape = (4, 100)
    device = "cpu"


class Apple(Fruit):
    pass


class GrannySmith(Apple):
    pass


class Juice:
    shape = (100,)
    device = "cpu"
    __juice__ = True


class Answer(Backend):
    """Answers its own name, so that a test sees who was asked."""

    def __init__(self, name, refusal=None):
        self.name, self.refusal, self.asked = name, refusal, 0

    def describe(self, arr):
        return ArrayInfo(arr.shape, "float32", arr.device)

    def refuses(self, request):
        self.asked += 1
        return self.refusal

    def topk(self, arr, request, out=None):
        return self.name, request.device


class Plugin:
    def __init__(self, *specs):
        self.specs = specs

    @approxtopk.hookimpl
    def approxtopk_backends(self):
        return self.specs


def spec(name, *types, refusal=None, **fields):
    served = tuple(f"{t.__module__}.{t.__qualname__}" for t in types)
    return BackendSpec(name, lambda: Answer(name, refusal), array_types=served, **fields)


def caches_cleared():
    for forget in dispatch._caches:
        forget()


@pytest.fixture
def register(monkeypatch):
    """`approxtopk.register` for a registry of the test's own."""
    monkeypatch.setattr(dispatch, "registry", Registry())
    caches_cleared()
    yield lambda *specs: approxtopk.register(Plugin(*specs), f"the plug-in of {specs[0].name}")
    caches_cleared()


def asked(arr, **options):
    return approxtopk.topk(arr, 10, **options).values


def test_greatest_priority_wins(register):
    register(spec("low", Fruit, priority=1), spec("high", Fruit, priority=3))
    register(spec("middle", Fruit, priority=2))
    assert asked(Fruit()) == "high"


def test_equal_priorities_are_settled_by_name(register):
    register(spec("zebra", Fruit), spec("aardvark", Fruit))
    assert asked(Fruit()) == "aardvark"


def test_the_nearest_class_beats_priority(register):
    register(spec("fruit", Fruit, priority=50), spec("apple", Apple, priority=1))
    assert [asked(arr()) for arr in (Fruit, Apple, GrannySmith)] == ["fruit", "apple", "apple"]


def test_a_protocol_serves_unknown_types_but_a_declared_type_beats_it(register):
    register(spec("any", protocols=("__juice__",), priority=50))
    assert asked(Juice()) == "any"
    register(spec("declared", Juice, priority=1))
    assert asked(Juice()) == "declared"
    with pytest.raises(approxtopk.NoBackendError):
        asked(Fruit())


def test_device_kinds(register):
    register(spec("main", Fruit, priority=50), spec("gpu", Fruit, device_kinds=("cuda", "rocm")))
    here, there, nowhere = Fruit(), Fruit(), Fruit()
    there.device, nowhere.device = "cuda:1", "tpu:0"
    assert asked(here) == "main"
    assert approxtopk.topk(there, 10) == ("gpu", "cuda:1")
    why = approxtopk.explain(there, 10)
    assert why.passed_over == {"main": "serves cpu arrays, not cuda"}
    with pytest.raises(approxtopk.NoBackendError, match="of float32 on tpu:0") as caught:
        asked(nowhere)
    assert "gpu: serves cuda, rocm arrays, not tpu" in str(caught.value)
    register(spec("every", Fruit, device_kinds=("*",), priority=0))
    assert asked(nowhere) == "every"


def test_a_backend_that_refuses_is_passed_over_with_its_sentence(register):
    register(spec("shy", Fruit, priority=90, refusal="k is not my size."), spec("bold", Fruit))
    why = approxtopk.explain(Fruit(), 10)
    assert why.backend == "bold"
    assert why.passed_over == {"shy": "k is not my size."}
    assert "not shy: k is not my size." in str(why)


def test_unusable_backends_are_passed_over(register):
    def load():
        raise approxtopk.BackendUnavailableError("The gadget is off.")

    name = f"{Fruit.__module__}.Fruit"
    register(BackendSpec("off", load, array_types=(name,), priority=90), spec("on", Fruit))
    assert asked(Fruit()) == "on"
    assert approxtopk.explain(Fruit(), 10).passed_over == {"off": "The gadget is off."}
    with pytest.raises(approxtopk.NoBackendError, match=r"backend 'off' can't serve.*gadget"):
        asked(Fruit(), backend="off")


def test_backends_that_cannot_certify_are_passed_over(register):
    class Certain(Answer):
        certifies = True

        def topk(self, arr, request, out=None):
            pair = self.name, f"{request.b} {request.kb} {request.exact}"
            return (*pair, "yes") if request.certificate else pair

    name = f"{Fruit.__module__}.Fruit"
    register(
        spec("quick", Fruit, priority=9),
        BackendSpec("certain", lambda: Certain("certain"), array_types=(name,), priority=8),
    )
    assert asked(Fruit()) == asked(Fruit(), recall=1.0, b=100) == "quick"
    certified = approxtopk.topk(Fruit(), 10, certificate=True)
    assert isinstance(certified, approxtopk.CertifiedTopK)
    assert (certified.values, certified.exact) == ("certain", "yes")
    repaired = approxtopk.topk(Fruit(), 10, b=20, kb=2, recall=1.0)
    assert repaired == approxtopk.TopK("certain", "20 2 True")
    why = approxtopk.explain(Fruit(), 10, certificate=True).passed_over["quick"]
    assert why.startswith("can't tell whether an answer is exact")
    with pytest.raises(approxtopk.NoBackendError, match=r"'quick' can't serve .*: can't tell"):
        asked(Fruit(), certificate=True, backend="quick")


def test_explicit_backend_has_the_last_word(register):
    register(spec("high", Fruit, priority=3), spec("low", Fruit, priority=1))
    register(spec("other", Juice), spec("shy", Fruit, priority=0, refusal="Not today."))
    with approxtopk.use_backend("high"):
        assert asked(Fruit(), backend="low") == "low"
    with pytest.raises(approxtopk.NoBackendError, match=r"backend 'other' serves .*Juice; arr is"):
        asked(Fruit(), backend="other")
    with pytest.raises(approxtopk.NoBackendError, match=r"'shy' can't serve .*: Not today\."):
        asked(Fruit(), backend="shy")
    with pytest.raises(ValueError, match=r"backend must be one of .*high.*, got 'lwo'"):
        asked(Fruit(), backend="lwo")


def test_use_backend_nests_and_ends(register):
    register(spec("high", Fruit, priority=3), spec("low", Fruit, priority=1))
    with approxtopk.use_backend("low"):
        assert asked(Fruit()) == "low"
        with approxtopk.use_backend("high"):
            assert asked(Fruit()) == "high"
        with pytest.raises(RuntimeError, match="out"), approxtopk.use_backend("high"):
            raise RuntimeError("out")
        assert asked(Fruit()) == "low"
    assert asked(Fruit()) == "high"
    with pytest.raises(ValueError, match="got 'nobody'"), approxtopk.use_backend("nobody"):
        pass


def test_use_backend_stays_in_its_thread(register):
    register(spec("high", Fruit, priority=3), spec("low", Fruit, priority=1))
    got = []
    with approxtopk.use_backend("low"):
        thread = threading.Thread(target=lambda: got.append(asked(Fruit())))
        thread.start()
        thread.join()
    assert got == ["high"]


def test_an_explicit_backend_loads_no_other(register):
    loaded = []

    def load():
        loaded.append("heavy")
        return Answer("heavy")

    name = f"{Fruit.__module__}.Fruit"
    register(BackendSpec("heavy", load, array_types=(name,), priority=90), spec("light", Fruit))
    assert asked(Fruit(), backend="light") == "light"
    with approxtopk.use_backend("light"):
        assert asked(Fruit()) == "light"
    assert loaded == []
    assert asked(Fruit()) == "heavy"
    assert loaded == ["heavy"]


def test_register_reaches_calls_that_were_cached(register):
    register(spec("old", Fruit))
    assert asked(Fruit()) == "old"
    register(spec("new", Fruit, priority=50))
    assert asked(Fruit()) == "new"


def test_a_backend_is_asked_once_per_kind_of_call(register):
    register(spec("counting", Fruit))
    backend = dispatch.registry.declared()["counting"].load()
    for _ in range(5):
        asked(Fruit())
    assert backend.asked == 1
    approxtopk.topk(Fruit(), 11)
    assert backend.asked == 2


def test_a_refused_registration_changes_nothing(register):
    register(spec("mine", Fruit))
    before = approxtopk.backends()
    for plugin, error in [
        (Plugin(spec("new", Fruit), spec("mine", Juice)), approxtopk.PluginError),
        (Plugin("no spec"), TypeError),
        (object(), TypeError),
    ]:
        for _ in range(2):  # the second time says the same, not "registered already"
            with pytest.raises(error, match=r"mine|not a BackendSpec|marked"):
                approxtopk.register(plugin)
    assert approxtopk.backends() == before
    with pytest.raises(approxtopk.PluginError, match=r"'numpy': approxtopk_numpy.* and impostor"):
        approxtopk.register(Plugin(spec("numpy", Fruit)), "impostor")


def test_registering_twice_says_so(register):
    plugin = Plugin(spec("mine", Fruit))
    approxtopk.register(plugin, "mine")
    with pytest.raises(ValueError, match="mine is registered already"):
        approxtopk.register(plugin, "mine")


def test_no_backend_says_what_is_served_and_what_would_help(register):
    register(spec("gadget", Fruit, extra="gadget"), spec("widget", Apple, extra="widget"))
    with pytest.raises(approxtopk.NoBackendError) as caught:
        approxtopk.topk([1, 2, 3], 1)
    text = str(caught.value)
    assert text.startswith("no backend serves a list; served are ")
    assert f"{Fruit.__module__}.Fruit" in text
    assert "numpy.ndarray" in text
    assert "numpy.asarray(arr)" in text
    assert re.search(r"pip install 'approxtopk\[[a-z0-9,]*gadget,", text)
    assert isinstance(caught.value, TypeError)


def test_backends_tells_where_each_comes_from(register):
    register(spec("mine", Fruit, protocols=("__fruit__",), priority=7))
    status = next(s for s in approxtopk.backends() if s.name == "mine")
    assert status.origin == "the plug-in of mine"
    assert status.usable
    assert status.reason == ""
    assert status.array_types == (f"{Fruit.__module__}.Fruit", "any with __fruit__")
    priorities = [s.priority for s in approxtopk.backends()]
    assert priorities == sorted(priorities, reverse=True)


def test_environment_chooses_for_the_whole_process(tmp_path):
    code = "import numpy as np, approxtopk; print(approxtopk.explain(np.zeros(99), 3).backend)"
    done = python(tmp_path, code, APPROXTOPK_BACKEND="numpy")
    assert done.stdout == "numpy\n", done.stderr
    done = python(tmp_path, code, APPROXTOPK_BACKEND="nmupy")
    assert done.returncode == 1
    assert "backend must be one of " in done.stderr
    assert "got 'nmupy'" in done.stderr


def test_import_brings_in_no_framework(tmp_path):
    """Nor does a call on a NumPy array through the reference."""
    code = """
import sys, numpy as np
before = set(sys.modules)
import approxtopk
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert "approxtopk_numpy" not in new, "plug-ins wait for the first array"
approxtopk.topk(np.arange(9), 2, backend="numpy")
heavy = {"torch", "numba", "cupy", "triton", "cuda", "typer", "rich", "sklearn", "matplotlib",
         "hypothesis"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    done = python(tmp_path, code)
    assert done.stdout == "[]\n", done.stderr


def test_the_core_names_no_framework():
    """Only its docstrings and comments do; routing knows the names that plug-ins declare."""
    for source in Path(approxtopk.__file__).parent.glob("*.py"):
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                node.body = [statement for statement in node.body if not is_text(statement)]
        words = set(re.findall(r"[a-z_]+", ast.unparse(tree)))
        assert not words & {"torch", "cupy", "triton", "numba", "cuda"}, source


def is_text(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def test_equal_requests_have_one_hash_and_a_copy_has_its_own():
    request = Request((2, 8), "float32", "cpu", 1, 2, 4, 1)
    again = Request((2, 8), "float32", "cpu", 1, 2, 4, 1)
    assert hash(request) == hash(again)
    assert {request: 1}[again] == 1
    assert request != replace(request, largest=False)
    assert "_hash" not in vars(pickle.loads(pickle.dumps(request)))
