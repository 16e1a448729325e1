"""Errors and warnings that are the library's own; bad arguments raise ValueError or TypeError."""

from __future__ import annotations


class BackendUnavailableError(RuntimeError):
    """A backend can't be used on this machine; its text says why in one sentence."""


class NoBackendError(TypeError):
    """No backend serves this array; the text says what was tried and what would help."""


class PluginError(RuntimeError):
    """A plug-in is broken, or two of them claim one name."""


class PluginWarning(UserWarning):
    """A plug-in was left out because it is broken; everything else still works."""
