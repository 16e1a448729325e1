"""What the launch policy is asked, and what it answers: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from .variants import Kernel, aligned

__all__ = ["MAX_GRID", "Device", "Launch", "Problem", "Schedule"]

#: Blocks of a launch.
MAX_GRID = 2**31 - 1


@dataclass(frozen=True)
class Device:
    """What the policy must know of a GPU."""

    arch: str = "sm_90"
    multiprocessors: int = 132
    shared_per_block: int = 227 * 1024  #: bytes of shared memory, with opt-in
    shared_in_all: int = 228 * 1024  #: of a multiprocessor
    shared_reserved: int = 1024  #: of each block, by the driver
    clusters: bool = True  #: compute capability 9.0 and later
    alone: int = 64 * 1024  #: bytes of a row that a block reads as fast as a cluster; see teams.py

    @property
    def halves(self) -> bool:
        """Whether it has maxima of 16-bit halves."""
        return int(self.arch.removeprefix("sm_")) >= 90


@dataclass(frozen=True)
class Problem:
    """A selection in the kernels' words. Strides are in elements.

    Row r begins at ``(r // inner) * outer + (r % inner) * inner_stride``.
    """

    dtype: str
    rows: int
    n: int
    k: int
    b: int
    kb: int
    candidates: int
    largest: bool = True
    sorted: bool = False
    interleaved: bool = True
    index_bytes: int = 8
    inner: int = 1
    inner_stride: int = 0
    step: int = 1
    alignment: int = 16  #: bytes, a power of two up to 16, that divide every row's address
    certificate: bool = False  #: a byte for each row says whether its answer is exact
    repair: bool = False  #: answers that aren't exact are made so; then no certificate is needed


@dataclass(frozen=True)
class Launch:
    """One kernel launch as data."""

    kernel: Kernel
    grid: int
    block: int
    shared: int = 0
    cluster: int = 1
    #: Fields of the kernels' Params that a launch sets.
    fields: tuple[tuple[str, int], ...] = ()
    swapped: bool = False  #: reads the spare candidates and writes the others
    certifies: bool = False  #: does what is asked about its results being exact
    #: Whether the next launch may begin once all blocks of this one run.
    lets_next: bool = False
    #: Blocks that a multiprocessor must have at most for that; 0 for any number.
    abreast: int = 0
    #: Of stage 1: each so many buckets leave the best key that they lost in the spare candidates.
    lost_group: int = 0


@dataclass(frozen=True)
class Schedule:
    """What solves a problem: launches in order on one stream, and two scratch buffers.

    The buffers hold `entries` and `spare_entries` candidates, each of a key (`key_bytes`) and a
    position (4 bytes).
    """

    name: str
    launches: tuple[Launch, ...]
    key_bytes: int
    entries: int = 0
    spare_entries: int = 0

    @property
    def _ends(self) -> tuple[int, ...]:
        """Where keys, spare keys, positions and spare positions end in scratch memory.

        All begin at a multiple of 16 bytes: kernels write several neighbours at once.
        """
        entries, spare = aligned(self.entries), aligned(self.spare_entries)
        keys = entries * self.key_bytes
        all_keys = keys + spare * self.key_bytes
        return keys, all_keys, all_keys + 4 * entries, all_keys + 4 * (entries + spare)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch memory."""
        return self._ends[3]

    @property
    def scratch_offsets(self) -> tuple[int, int, int, int]:
        """Where keys, positions, spare keys and spare positions begin in scratch memory."""
        keys, all_keys, positions, _ = self._ends
        return 0, all_keys, keys, positions
