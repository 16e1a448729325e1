"""Overlap of arrays by their addresses, against NumPy's own answer."""

from __future__ import annotations

import random

import numpy as np

from approxtopk.memory import Memory


def memory_of(array: np.ndarray) -> Memory:
    address = array.__array_interface__["data"][0]
    return Memory(address, array.shape, array.strides, array.itemsize)


def view(base: np.ndarray, rng: random.Random) -> np.ndarray:
    def part(length: int) -> slice:
        return slice(rng.randrange(length), rng.randint(1, length), rng.randint(1, 3))

    found = base[part(base.shape[0]), part(base.shape[1])]
    return found[:: rng.choice([1, -1]), :: rng.choice([1, -1])]


def test_overlap_and_bounds_are_numpys() -> None:
    seen = set()
    for seed in range(500):
        rng = random.Random(seed)
        base = np.zeros((rng.randint(1, 6), rng.randint(1, 6)), rng.choice(["i1", "f4"]))
        one, other = view(base, rng), view(base, rng)
        overlap = memory_of(one).overlaps(memory_of(other))
        assert overlap == np.shares_memory(one, other), seed
        if one.size:
            assert memory_of(one).bounds() == np.lib.array_utils.byte_bounds(one)
        together = bool(one.size and other.size) and np.may_share_memory(one, other)
        seen.add((overlap, together))
    assert seen == {(True, True), (False, True), (False, False)}
