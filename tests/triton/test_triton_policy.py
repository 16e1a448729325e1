"""Policy, layout and schedule: pure arithmetic, tested without torch or Triton."""

from __future__ import annotations

import re

import pytest

from approxtopk import Request
from approxtopk.exactness import flagged_if_missed, read_again
from approxtopk_triton import policy, schedule
from approxtopk_triton.layout import Layout, contiguous_strides, row_layout
from approxtopk_triton.policy import Config, Device

DEVICES = [Device(132, 32), Device(304, 64), Device(1, 32)]

SHAPES = [
    ((1, 2**27), 1024, 57344, 1),
    ((64, 131072), 64, 256, 2),
    ((128, 2**20), 65536, 32768, 2),
    ((16384, 16384), 64, 96, 3),
    ((16384, 16384), 64, 512, 3),
    ((8192, 256), 8, 5, 4),
    ((256, 131072), 2048, 3072, 3),
    ((100000, 1), 1, 1, 1),
    ((3, 100), 1, 1, 8),
]


def requests() -> list[Request]:
    return [
        Request(shape, dtype, "cuda:0", 1, k, b, kb, interleaved=interleaved)
        for shape, k, b, kb in SHAPES
        for dtype in ("float32", "bfloat16", "int8", "float64")
        for interleaved in (True, False)
    ]


def layout_of(request: Request) -> Layout:
    layout = row_layout(request.shape, request.axis, request.k, contiguous_strides(request.shape))
    assert layout is not None
    return layout


def power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("request_", requests(), ids=str)
def test_every_configuration_can_be_launched(request_: Request, device: Device) -> None:
    layout = layout_of(request_)
    found = policy.configurations(request_, layout, device)
    assert found[0] == policy.default(request_, layout, device)
    assert len(found) <= 6
    for config in found:
        filled = {"x", *schedule.OUTPUT, *schedule.UNORDERED}
        for launch in schedule.launches(request_, layout, device, config):
            assert 1 <= launch.programs < 2**31
            assert power_of_two(launch.warps)
            assert launch.warps * device.warp_size <= policy.MOST_THREADS
            assert set(launch.arrays) - filled <= {launch.creates and launch.creates[0]}
            for name in "RBSU":
                assert power_of_two(int(launch.constants.get(name, 1)))
            if launch.kernel == "bucket":  # the programs cover all buckets of all rows
                R, B = int(launch.constants["R"]), int(launch.constants["B"])
                parts = int(launch.constants["SPLITS"])
                assert launch.programs * R * B >= request_.rows * request_.b * parts
            if launch.kernel == "fused":
                assert int(launch.constants["B"]) >= request_.b
            if launch.kernel == "select":
                held = int(launch.constants["CHUNK"]) * int(launch.constants["CHUNKS"])
                assert held >= launch.numbers["b"]
            filled |= {launch.creates[0]} if launch.creates else set()


def test_few_long_rows_are_split_and_many_are_fused() -> None:
    device = Device(132, 32)
    one = Request((1, 2**27), "float32", "cuda:0", 1, 1024, 1024, 3)
    assert policy.default(one, layout_of(one), device).splits > 64
    many = Request((16384, 16384), "float32", "cuda:0", 1, 64, 256, 2)
    assert policy.default(many, layout_of(many), device).fused


def test_a_tournament_ends_with_k_candidates_a_chunk() -> None:
    request = Request((1, 2**24), "float32", "cuda:0", 1, 100, 2**24, 1)
    launches = schedule.launches(request, layout_of(request), Device(132, 32), Config(False, 4, 1))
    assert [launch.kernel for launch in launches] == ["narrow", "narrow", "select"]
    counts = [launch.numbers["b"] for launch in launches]
    assert counts == [2**24, 2**24 // policy.CHUNK * 100, 2500]


@pytest.mark.parametrize(
    ("shape", "k", "b", "kb", "more", "says"),
    [
        ((2, 2**31 - 2**16 + 1), 1, 128, 1, {}, "2\\*\\*31 - 2\\*\\*16 rows"),
        ((2, 1000), 9, 10, 9, {}, "kb=8"),
        ((2, 2**22), 5000, 2**22, 1, {}, "k=5000 from at most 1048575 candidates"),
        ((2, 2**20), 20000, 20000, 1, {"sorted": True}, "sorts at most 16384"),
    ],
)
def test_refusals(
    shape: tuple[int, ...], k: int, b: int, kb: int, more: dict[str, bool], says: str
) -> None:
    reason = policy.refusal(Request(shape, "float32", "cuda:0", 1, k, b, kb, **more))
    assert reason is not None
    assert re.search(says, reason)


def test_what_is_read_again() -> None:
    """Flagged buckets, once more if they hide any; the row for each two bits if that is much."""

    def told(n: int, k: int, b: int, kb: int, dtype: str = "float32", **how: bool) -> float:
        request = Request((3, n), dtype, "cuda:0", 1, k, b, kb, **how)
        return policy.elements_read_again(request)

    usual = 65536, 64, 2048, 2
    assert told(*usual) == 0
    flagged = told(*usual, certificate=True)
    assert flagged == read_again(*usual)
    assert told(*usual, exact=True) == flagged + flagged_if_missed(*usual)
    assert flagged < told(*usual, exact=True) < 1.1 * flagged
    assert told(2**21, 64, 2048, 2, exact=True) == 0  # too long: by whole rows
    assert told(1000, 4, 100, 4, exact=True) == 0
    all_hide = 65536, 200, 200, 1
    for dtype, passes in (("float32", 17), ("bfloat16", 9)):
        more = told(*all_hide, dtype, exact=True) - told(*all_hide, dtype, certificate=True)
        assert more == pytest.approx(passes * 65536)


def test_nothing_is_refused_where_there_is_nothing_to_select() -> None:
    assert policy.refusal(Request((0, 2**31), "float32", "cuda:0", 1, 1, 1, 9)) is None


@pytest.mark.parametrize(
    ("shape", "axis", "strides", "wanted"),
    [
        ((6, 7), 1, (7, 1), (6, 0, 7, 1)),
        ((6, 7), 0, (7, 1), (7, 0, 1, 7)),
        ((2, 3, 4), 1, (12, 4, 1), (4, 12, 1, 4)),
        ((2, 3, 4), 2, (12, 4, 1), (6, 0, 4, 1)),
        ((2, 3, 4), 2, (4, 8, 1), (3, 4, 8, 1)),  # transposed rows
        ((5, 4), 1, (0, 1), (5, 0, 0, 1)),  # expanded
        ((4,), 0, (2,), (1, 0, 0, 2)),
    ],
)
def test_rows_by_strides(
    shape: tuple[int, ...], axis: int, strides: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    layout = row_layout(shape, axis, 2, strides)
    assert layout is not None
    assert (layout.inner, layout.x_outer, layout.x_inner, layout.x_element) == wanted


def test_rows_that_need_two_divisions_have_no_layout() -> None:
    assert row_layout((2, 3, 4, 5), 3, 1, (5, 10, 30, 1)) is None
