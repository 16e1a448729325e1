"""Compiled code on disk, by Numba's own means, in the user's cache folder.

Numba would rather put it beside the source, if it can write there: into an installed package. And
it compiles anew only when the file that a function stands in has changed, but not those it uses.
"""

# mypy: ignore-errors

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache


class _Files(CompileResultCacheImpl):
    """Where NUMBA_CACHE_DIR says, or in the user's cache folder; not in the package."""

    _locator_classes = [  # noqa: RUF012, it is Numba's
        place for place in CompileResultCacheImpl._locator_classes if "InTree" not in place.__name__
    ]

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return super().get_filename_base(f"{fullname}-{_sources()}", abiflags)


class _Cache(FunctionCache):
    _impl_class = _Files


@cache
def _sources() -> str:
    """What tells this version of the package from others."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def entry(function: Callable[..., Any]) -> Any:
    """Compile what Python calls, and remember it in the cache."""
    compiled = njit(nogil=True)(function)
    with suppress(RuntimeError):  # no folder can be written to
        compiled._cache = _Cache(function)
    return compiled
