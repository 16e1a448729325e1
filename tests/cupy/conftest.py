"""Whether the backend can be used here, and what its tests need besides."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import approxtopk

for folder in ("cuda", "laws"):  # whose problems and checks serve here too
    sys.path.append(str(Path(__file__).parents[1] / folder))
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # there are other processes


@pytest.fixture(scope="session")
def usable() -> None:
    """Skips a test where CuPy has no GPU."""
    status = {status.name: status for status in approxtopk.backends()}["cupy"]
    if not status.usable:
        pytest.skip(f"backend cupy: {status.reason}")


@pytest.fixture(params=["fused", "scratch"])
def plan(request: pytest.FixtureRequest) -> Any:
    """A plan of one launch, and one of two."""
    from work import PLANS

    return PLANS[request.param]
