"""What the suites share: the sizes, arrays to select from, and reasons to skip."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import approxtopk

ROOT = Path(__file__).parents[2]

#: Expected recall that calls are planned for; a graph shows the first unless asked for another.
RECALLS = (0.99, 0.95)


def load(path: str) -> ModuleType:
    """A file of this checkout as a module, whatever commit is on the path to be measured."""
    name = f"_{Path(path).stem}_of_this_checkout"
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: The sizes that tests use too, by the names that results have.
WORKLOADS = {str(w): w for w in load("approxtopk/testing/workloads.py").WORKLOADS}

#: Those that a CPU reads within some milliseconds.
ON_CPU = [name for name, w in WORKLOADS.items() if w.elements <= 1 << 24 and w.dtype == "float32"]


def requires(module: str) -> Any:
    """The module, or skip the benchmark and say what is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotImplementedError(f"needs {module}: {error}") from error


def requires_gpu() -> Any:
    """torch, or skip the benchmark where it is missing or sees no GPU."""
    torch = requires("torch")
    if not torch.cuda.is_available():
        raise NotImplementedError("torch sees no GPU")
    return torch


def requires_backend(name: str, arr: Any) -> None:
    """Skip the benchmark where a backend can't select from the array, with its own reason."""
    try:
        approxtopk.explain(arr, 1, backend=name)
    except (ValueError, TypeError, RuntimeError) as error:
        raise NotImplementedError(f"{name}: {error}") from error


@cache
def normal(name: str) -> np.ndarray:
    """The array of a workload: random, so that no order helps or hurts."""
    w = WORKLOADS[name]
    return np.random.default_rng(0).standard_normal((w.rows, w.n), dtype=np.float32)


def array_for(backend: str, name: str) -> Any:
    """The same as the backend's own kind of array, over the same memory."""
    arr = as_array_of(backend, normal(name))
    requires_backend(backend, arr)
    return arr


def as_array_of(backend: str, arr: np.ndarray) -> Any:
    """The backend's own kind of array, over the same memory."""
    return requires("torch").from_numpy(arr) if backend == "torch" else arr
