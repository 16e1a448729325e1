"""The torch backend of approxtopk: tensors on any device, and the operator behind them."""

from __future__ import annotations

from approxtopk import Backend, BackendSpec, hookimpl


@hookimpl
def approxtopk_backends() -> list[BackendSpec]:
    """Declare the backend."""
    return [
        BackendSpec(
            name="torch",
            load=_load,
            array_types=("torch.Tensor",),
            device_kinds=("*",),
            priority=50,
            extra="torch",
        )
    ]


def _load() -> Backend:
    from .backend import TorchBackend

    return TorchBackend()
