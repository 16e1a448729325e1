"""The Numba backend of approxtopk: NumPy arrays on the CPU, compiled."""

from __future__ import annotations

from approxtopk import Backend, BackendSpec, hookimpl


@hookimpl
def approxtopk_backends() -> list[BackendSpec]:
    """Declare the backend."""
    return [
        BackendSpec(
            name="numba",
            load=_load,
            array_types=("numpy.ndarray",),
            device_kinds=("cpu",),
            priority=20,
            extra="numba",
        )
    ]


def _load() -> Backend:
    from .backend import NumbaBackend

    return NumbaBackend()
