"""Which threads share a row, without a GPU."""

from __future__ import annotations

from typing import Any

import pytest
from problems import only_launch, problem

from approxtopk_cuda import Device, Schedule, schedule
from approxtopk_cuda.variants import Kernel, leaner


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize(
    ("rows", "shape", "dtype", "threads", "v"),
    [
        (256, (131072, 2048, 2048, 3), "bfloat16", 256, 8),
        (256, (131072, 2048, 4096, 3), "bfloat16", 512, 8),  # not in two passes
        (300, (65536, 64, 1024, 2), "float32", 256, 4),
        (128, (65536, 64, 1024, 2), "bfloat16", 512, 2),
        (128, (65536, 64, 1024, 2), "float32", 1024, 1),
        (128, (32000, 50, 2560, 1), "bfloat16", 1024, 4),
        (128, (16384, 256, 1024, 2), "float32", 512, 2),  # many winners: fewer threads to wait for
        (128, (16384, 24, 1024, 2), "float64", 512, 2),
        (64, (32768, 1024, 1536, 3), "bfloat16", 512, 4),
        (32, (16384, 64, 512, 2), "float32", 512, 1),
        (200, (16384, 64, 512, 2), "float32", 256, 2),
        (500, (16384, 64, 512, 2), "float32", 128, 4),
        (500, (16384, 64, 256, 2), "float32", 128, 2),
        (500, (16384, 600, 512, 16), "float32", 256, 2),
        (1024, (16384, 64, 256, 2), "float32", 128, 2),
        (1024, (4096, 64, 256, 2), "bfloat16", 128, 2),
        (1024, (50256, 50, 512, 2), "int8", 128, 4),
    ],
)
def test_buckets_are_taken_whole_by_fewer_threads_or_narrower_loads(
    rows: int, shape: tuple[int, int, int, int], dtype: str, threads: int, v: int
) -> None:
    n, k, b, kb = shape
    launch = only_launch(problem(rows, n, k, b, kb, dtype))
    assert dict(launch.fields)["parts"] == 1
    assert (launch.block, dict(launch.kernel.defines)["V"]) == (threads, str(v))


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize(
    ("rows", "n", "b", "kb", "merges"),
    [
        (128, 32768, 512, 2, False),
        (32, 32768, 256, 2, True),  # 128 steps take longer than merging two kept
        (128, 16384, 128, 4, False),  # but not four
        (64, 131072, 512, 2, True),
        (256, 131072, 512, 2, False),  # other rows are there meanwhile
        (128, 4096, 64, 2, True),  # there are more threads than buckets
    ],
)
def test_long_walks_are_split_where_rows_are_few(
    rows: int, n: int, b: int, kb: int, merges: bool
) -> None:
    launch = only_launch(problem(rows, n, 64, b, kb))
    assert (
        (dict(launch.fields)["parts"] > 1)
        == merges
        == (dict(launch.kernel.defines)["MERGE"] == "1")
    )


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize(
    ("rows", "n", "dtype", "b", "cluster"),
    [
        (32, 16384, "float32", 2048, 1),  # a block has read them before a cluster has met
        (32, 65536, "float32", 2048, 2),
        (16, 65536, "float32", 2048, 4),  # more of the device would be idle
        (64, 65536, "bfloat16", 4096, 1),
        (64, 131072, "bfloat16", 4096, 2),
        (16, 131072, "float32", 4096, 4),
        (8, 131072, "float32", 4096, 8),
        (66, 131072, "float64", 4096, 2),
        (67, 131072, "float64", 4096, 1),  # there is no room for two blocks each
        (16, 2**19, "float32", 4096, 8),  # so long that two may share a multiprocessor
        (16, 2**19, "float32", 8192, 4),  # but of fewer buckets
        (16, 2**18, "float32", 4096, 4),
        (32, 2**19, "float32", 4096, 2),  # of the largest clusters alone
    ],
)
def test_clusters_take_rows_that_are_long_for_a_block(
    rows: int, n: int, dtype: str, b: int, cluster: int
) -> None:
    launch = only_launch(problem(rows, n, 64, b, 1, dtype))
    assert (launch.kernel.entry, launch.cluster) == ("fused", cluster)
    assert launch.grid == rows * cluster


def test_short_rows_need_no_clusters() -> None:
    """Longer ones are split over blocks by a launch of their own where there are none."""
    device = Device("sm_80", 108, 163 * 1024, 164 * 1024, clusters=False)
    for n, name in ((32768, "fused"), (65536, "stage 1, stage 2")):
        found = schedule(problem(20, n, 64, 2048, 1), device)
        assert isinstance(found, Schedule)
        assert found.name == name


def test_a_wave_keeps_its_blocks_and_gives_up_loads() -> None:
    """Where a kernel spills: with a block less, 100 of 1024 rows waited for all others."""

    def forms(rows: int) -> list[tuple[str, str]]:
        kernel: Kernel | None
        kernel = only_launch(problem(rows, 32000, 50, 1024, 2, "bfloat16")).kernel
        found = []
        while kernel:
            macros = dict(kernel.defines)
            found.append((macros["MIN_BLOCKS"], macros["BATCH"]))
            kernel = leaner(kernel)
        return found

    assert forms(1024)[:3] == [("8", "4"), ("8", "2"), ("7", "2")]
    assert forms(900)[:3] == [("8", "4"), ("7", "4"), ("7", "2")]  # seven are enough
    assert forms(4096)[:3] == [("8", "4"), ("7", "4"), ("6", "4")]
    assert forms(1024)[-1] == ("1", "2")


@pytest.mark.usefixtures("by_queues")
def test_a_warp_takes_a_row_only_where_they_are_many() -> None:
    def team(rows: int, n: int, b: int, kb: int) -> str:
        launch = only_launch(problem(rows, n, 64, b, kb))
        return dict(launch.kernel.defines)["TEAM"]

    assert team(2048, 16384, 256, 2) == "32"
    assert team(1024, 16384, 256, 2) == "128"
    assert team(1024, 1024, 128, 2) == "32"  # not long to walk
    assert team(16384, 16384, 1024, 2) == "128"  # too many candidates
    assert team(16384, 16384, 12, 6) == "128"  # parts of buckets would have to be merged


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize(
    ("shape", "more", "threads"),
    [
        ((1024, 50256, 50, 2048, 1), {}, 128),
        ((1024, 128256, 50, 4096, 1), {}, 256),  # of 128 there is room for six blocks, not eight
        ((640, 128256, 50, 4096, 1), {}, 128),  # for as many as there are
        ((700, 65536, 64, 2048, 2), {}, 128),
        ((700, 65536, 64, 2048, 2), {"certificate": True}, 128),  # six, as many as there are
        ((700, 65536, 64, 2048, 2), {"repair": True}, 256),  # five
        ((1024, 50257, 50, 2560, 1), {"alignment": 4}, 128),
        ((1024, 50257, 50, 2560, 1), {"alignment": 4, "certificate": True}, 128),
        ((1024, 50257, 50, 2560, 1), {"alignment": 4, "repair": True}, 256),  # leaves no L1
        ((1024, 32000, 50, 2560, 1), {"certificate": True}, 128),  # by whole lines that is enough
        ((1024, 131072, 64, 8192, 1), {}, 512),
        ((1024, 131072, 2048, 4096, 3), {}, 512),
        ((4096, 16384, 64, 512, 2), {}, 128),
        ((4096, 16384, 64, 512, 12), {}, 256),  # by narrower loads: no lists to merge
    ],
)
def test_many_rows_have_teams_whose_threads_all_find_room(
    shape: Any, more: Any, threads: int
) -> None:
    assert only_launch(problem(*shape, **more)).block == threads


@pytest.mark.parametrize(
    ("shape", "dtype", "more", "way"),
    [
        ((1, 131072, 512, 8192, 1), "bfloat16", {}, (4, 512)),
        ((1, 131072, 2048, 4096, 3), "bfloat16", {}, (4, 512)),
        ((1, 131072, 512, 2048, 2), "float32", {}, (8, 256)),
        ((8, 131072, 2048, 4096, 3), "float32", {}, (8, 512)),  # much to select from
        ((2, 524288, 512, 8192, 1), "float32", {}, (8, 256)),
        ((2, 524288, 512, 8192, 1), "float32", {"sorted": True}, None),  # by one block
        ((2, 524288, 64, 8192, 1), "float32", {}, None),
        ((2, 507904, 3000, 12288, 3), "float32", {}, None),  # in two passes: one block would select
        ((1, 2**20, 2048, 1024, 2), "float16", {}, None),  # all candidates
        ((16, 2**20, 200, 4096, 4), "float64", {}, (8, 256)),  # there is room for one to select
        ((1, 131072, 512, 2048, 2), "float64", {}, (8, 256)),
        ((1, 131072, 512, 2048, 2), "float64", {"sorted": True}, None),
        ((1, 262144, 512, 2048, 2), "float64", {}, None),
        ((1, 131072, 512, 2048, 2), "float64", {"certificate": True}, (8, 256)),
        ((4, 524288, 512, 8192, 1), "float32", {}, (8, 256)),
        # It would be three launches.
        ((1, 524288, 512, 8192, 1), "float32", {"certificate": True}, (8, 256)),
        ((1, 2**20, 64, 16384, 1), "float32", {"repair": True}, (8, 512)),
        ((1, 2**20, 64, 16384, 1), "float32", {"certificate": True}, None),
        ((1, 70000, 100, 20, 12), "float32", {}, None),  # few buckets, many parts
        ((1, 131072, 512, 8192, 1), "float32", {"interleaved": False}, None),
        ((2, 131072, 512, 8192, 1), "float32", {"step": 2}, None),  # a multiprocessor reads both
    ],
)
def test_few_long_rows_are_for_clusters_or_for_two_launches(
    shape: Any, dtype: str, more: Any, way: tuple[int, int] | None
) -> None:
    rows, n, k, b, kb = shape
    plan = schedule(problem(rows, n, k, b, kb, dtype, **more), Device())
    assert isinstance(plan, Schedule)
    if way is None:
        assert [launch.kernel.source for launch in plan.launches[:2]] == ["stage1", "stage2"]
    else:
        (launch,) = plan.launches
        assert (launch.cluster, launch.block) == way
