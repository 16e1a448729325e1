"""The CuPy backend of approxtopk: CuPy arrays, and any other array on a CUDA device."""

from __future__ import annotations

from approxtopk import Backend, BackendSpec, BackendUnavailableError, hookimpl


@hookimpl
def approxtopk_backends() -> list[BackendSpec]:
    """Declare the backend."""
    return [
        BackendSpec(
            name="cupy",
            load=_load,
            array_types=("cupy.ndarray",),
            protocols=("__dlpack__", "__cuda_array_interface__"),
            device_kinds=("cuda",),
            priority=50,
            extra="cuda13",
        )
    ]


def _load() -> Backend:
    from .available import reason

    missing = reason()
    if missing is not None:
        raise BackendUnavailableError(missing)
    from .backend import CupyBackend

    return CupyBackend()
