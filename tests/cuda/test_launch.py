"""Launch policy, without a GPU: what is launched covers the problem and fits the device."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from problems import KINDS, every_problem, problem

from approxtopk_cuda import Device, Launch, Problem, Schedule, schedule
from approxtopk_cuda.driver import carveout, spaced
from approxtopk_cuda.variants import Kernel, entry_bytes

DEVICES = {
    "sm_80": Device("sm_80", 108, 163 * 1024, 164 * 1024, clusters=False),
    "sm_90": Device(),
    "sm_120": Device("sm_120", 170, 99 * 1024, 100 * 1024),
}


def planned(p: Problem, device: Device) -> Schedule:
    result = schedule(p, device)
    assert isinstance(result, Schedule), result
    return result


def check_stage1(p: Problem, launch: Launch) -> None:
    """Every (row, bucket, part) is some thread's, and loads are as wide as addresses allow."""
    field = dict(launch.fields)
    macro = dict(launch.kernel.defines)
    v = int(macro["V"])
    team = int(macro.get("TEAM", launch.block))
    rows, tile, parts = field["block_rows"], field["tile"], field["parts"]
    if macro["INTERLEAVED"] == "1" or macro["ROWS_FIRST"] == "1":
        assert rows * tile * parts <= team * v
        assert p.b * parts * field["splits"] < 2**32
    else:
        assert parts % v == 0
        assert rows * tile * (parts // v) <= team
    if v > 1:
        size = entry_bytes(p.dtype) and {"F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1}.get(
            macro["ELEMENT"], 8 if macro["ELEMENT"].endswith("64") else 4
        )
        assert p.step == 1
        assert v * size in (4, 8, 16)
        assert macro["UNALIGNED"] == "1" or p.alignment % (v * size) == 0
        if macro["INTERLEAVED"] == "1":
            assert p.b % v == 0 or (tile == p.b and parts % v == 0)
        else:
            assert p.n % p.b == 0
            assert (p.n // p.b) % v == 0
    assert rows == 1 or tile == p.b or macro["ROWS_FIRST"] == "1"
    if macro["MERGE"] == "0":
        assert parts == 1
    tiles = -(-p.b // tile)
    if launch.kernel.entry in ("fused", "extract"):
        assert launch.cluster * field["passes"] * tile >= p.b
        if macro["HELD"] == "1" or (macro["MERGE"], macro["INTERLEAVED"]) == ("1", "1"):
            assert field["passes"] == 1
        assert field["splits"] == 1
    else:
        assert launch.grid == min(2**31 - 1, -(-p.rows // rows) * tiles * field["splits"])


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_every_problem_is_covered_and_fits(device: Device) -> None:
    for p in every_problem():
        result = planned(p, device)
        for launch in result.launches:
            assert 1 <= launch.grid <= 2**31 - 1
            assert launch.block % 32 == 0
            assert launch.block <= 1024
            assert launch.shared <= device.shared_per_block
            assert launch.cluster == 1 or device.clusters
            assert launch.grid % launch.cluster == 0
            if launch.kernel.entry in ("stage1", "fused", "extract"):
                check_stage1(p, launch)
        if len(result.launches) == 1:
            assert result.scratch_bytes == 0
        else:
            splits = dict(result.launches[0].fields)["splits"]
            assert result.entries >= p.rows * splits * p.b * p.kb


def test_kinds() -> None:
    """Each kind of problem gets the kernel that is meant for it."""
    device = Device()
    names = {kind: planned(problem(*shape), device).name for kind, shape in KINDS.items()}
    assert names == {
        "stream": "stage 1",
        "split": "stage 1, stage 2",
        "odd buckets": "stage 1",
        "short": "short rows",
        "warp": "fused",
        "block": "fused",
        "many rows": "fused",
        "cluster": "fused",
        "two stages": "stage 1, stage 2",
        "parts over blocks": "stage 1, stage 2",
    }
    assert planned(problem(*KINDS["cluster"]), device).launches[0].cluster == 2
    fields = dict(planned(problem(*KINDS["parts over blocks"]), device).launches[0].fields)
    assert fields["splits"] > 1


def test_clusters_select_where_there_are_any() -> None:
    """Long rows with many candidates: their blocks share them, as far as shared memory goes."""
    for dtype, device, blocks in (
        ("float32", Device(), 8),
        ("float32", DEVICES["sm_80"], 1),
        ("float64", DEVICES["sm_120"], 1),
    ):
        second = planned(problem(1, 2**27, 1024, 65536, 1, dtype), device).launches[1]
        assert (second.kernel.entry, second.cluster, second.grid) == ("stage2", blocks, blocks)
        assert 8 * dict(second.fields)["tile"] >= 65536 or blocks == 1


@pytest.mark.parametrize(
    ("shape", "dtype", "more"),
    [
        ((1, 100_000, 8000, 30_000, 1), "bfloat16", {"repair": True}),  # 3,750 lost keys
        ((1, 100_000, 20_001, 30_001, 1), "float64", {"sorted": True}),
        (KINDS["parts over blocks"], "float32", {}),
    ],
)
def test_parts_of_scratch_memory_are_aligned_and_apart(
    shape: tuple[int, int, int, int, int], dtype: str, more: dict[str, Any]
) -> None:
    found = planned(problem(*shape, dtype, **more), Device())
    entries = (found.entries, found.entries, found.spare_entries, found.spare_entries)
    assert found.entries
    end = 0
    for begin, many, size in sorted(
        zip(found.scratch_offsets, entries, 2 * (found.key_bytes, 4), strict=True)
    ):
        assert begin % 16 == 0
        assert begin >= end
        end = begin + many * size
    assert end <= found.scratch_bytes < end + 64


def test_clusters_certify_few_rows() -> None:
    """As far as there are multiprocessors for them, each block with room of its own."""
    for rows, device, blocks in (
        (1, Device(), 8),
        (16, Device(), 8),
        (17, Device(), 1),
        (1, DEVICES["sm_80"], 1),
    ):
        p = problem(rows, 2**23, 20_000, 65536, 1, repair=True)
        found = planned(p, device)
        last = found.launches[-1]
        assert (last.kernel.entry, last.cluster, last.grid) == ("certify", blocks, rows * blocks)
        macro, field = dict(last.kernel.defines), dict(last.fields)
        assert (macro["CLUSTER"], macro["SHARED"]) == (str(blocks), "0")
        assert found.entries >= rows * blocks * field["entries"]


def test_short_rows_are_shared_by_as_many_lanes_as_fill_the_device() -> None:
    def lanes(rows: int, n: int, k: int, b: int, kb: int, **more: Any) -> int:
        result = planned(problem(rows, n, k, b, kb, **more), Device())
        return int(dict(result.launches[0].kernel.defines).get("LANES", 0))

    assert [lanes(rows, 256, 8, 32, 2) for rows in (8192, 2080, 300)] == [8, 16, 32]
    assert lanes(300, 256, 8, 16, 2) == 16  # a bucket is one lane's
    assert lanes(8192, 256, 12, 32, 2) == 16
    assert lanes(8192, 256, 8, 20, 2) == 0
    assert lanes(8192, 256, 8, 20, 2, repair=True) == 8  # buckets don't matter
    assert lanes(8192, 256, 8, 32, 2, interleaved=False) == 0
    assert lanes(8192, 256, 40, 64, 1) == 0
    assert (lanes(4096, 1024, 16, 64, 2), lanes(16384, 1025, 16, 64, 2)) == (32, 0)


def test_few_rows_fill_the_device() -> None:
    device = Device()
    for shape in ((1, 2**27, 1024, 65536, 1), (1, 2**27, 10, 1, 10), (1, 2**27, 64, 64, 4)):
        first = planned(problem(*shape), device).launches[0]
        assert first.grid >= device.multiprocessors


def test_many_rows() -> None:
    p = problem(2**31 - 1, 8, 1, 8, 1)
    assert planned(p, Device()).launches[0].grid <= 2**31 - 1
    assert "2147483647 rows" in str(schedule(problem(2**31, 8, 1, 8, 1), Device()))


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (problem(1, 100, 1, 1, 17), "kb = 17"),
        (problem(1, 2**32, 1, 1, 1), "n = 4294967296"),
        (problem(1, 2**32 - 2, 1, 2**28, 16), "candidate places"),
    ],
)
def test_refusals_are_one_sentence(p: Problem, words: str) -> None:
    reason = schedule(p, Device())
    assert isinstance(reason, str)
    assert words in reason
    assert "\n" not in reason


def test_long_sorts_end_with_the_output() -> None:
    for p in every_problem():
        launches = planned(p, Device()).launches
        if launches[-1].kernel.source != "sort":
            continue
        writers = [x for x in launches if dict(x.kernel.defines).get("OUTPUT") == "1"]
        assert writers == [launches[-1]]
        sorts = [x for x in launches if x.kernel.source == "sort"]
        assert all(a.swapped != b.swapped for a, b in itertools.pairwise(sorts))


def test_results_are_put_in_order_where_they_are() -> None:
    """Sorted results take no shared memory that others don't, so that as many blocks fit."""
    for shape in (
        (256, 131072, 2048, 4096, 3),
        (4096, 4096, 128, 256, 3),
        (2, 2**20, 900, 65536, 1),
    ):
        plain = planned(problem(*shape), Device())
        ordered = planned(problem(*shape, sorted=True), Device())
        assert [x.shared for x in ordered.launches] == [x.shared for x in plain.launches]
        assert dict(ordered.launches[-1].kernel.defines)["BINNED"] == "1"
    for shape in ((256, 131072, 4096, 8192, 3), (4096, 16384, 2000, 1024, 4)):
        more = planned(problem(*shape, sorted=True), Device())
        assert dict(more.launches[-1].kernel.defines)["BINNED"] == "2"


@pytest.mark.parametrize(
    ("shape", "lets", "abreast"),
    [
        ((128, 65536, 64, 4096, 1), [True], 1),  # a block fills a multiprocessor
        ((64, 131072, 64, 4096, 1), [True], 0),
        ((32, 4096, 64, 256, 2), [True], 0),  # most multiprocessors are free
        ((128, 4096, 64, 256, 2), [True], 1),  # if there is room for no more
        ((256, 32000, 50, 2048, 1), [True], 2),
        ((150, 4096, 64, 256, 2), [False], 0),  # one on most, two on some
        ((300, 65536, 64, 4096, 1), [False], 0),  # a little more than a wave
        ((64, 131072, 64, 128, 3), [False], 0),  # clusters, one of two blocks that find room
        ((1024, 50257, 50, 2560, 1), [True], 8),  # seven or eight of eight
        ((8192, 256, 8, 32, 2), [False], 0),  # short rows
        ((128, 2**20, 65536, 32768, 2), [True], 0),  # many waves of blocks
        (
            (1, 2**27, 1024, 57344, 1),
            [True, False],
            0,
        ),  # its own second launch, which leaves room for all
    ],
)
def test_whose_blocks_may_come_before_the_end(shape: Any, lets: list[bool], abreast: int) -> None:
    launches = planned(problem(*shape), Device()).launches
    assert [launch.lets_next for launch in launches] == lets
    assert launches[-1].abreast == abreast
    older = planned(problem(*shape), Device("sm_80", clusters=False)).launches[-1]
    assert (older.lets_next, older.abreast) == (False, 0)


@pytest.mark.parametrize(
    ("abreast", "fit", "lets"),
    [
        (0, 4, True),  # as many as there is room for
        (4, 4, True),
        (4, 3, True),
        (4, 5, False),  # there would be no memory left for loads
        (2, 3, True),
        (1, 2, True),
        (1, 16, True),
    ],
)
@pytest.mark.parametrize("static", [0, 1040, 12432])
def test_no_more_blocks_than_come_evenly(abreast: int, fit: int, lets: bool, static: int) -> None:
    """Where the next call's may come early, they find room for as many, not for more."""
    device = Device()
    shared = device.shared_in_all // fit - static - device.shared_reserved
    asked = Launch(Kernel("fused", "fused", ()), 128, 256, shared, lets_next=True, abreast=abreast)
    launch = spaced(asked, device, static, fit)
    each = launch.shared + static + device.shared_reserved
    assert launch.lets_next == lets
    assert launch.shared <= device.shared_per_block - static
    if abreast and lets:
        assert device.shared_in_all // each == min(abreast, fit)
    else:
        assert launch.shared == asked.shared


@pytest.mark.parametrize(
    ("grid", "shared", "blocks", "how", "kilobytes"),
    [
        (64, 98304, 2, {}, 96 + 4 + 1),  # one block, of two that there is room for
        (64, 98304, 2, {"lets_next": True}, 96 + 4 + 1),  # the next call's find others
        (128, 98304, 2, {"lets_next": True}, 2 * (96 + 4 + 1)),  # or a place beside this one's
        (64, 32768, 3, {"cluster": 8}, 32 + 4 + 1),
        (128, 32768, 3, {"cluster": 8}, 3 * (32 + 4 + 1)),  # of neighbours some may be taken
        (128, 98304, 2, {"cluster": 8}, 228),
        (1024, 16384, 9, {}, 8 * (16 + 4 + 1)),
        (10**6, 16384, 9, {}, 9 * (16 + 4 + 1)),
        (10**6, 19968, 8, {}, 196),  # all of it: 86 % of 228 would be more
    ],
)
def test_shared_memory_is_carved_out_for_the_blocks_that_there_are(
    grid: int, shared: int, blocks: int, how: Any, kilobytes: int
) -> None:
    launch = Launch(Kernel("fused", "fused", ()), grid, 256, shared, **how)
    sizes = (0, 8, 16, 32, 64, 100, 132, 164, 196, 228)
    asked = carveout(launch, Device(), 4096, blocks) * 228 / 100
    given = next(size for size in sizes if size >= asked)  # what the driver makes of it
    assert given == next(size for size in sizes if size >= kilobytes)


@pytest.mark.parametrize(
    ("shape", "more", "watched"),
    [
        ((256, 131072, 2048, 4096, 3), {}, 16),  # about six a row are hidden, nearly all late
        ((256, 131072, 2048, 4096, 3), {"sorted": True}, 16),
        ((256, 131072, 2048, 3072, 3), {}, 12),  # 15 a row; by batches of four
        ((256, 131071, 2048, 4096, 3), {"alignment": 4}, 16),  # half of 32, more than half of 31
        ((256, 131072, 2048, 2048, 2), {}, 8),  # 206 a row
        ((256, 32768, 1024, 2048, 2), {}, 4),  # one batch
        ((256, 131072, 2048, 8192, 3), {}, 0),  # of two rows one is exact
        ((16384, 16384, 64, 256, 2), {}, 0),
        ((40, 131072, 2048, 4096, 3), {}, 0),  # a cluster a row
        ((200, 65536, 1000, 128, 12), {}, 0),  # buckets have parts
    ],
)
def test_certificates_watch_late_what_is_hardly_ever_exact(
    shape: Any, more: Any, watched: int
) -> None:
    rows, n, k, b, kb = shape
    p = problem(rows, n, k, b, kb, certificate=True, **more)
    launch = planned(p, Device()).launches[0]
    assert dict(launch.fields).get("watched", 0) == watched
    assert watched % int(dict(launch.kernel.defines)["BATCH"]) == 0
    assert dict(launch.kernel.defines)["LATE"] == str(int(watched > 0))
    repaired = planned(replace(p, certificate=False, repair=True), Device()).launches[0]
    assert dict(repaired.kernel.defines)["LATE"] == "0"
    if watched:  # two blocks of a multiprocessor just fit, with 13 KB of their own each
        assert launch.shared <= 100 * 1024


@pytest.mark.parametrize(
    ("shape", "dtype", "more", "even"),
    [
        ((256, 131072, 2048, 4096, 3), "float32", {}, True),
        ((256, 131072, 2048, 3072, 3), "float32", {}, False),  # some threads walk a step more
        ((256, 129024, 2048, 3072, 3), "float32", {}, False),  # 42 steps, by batches of four
        ((256, 131072, 2048, 4096, 3), "bfloat16", {}, False),  # slower so
        ((256, 131072, 2048, 4096, 3), "bfloat16", {"certificate": True}, True),
        ((256, 131072, 2048, 4096, 2), "bfloat16", {"certificate": True}, False),
        ((256, 131072, 2048, 4096, 3), "bfloat16", {"repair": True}, True),
        ((16384, 16384, 64, 64, 4), "float32", {}, True),  # parts of buckets
        ((64, 131072, 64, 4096, 1), "float32", {}, False),  # two batches of 16
        ((128, 65536, 64, 4096, 1), "float32", {}, True),  # one
    ],
)
def test_a_walk_of_full_batches_has_a_kernel_of_its_own(
    shape: Any, dtype: str, more: Any, even: bool
) -> None:
    (launch,) = planned(problem(*shape, dtype, **more), Device()).launches
    macros = dict(launch.kernel.defines)
    assert macros["EVEN"] == str(int(even))
    fields = dict(launch.fields)
    assert not even or (fields["rest"] == 0 and fields["steps"] % int(macros["BATCH"]) == 0)


@pytest.mark.parametrize(
    ("shape", "dtype", "more", "steps", "uneven"),
    [
        ((32, 4096, 64, 2048, 1), "float32", {}, 2, 0),
        ((64, 16384, 64, 1024, 1), "bfloat16", {}, 16, 0),
        ((64, 131072, 64, 4096, 1), "float32", {}, 0, 0),  # more than are in flight
        ((32, 5000, 64, 2048, 1), "float32", {}, 2, 1),  # some buckets are longer
        ((64, 16385, 64, 1024, 1), "float16", {}, 0, 0),  # then of chunks that a row begins within
        ((32, 5000, 64, 2048, 1), "float32", {"interleaved": False}, 0, 0),
        ((64, 17400, 64, 1024, 1), "bfloat16", {}, 0, 0),  # and a step more than are in flight
        ((150, 8192, 700, 4096, 2), "float32", {}, 0, 0),  # candidates are stored
        ((32, 4096, 64, 2048, 1), "float32", {"repair": True, "certificate": False}, 0, 0),
        ((32, 4096, 64, 2048, 1), "float32", {"certificate": False}, 0, 0),
    ],
)
def test_certificates_of_few_steps_walk_without_a_loop(
    shape: Any, dtype: str, more: Any, steps: int, uneven: int
) -> None:
    p = problem(*shape, dtype, **{"certificate": True, **more})
    (launch,) = planned(p, Device()).launches
    macros = dict(launch.kernel.defines)
    assert (macros["STEPS"], macros["UNEVEN"]) == (str(steps), str(uneven))
    assert steps + uneven <= int(macros["BATCH"])
