"""The kernels' logic on CPU tensors: collected only where Triton interprets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from approxtopk.testing import Subject

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
collect_ignore_glob = [] if INTERPRETED else ["test_*.py"]

sys.path.insert(0, str(Path(__file__).parent.parent))  # for adapters


def hasten() -> None:
    """Save the interpreter half of its time, on what changes no result.

    At each call of a device function it puts its own functions into Triton's modules once more,
    where they still are since the launch; and of all sums and products it computes whether they
    overflow, to drop the answer unless it has the option ``debug``.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    patch = interpreter._patch_lang

    @cache
    def seen(fn: Callable[..., Any]) -> list[Any]:
        return [known for known in fn.__globals__.values() if known is tl or known is tl.core]

    def patch_unpatched(fn: Callable[..., Any]) -> Any:
        return patch(fn) if any(tl.core.is_builtin(module.load) for module in seen(fn)) else None

    interpreter._patch_lang = patch_unpatched
    options = interpreter.interpreter_builder.options
    if not options.debug:
        interpreter.interpreter_builder.options = replace(options, sanitize_overflow=False)


if INTERPRETED:
    with suppress(AttributeError):  # names of Triton's own, which a release may change
        hasten()


@pytest.fixture(scope="session")
def subject() -> Subject:
    return Subject("triton", to_array=tensor_of, to_numpy=array_of)


def tensor_of(array: np.ndarray) -> Any:
    from adapters import to_tensor

    return to_tensor(array, "cpu")


def array_of(tensor: Any) -> np.ndarray:
    from adapters import to_array

    return to_array(tensor)
