"""What is asked of the CUDA driver, with a stand-in for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from approxtopk import Request
from approxtopk_cuda import driver, strided

#: Of an H100: capability, multiprocessors, shared memory of a block, of all of them, reserved.
ATTRIBUTES = {75: 9, 76: 0, 16: 132, 97: 227 * 1024, 81: 228 * 1024, 111: 1024}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a driver of a version, with a device of some attributes, in the real one's place."""

    def put(version: int = 13000, **attributes: int) -> None:
        found = ATTRIBUTES | {int(name[1:]): value for name, value in attributes.items()}

        def of_device(value: Any, number: int, ordinal: int) -> int:
            value._obj.value = found[number]
            return 0

        def of_driver(value: Any) -> int:
            value._obj.value = version
            return 0

        calls = {"cuDeviceGetAttribute": of_device, "cuDriverGetVersion": of_driver}
        monkeypatch.setattr(driver, "_driver", lambda: SimpleNamespace(cuInit=int, **calls))

    yield put
    driver.device_of.cache_clear()
    driver._version.cache_clear()


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    driver.device_of.cache_clear()
    driver._version.cache_clear()


REQUEST = Request((64, 4096), "float32", "cuda:0", 1, 8, 256, 1)


def test_a_device(stand_in: Any) -> None:
    stand_in()
    assert driver.device_of(0) == driver.Device()
    assert strided.refuses(REQUEST) is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"version": 11080}, "a driver of CUDA 12.0 or newer, not 11.8"),
        ({"a75": 7, "a76": 5}, "compute capability 8.0 or newer, not 7.5"),
    ],
)
def test_what_is_too_old_is_refused_in_a_sentence(stand_in: Any, told: Any, words: str) -> None:
    stand_in(**told)
    assert words in str(strided.refuses(REQUEST))
