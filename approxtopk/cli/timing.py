"""Timing calls on arrays of any library, on any device, by what all libraries have in common."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import BackendStatus, backends, dispatch, validate

#: Inputs rotate through so many bytes, so that no cache still holds the one that comes next.
ROTATED = 256 << 20

#: Seconds of calls between two looks at the clock, and of rest before a turn: the threads of some
#: libraries spin for a while after their work, on the processors of whoever comes next.
BATCH, REST = 1e-2, 2e-3

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Inputs:
    """Rows to select from, several times over, in one piece of memory on a device.

    Attributes
    ----------
    library : str
        Name of the module that the arrays are from.
    whole : array
        Shape (copies * rows, n).
    rows : int
        Of one copy.
    """

    library: str
    whole: Any
    rows: int

    @classmethod
    def make(cls, library: str, rows: int, n: int, dtype: str, device: str) -> Inputs:
        """Random elements: normal ones, or integers over their whole range."""
        module = import_module(library)
        validate.element_dtype(dtype)
        if not hasattr(module, dtype):
            raise ValueError(f"dtype must be one that {library} has, got {dtype!r}")
        itemsize = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        copies = min(64, max(2, -(-ROTATED // max(1, rows * n * itemsize))))
        put = partial(module.asarray, dtype=getattr(module, dtype))
        drawn = _draw((copies * rows, n), dtype)
        if device == "cpu":
            return cls(library, put(drawn), rows)
        try:
            return cls(library, put(drawn, device=device), rows)
        except TypeError:  # a library of one kind of device, which asks for no name of it
            made = cls(library, put(drawn), rows)
        about = dispatch.describer(type(made.whole)).describe(made.whole)
        if about and ":" in device and about.device != device:
            raise ValueError(f"{library} makes its arrays on {about.device}, not on {device}")
        return made

    @property
    def module(self) -> Any:
        """The library that the arrays are from."""
        return import_module(self.library)

    @property
    def copies(self) -> list[Any]:
        """The inputs of one call after the other."""
        return [
            self.whole[start : start + self.rows]
            for start in range(0, self.whole.shape[0], self.rows)
        ]

    def read(self) -> float:
        """Seconds that reading one copy takes: one look at each byte of all, as integers."""
        flat = self.whole.reshape(-1)
        flat = flat[: flat.shape[0] // 8 * 8].view(self.module.int64)
        return statistics.median(times(lambda _: flat.max(), [None], 7)) / len(self.copies)


def library_for(device: str, backend: str | None, dtype: str) -> str:
    """Whose arrays a backend selects from: of libraries that have the dtype, NumPy first.

    Then one with a ``topk`` of its own, which is the peer that counts.

    Raises
    ------
    ValueError
        No usable backend serves the device, or not the one that was asked for.
    """
    kind = device.partition(":")[0]
    statuses = [status for status in backends() if backend in (None, status.name)]
    if not statuses:
        raise ValueError(
            f"backend must be one of {', '.join(s.name for s in backends())}; got {backend!r}"
        )
    able = [s for s in statuses if s.usable and s.array_types and _serves(s, kind)]
    if not able:
        reasons = "; ".join(f"{s.name}: {s.reason or f'not on {kind}'}" for s in statuses)
        raise ValueError(f"no backend can select on {device!r} ({reasons})")

    def suits(library: str) -> tuple[bool, ...]:
        module = import_module(library)
        return hasattr(module, dtype), library == "numpy", hasattr(module, "topk")

    return max((s.array_types[0].partition(".")[0] for s in able), key=suits)


def _serves(status: BackendStatus, kind: str) -> bool:
    return kind in status.device_kinds or "*" in status.device_kinds


def _draw(shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    generator = np.random.default_rng(0)
    if "float" in dtype:
        return generator.standard_normal(shape, dtype=np.float32)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def times(call: Call, inputs: list[Any], series: int) -> list[float]:
    """Seconds of one call, in each of so many series."""
    turn = turns({"": call}, inputs)
    return [next(turn)[""] for _ in range(series)]


def turns(calls: dict[str, Call], inputs: list[Any]) -> Iterator[dict[str, float]]:
    """Seconds of a call of each, round after round: whatever disturbs one disturbs all."""
    numbers = {name: _batch(call, inputs) for name, call in calls.items()}
    following = cycle(inputs)
    while True:
        found = {}
        for name, call in calls.items():
            time.sleep(REST)
            start = time.perf_counter()
            for _ in range(numbers[name]):
                result = call(next(following))
            wait_for(result)
            found[name] = (time.perf_counter() - start) / numbers[name]
        yield found


def _batch(call: Call, inputs: list[Any]) -> int:
    """How many calls fill a batch, after calls that may compile."""
    for arr in inputs[:2]:
        wait_for(call(arr))
    start = time.perf_counter()
    wait_for(call(inputs[0]))
    return max(1, round(BATCH / (time.perf_counter() - start)))


def wait_for(result: Any) -> None:
    """Return when the device is done: an element of the result is there to be seen."""
    array = result[0] if isinstance(result, tuple) else result
    array.reshape(-1)[:1].tolist()
