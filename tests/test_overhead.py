"""The figures of benchmarks/overhead.py, with room for a busy machine: five times each limit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def overhead():
    path = Path(__file__).parent.parent / "benchmarks" / "overhead.py"
    spec = importlib.util.spec_from_file_location("overhead", path)
    module = sys.modules["overhead"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["overhead"]


@pytest.mark.parametrize("name", ["dispatch_hit", "import_time", "plan_cold", "call_overhead"])
def test_within_five_times_the_limit(name, overhead):
    figure = getattr(overhead, name)()
    assert 0 < figure.low <= figure.median < 5 * figure.limit, figure


def test_no_plan_is_measured_twice(overhead):
    arguments = overhead.fresh_plans()
    seen = [next(arguments) for _ in range(2000)]
    assert len(set(seen)) == len(seen)
