"""The whole plug-in contract.

A plug-in is a package whose entry point in the group ``approxtopk`` names a module (or object)
with the hook below, marked by ``@approxtopk.hookimpl``.  It is imported when the first array
needs a backend; it must not import its framework before one of its backends is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from .backend import BackendSpec

GROUP = "approxtopk"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def approxtopk_backends() -> Iterable[BackendSpec]:  # type: ignore[empty-body]
    """Declare the backends of this plug-in: see `approxtopk.BackendSpec`."""
