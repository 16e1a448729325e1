"""Arrays that are hard to select from, and what the plain reference says about them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from approxtopk.backend import count_candidates
from approxtopk_numpy.keys import order_keys
from approxtopk_numpy.reference import select

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")


class Case(NamedTuple):
    """Rows, and how to select from them."""

    rows: np.ndarray
    k: int
    how: dict[str, Any]

    def expected(self) -> np.ndarray:
        """Indices of each row's winners, best first."""
        keys = order_keys(self.rows, self.how["largest"])
        how = self.how
        return select(keys, self.k, how["b"], how["kb"], how["interleaved"])

    def exactly(self) -> dict[str, Any]:
        """How to select the true top-k."""
        return {**self.how, "b": self.rows.shape[1], "kb": 1}


@st.composite
def cases(draw: st.DrawFn, dtype: str, queues: tuple[int, ...]) -> Case:
    """Any plan on any bits: NaN of both signs, infinities, zeros of both signs, many ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.integers(1, 3))
    n = draw(st.one_of(st.integers(1, 40), st.integers(1, 3000)))
    width = np.dtype(dtype).itemsize
    kind = draw(st.sampled_from(("any bits", "few values", "sorted", "normal", "one bad row")))
    bits = rng.integers(0, 256, (rows, n * width), dtype=np.uint8).view(dtype)
    normal = (rng.standard_normal((rows, n)) * 40).astype(dtype)
    array = {
        "any bits": bits,
        "few values": (rng.integers(0, 3, (rows, n)) * rng.choice((-1, 1), (rows, n))).astype(dtype)
        if dtype != "uint8"
        else rng.integers(0, 3, (rows, n)).astype(dtype),
        "sorted": np.sort(normal, axis=1),
        "normal": normal,
        "one bad row": normal,
    }[kind]
    if dtype.startswith("float"):
        if kind == "few values":
            array[array == 0] *= -1
        if kind == "one bad row":
            array[0, rng.random(n) < 0.9] = rng.choice((np.nan, np.inf, -np.inf))
    longest = draw(st.sampled_from(queues))
    b = draw(st.one_of(st.integers(1, n), st.integers(max(1, n // 30), n), st.just(n)))
    kb = min(longest, -(-n // b))
    most = count_candidates(n, b, kb)
    k = draw(st.one_of(st.integers(1, most), st.integers(1, min(most, 20))))
    flags = {name: draw(st.booleans()) for name in ("largest", "sorted", "interleaved")}
    return Case(array, k, {"b": b, "kb": kb, **flags})
