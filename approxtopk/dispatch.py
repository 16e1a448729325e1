"""From an array's type and a request to the backend that serves it.

Everything here is asked on a miss only: `approxtopk.api` keeps what it learns in dictionaries.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from .backend import Backend, Request
from .errors import NoBackendError
from .registry import Declared, Registry

registry = Registry()

#: The backend asked for by `use_backend`, or by the environment when this module is imported.
chosen: ContextVar[str | None] = ContextVar(
    "approxtopk_backend", default=os.environ.get("APPROXTOPK_BACKEND") or None
)


@dataclass(frozen=True)
class BackendStatus:
    """One line of `approxtopk.backends`.

    Attributes
    ----------
    name : str
        What to pass as ``backend=``.
    usable : bool
        Whether it loaded on this machine.
    reason : str
        Why it can't be used; empty where it can.
    array_types, device_kinds : tuple of str
        What it serves.
    devices : tuple of str
        Those it has found on this machine, in words; empty if it doesn't say.
    priority : int
        Among backends of one class the greatest wins.
    extra : str
        What to install for it, as in ``pip install 'approxtopk[extra]'``.
    origin : str
        The plug-in and the distribution that holds it.
    """

    name: str
    usable: bool
    reason: str
    array_types: tuple[str, ...]
    device_kinds: tuple[str, ...]
    devices: tuple[str, ...]
    priority: int
    extra: str
    origin: str


def backends() -> list[BackendStatus]:
    """List the installed backends, the preferred first, each with the reason if unusable.

    Loads every backend, and with it its framework, to find out.

    Examples
    --------
    >>> import approxtopk
    >>> [status.usable for status in approxtopk.backends() if status.name == "numpy"]
    [True]
    """
    statuses = []
    for name, declared in registry.declared().items():
        backend = declared.load()
        spec = declared.spec
        statuses.append(
            BackendStatus(
                name=name,
                usable=backend is not None,
                reason=declared.unusable or "",
                array_types=(*spec.array_types, *(f"any with {a}" for a in spec.protocols)),
                device_kinds=spec.device_kinds,
                devices=backend.devices() if backend is not None else (),
                priority=spec.priority,
                extra=spec.extra,
                origin=declared.origin,
            )
        )
    return statuses


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Send every call inside the ``with`` block to one backend.

    Parameters
    ----------
    name : str
        As in `backends`. A ``backend=`` argument overrides it; the environment variable
        ``APPROXTOPK_BACKEND``, read at import, does the same for a whole process.

    Raises
    ------
    ValueError
        No backend has that name.

    Notes
    -----
    It holds for the current thread or asyncio task, not for threads started inside the block.

    Examples
    --------
    >>> import approxtopk, numpy as np
    >>> with approxtopk.use_backend("numpy"):
    ...     int(approxtopk.topk(np.arange(8), 1).values[0])
    7
    """
    known(name)
    token = chosen.set(name)
    try:
        yield
    finally:
        chosen.reset(token)


def known(name: Any) -> Declared:
    """The declared backend of that name."""
    declared = registry.declared()
    if name not in declared:
        raise ValueError(f"backend must be one of {', '.join(declared)}, got {name!r}")
    return declared[name]


def register(plugin: Any, name: str | None = None) -> None:
    """Add a plug-in to the running process, without installing a package.

    Parameters
    ----------
    plugin : object
        A module or instance with a function ``approxtopk_backends`` marked by
        ``@approxtopk.hookimpl``; see "Writing a backend" in the documentation.
    name : str, optional
        What errors and `backends` call it.

    Raises
    ------
    PluginError
        A backend of that name is there already.
    TypeError, ValueError
        The plug-in doesn't declare backends as it should, or is registered already.
    """
    registry.register(plugin, name)
    for forget in _caches:
        forget()


_caches: list[Any] = []


def forget_on_change(clear: Any) -> None:
    """Have a cache of routes emptied when plug-ins change."""
    _caches.append(clear)


@cache
def matching(array_type: type) -> tuple[Declared, ...]:
    """Backends that declare the type, best first.

    The nearest class in the MRO counts before priority: a plug-in for a subclass knows better.
    """
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in array_type.__mro__]
    found = []
    for declared in registry.declared().values():
        spec = declared.spec
        distances = [names.index(served) for served in spec.array_types if served in names]
        if any(hasattr(array_type, attribute) for attribute in spec.protocols):
            distances.append(len(names))
        if distances:
            found.append((min(distances), -spec.priority, spec.name, declared))
    return tuple(entry[-1] for entry in sorted(found, key=lambda entry: entry[:3]))


forget_on_change(matching.cache_clear)


def serves(name: str, array_type: type) -> bool:
    """Whether the backend of that name declares the type."""
    return any(declared.spec.name == name for declared in matching(array_type))


def describer(array_type: type, name: str | None = None) -> Backend:
    """A loaded backend that can describe arrays of this type: they all do it in one way.

    The one that was asked for comes first, lest another's framework be imported for nothing.
    """
    name = name if name is not None else chosen.get()
    tried = []
    for declared in sorted(matching(array_type), key=lambda d: d.spec.name != name):
        backend = declared.load()
        if backend is not None:
            return backend
        tried.append(f"{declared.spec.name}: {declared.unusable}")
    raise NoBackendError(_nothing_fits(array_type, tried))


def route(
    array_type: type, request: Request, name: str | None
) -> tuple[str, Backend, dict[str, str]]:
    """The backend for a request, its name, and why each one preferred to it was passed over."""
    passed_over: dict[str, str] = {}
    candidates = matching(array_type)
    if name is not None:
        wanted = known(name)
        if wanted not in candidates:
            served = ", ".join((*wanted.spec.array_types, *wanted.spec.protocols))
            raise NoBackendError(f"backend {name!r} serves {served}; arr is a {_name(array_type)}")
        backend, reason = _ask(wanted, request)
        if backend is None:
            what = _described(array_type, request)
            raise NoBackendError(f"backend {name!r} can't serve a {what}: {reason}")
        return name, backend, passed_over
    for declared in candidates:
        backend, reason = _ask(declared, request)
        if backend is not None:
            return declared.spec.name, backend, passed_over
        passed_over[declared.spec.name] = reason
    tried = [f"{name}: {reason}" for name, reason in passed_over.items()]
    raise NoBackendError(_nothing_fits(array_type, tried, request))


def _ask(declared: Declared, request: Request) -> tuple[Backend | None, str]:
    kinds = declared.spec.device_kinds
    if "*" not in kinds and request.device_kind not in kinds:
        return None, f"serves {', '.join(kinds)} arrays, not {request.device_kind}"
    backend = declared.load()
    if backend is None:
        return None, declared.unusable or "not loaded"
    if (request.certificate or request.repairs) and not backend.certifies:
        return None, "can't tell whether an answer is exact; recall below 1 needs no certificate"
    reason = backend.refuses(request)
    return (None, reason) if reason is not None else (backend, "")


def _nothing_fits(array_type: type, tried: list[str], request: Request | None = None) -> str:
    what = _described(array_type, request)
    if tried:
        return f"no backend can serve a {what}. Tried:\n  " + "\n  ".join(tried)
    types = sorted({t for d in registry.declared().values() for t in d.spec.array_types})
    extras = sorted({d.spec.extra for d in registry.declared().values() if d.spec.extra})
    message = f"no backend serves a {what}; served are {', '.join(types)}. Pass one of these"
    if any(array_type is plain for plain in (list, tuple, int, float)):
        message += ", for instance numpy.asarray(arr)"
    if extras:
        message += f", or install a plug-in: pip install 'approxtopk[{','.join(extras)}]'"
    return message + "."


def _described(array_type: type, request: Request | None) -> str:
    what = _name(array_type)
    return f"{what} of {request.dtype} on {request.device}" if request else what


def _name(array_type: type) -> str:
    module = array_type.__module__
    prefix = "" if module == "builtins" else f"{module}."
    return f"{prefix}{array_type.__qualname__}"
