"""Discovery: which plug-ins are installed, which backends they declare, which of them load."""

from __future__ import annotations

import importlib
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pluggy

from . import hookspecs
from .backend import Backend, BackendSpec
from .errors import BackendUnavailableError, PluginError, PluginWarning

#: The reference backend, which works where the package runs uninstalled and no entry point exists.
EMBEDDED_DEFAULT = "approxtopk_numpy"


@dataclass(eq=False)
class Declared:
    """A declared backend, where it comes from, and what became of loading it."""

    spec: BackendSpec
    origin: str  #: the plug-in and the distribution that holds it
    backend: Backend | None = None
    unusable: str | None = None
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    def load(self) -> Backend | None:
        """The backend, loaded once; None where it can't be used, for the reason in `unusable`."""
        with self._lock:
            if self.backend is None and self.unusable is None:
                try:
                    backend = self.spec.load()
                    if not isinstance(backend, Backend):
                        raise TypeError(f"load() returned {backend!r}, not an approxtopk.Backend")
                    self.backend = backend
                except BackendUnavailableError as error:
                    self.unusable = str(error)
                except ImportError as error:
                    self.unusable = f"{error}{_install_hint(self.spec)}"
                except Exception as error:
                    broken = _broken(f"backend {self.spec.name!r} of {self.origin}", error)
                    self.unusable = f"loading failed: {type(error).__name__}: {error}"
                    warnings.warn(broken, PluginWarning, stacklevel=2)
        return self.backend


class Registry:
    """The plug-ins of one process, each imported and asked once, when a backend is first needed."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._declared: dict[str, Declared] = {}
        self._broken: set[str] = set()
        self._discovered = False
        self._lock = threading.RLock()

    def declared(self) -> dict[str, Declared]:
        """Every declared backend by name, greatest priority first."""
        with self._lock:
            if not self._discovered:
                self._discover()
                self._discovered = True
            return self._declared

    def register(self, plugin: Any, name: str | None = None) -> None:
        """Add a plug-in: an object, often a module, with the hook of `hookspecs`."""
        with self._lock:
            self.declared()  # so that a name taken by an installed plug-in is noticed here
            self._register(
                plugin, name or getattr(plugin, "__name__", None) or type(plugin).__qualname__
            )

    def _register(self, plugin: Any, name: str) -> None:
        """All or nothing."""
        if self._manager.is_registered(plugin) or self._manager.has_plugin(name):
            raise ValueError(f"a plug-in {name} is registered already")
        try:
            self._manager.register(plugin, name=name)
            self._collect(plugin, name)
        except BaseException:
            if self._manager.is_registered(plugin):  # some versions of pluggy undo it themselves
                self._manager.unregister(plugin)
            raise

    def _collect(self, plugin: Any, name: str) -> None:
        calls = self._manager.hook.approxtopk_backends.get_hookimpls()
        mine = [call for call in calls if call.plugin is plugin]
        if not mine:
            raise TypeError(
                f"{name} has no function approxtopk_backends marked with @approxtopk.hookimpl"
            )
        specs: Any = mine[0].function()
        if isinstance(specs, (str, BackendSpec)) or not isinstance(specs, Iterable):
            raise TypeError(f"approxtopk_backends() gave {specs!r}, not a list of BackendSpec")
        declared = dict(self._declared)
        for spec in specs:
            if not isinstance(spec, BackendSpec):
                raise TypeError(f"approxtopk_backends() gave {spec!r}, not a BackendSpec")
            if spec.name in declared:
                raise _DuplicateNameError(
                    f"two plug-ins declare a backend named {spec.name!r}: "
                    f"{declared[spec.name].origin} and {name}; uninstall one of them"
                )
            declared[spec.name] = Declared(spec, name)
        by_priority = sorted(declared.values(), key=lambda d: (-d.spec.priority, d.spec.name))
        self._declared = {d.spec.name: d for d in by_priority}

    def _discover(self) -> None:
        """Import every plug-in on its own: a broken one is reported once and left out."""
        from importlib.metadata import entry_points  # takes 50 ms: not on import of the package

        for point in entry_points(group=hookspecs.GROUP):
            origin = f"{point.dist.name} {point.dist.version}" if point.dist else "no distribution"
            self._add(f"{point.value} ({origin})", point.load)
        by_hand = os.environ.get("APPROXTOPK_PLUGINS", "").replace(",", " ").split()
        for module in (*by_hand, EMBEDDED_DEFAULT):
            self._add(module, partial(importlib.import_module, module))

    def _add(self, label: str, load: Callable[[], Any]) -> None:
        if label in self._broken:
            return
        try:
            plugin = load()
            if not self._manager.is_registered(plugin):
                self._register(plugin, label)
        except _DuplicateNameError:
            raise  # the user must choose, so this is raised again until then
        except Exception as error:
            message = _broken(f"plug-in {label}", error)
            self._broken.add(label)
            warnings.warn(message, PluginWarning, stacklevel=2)


class _DuplicateNameError(PluginError):
    """Two backends with one name."""


def _broken(what: str, error: Exception) -> str:
    """What to warn of; in strict mode it is raised instead."""
    message = f"{what} is left out: {type(error).__name__}: {error}"
    if os.environ.get("APPROXTOPK_STRICT_PLUGINS", "") not in ("", "0"):
        raise PluginError(message) from error
    return message


def _install_hint(spec: BackendSpec) -> str:
    return f"; pip install 'approxtopk[{spec.extra}]'" if spec.extra else ""
