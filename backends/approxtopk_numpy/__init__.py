"""The NumPy backend of approxtopk: the default for NumPy arrays, and the plain reference."""

from __future__ import annotations

from approxtopk import Backend, BackendSpec, hookimpl


@hookimpl
def approxtopk_backends() -> list[BackendSpec]:
    """Declare the backend."""
    return [
        BackendSpec(
            name="numpy",
            load=_load,
            array_types=("numpy.ndarray",),
            device_kinds=("cpu",),
            priority=0,
        )
    ]


def _load() -> Backend:
    from .backend import NumpyBackend

    return NumpyBackend()
