"""How stage 1 alone is tiled: parts of buckets, registers, queues."""

from __future__ import annotations

import pytest
from problems import only_launch, problem

from approxtopk_cuda import Device, Schedule, schedule
from approxtopk_cuda.tiling import tile_block, tile_grid
from approxtopk_cuda.variants import registers, turning_registers


@pytest.mark.parametrize(
    ("rows", "n", "parts"),
    [
        (128, 65536, 1),  # one wave of threads
        (64, 65536, 1),  # half of one, but merging would cost more than 16 steps
        (8, 65536, 4),
        (32, 2**20, 4),  # 256 steps are worth sharing, among as many threads as there is room for
        (8, 2**20, 16),
    ],
)
def test_buckets_are_split_where_it_is_worth_it(rows: int, n: int, parts: int) -> None:
    p = problem(rows, n, 8192, 4096, 2)
    assert tile_grid(p, Device(), 1).parts == parts


@pytest.mark.parametrize(
    ("b", "kb", "dtype", "parts", "threads"),
    [
        (57344, 1, "float32", 8, 128),  # 448 blocks of 256 would be three or four a multiprocessor
        (65536, 1, "float32", 8, 256),  # 512 are four
        (32768, 2, "float64", 32, 256),  # parts of 128 steps, which fit a byte
        (32768, 2, "float32", 16, 256),  # whose queues are no faster for it
    ],
)
def test_a_long_row_is_shared_evenly(b: int, kb: int, dtype: str, parts: int, threads: int) -> None:
    tiling = tile_grid(problem(1, 2**27, 1024, b, kb, dtype), Device(), 2)
    assert (tiling.parts, tiling.threads) == (parts, threads)


@pytest.mark.parametrize(
    ("dtype", "kb", "blocks", "batch"),
    [
        ("float32", 1, 4, 8),
        ("float32", 2, 5, 8),
        ("float32", 4, 7, 4),  # arithmetic needs threads
        ("float64", 2, 8, 4),
        ("bfloat16", 2, 4, 8),
        ("int8", 2, 4, 8),
    ],
)
def test_waves_of_blocks_get_loads_rather_than_threads(
    dtype: str, kb: int, blocks: int, batch: int
) -> None:
    result = schedule(problem(128, 2**20, 65536, 65536 // kb, kb, dtype), Device())
    assert isinstance(result, Schedule)
    macros = dict(result.launches[0].kernel.defines)
    assert (int(macros["MIN_BLOCKS"]), int(macros["BATCH"])) == (blocks, batch)


def test_one_wave_gets_threads() -> None:
    result = schedule(problem(128, 65536, 8192, 4096, 2), Device())
    assert isinstance(result, Schedule)
    assert dict(result.launches[0].kernel.defines)["MIN_BLOCKS"] == "8"


@pytest.mark.parametrize(
    ("arch", "queues", "shift"), [("sm_80", "PackedQueues", 16), ("sm_90", "HalfQueues", 8)]
)
def test_bytes_are_paired_where_the_device_can(arch: str, queues: str, shift: int) -> None:
    device = Device(arch, clusters=arch != "sm_80")
    result = schedule(problem(128, 2**20, 65536, 32768, 2, "int8"), device)
    assert isinstance(result, Schedule)
    macros = dict(result.launches[0].kernel.defines)
    assert (macros["QUEUES"], macros["KEY_SHIFT"]) == (queues, str(shift))


def test_turning_indices_takes_registers() -> None:
    assert turning_registers(2, 4, 8) == 0  # a thread's indices are whole sectors
    more = turning_registers(3, 8, 8)
    assert registers("bfloat16", 3, 8, "PackedQueues").limit == 64
    assert registers("bfloat16", 3, 8, "PackedQueues", more=more).limit == 128


@pytest.mark.parametrize(
    ("rows", "n", "dtype", "alignment", "v", "unaligned"),
    [
        (1024, 50257, "float32", 4, 4, True),
        (1024, 50257, "bfloat16", 2, 8, True),
        (1024, 50260, "bfloat16", 8, 8, True),
        (1024, 50256, "bfloat16", 16, 8, False),
        (1024, 8191, "float32", 4, 1, False),  # buckets of three or four elements
    ],
)
def test_rows_that_begin_anywhere_are_read_by_whole_chunks(
    rows: int, n: int, dtype: str, alignment: int, v: int, unaligned: bool
) -> None:
    launch = only_launch(problem(rows, n, 50, 2048, 1, dtype, alignment=alignment))
    macros = dict(launch.kernel.defines)
    assert (macros["V"], macros["UNALIGNED"]) == (str(v), str(int(unaligned)))


@pytest.mark.parametrize(
    ("dtype", "kb", "largest", "fits"),
    [
        ("float32", 4, True, True),
        ("float32", 4, False, False),
        ("float32", 5, True, False),
        ("int16", 1, False, True),
        ("int64", 1, True, False),
    ],
)
def test_1024_threads_take_a_row_where_64_registers_will_do(
    dtype: str, kb: int, largest: bool, fits: bool
) -> None:
    p = problem(64, 131072, 64, 4096, kb, dtype, largest=largest)
    assert (tile_block(p, Device(), 1024, 1) is not None) == fits
    assert tile_block(p, Device(), 512, 1) is not None
