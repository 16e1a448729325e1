"""The candidates that a team of a fused kernel has in its memory, and how many bytes they take."""

from __future__ import annotations

from enum import IntEnum

from .problem import Problem
from .tiling import Tiling
from .variants import aligned, key_bytes

__all__ = ["Indices", "candidate_bytes", "indices_of", "spared_bytes"]


class Indices(IntEnum):
    """Where candidates' indices are; as in ``indices.cuh``."""

    STORED = 0  #: in a list
    IN_KEYS = 1  #: a packed key has the step, and the place tells the bucket
    BY_STEPS = 2  #: the steps of four candidates of a bucket are in a word

    def words(self, p: Problem, entries: int) -> int:
        """32-bit integers that they are for so many candidates."""
        if self is Indices.STORED:
            return entries
        return 0 if self is Indices.IN_KEYS else -(-p.kb // 4) * p.b


def indices_of(p: Problem, tiling: Tiling) -> Indices:
    """Where they take least; repair gathers elements whose place tells nothing."""
    if not p.interleaved or tiling.parts > 1 or p.repair or tiling.queues == "PairQueues":
        return Indices.STORED
    return Indices.BY_STEPS if tiling.queues == "ByteQueues" else Indices.IN_KEYS


def candidate_bytes(p: Problem, tiling: Tiling, entries: int, more: int) -> int:
    """Bytes of so many candidates, and of `more` places for keys and indices."""
    words = indices_of(p, tiling).words(p, entries)
    return aligned(entries + more) * key_bytes(p.dtype) + 4 * aligned(words + more)


def spared_bytes(p: Problem, tiling: Tiling) -> int:
    """How many more a list of indices would take."""
    entries = p.b * p.kb
    return 4 * (entries - indices_of(p, tiling).words(p, entries))
