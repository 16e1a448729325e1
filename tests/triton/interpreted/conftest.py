"""The kernels' logic on CPU tensors: collected only where Triton interprets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from approxtopk.testing import Subject

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
collect_ignore_glob = [] if INTERPRETED else ["test_*.py"]

sys.path.insert(0, str(Path(__file__).parent.parent))  # for adapters


@pytest.fixture(scope="session")
def subject() -> Subject:
    return Subject("triton", to_array=tensor_of, to_numpy=array_of)


def tensor_of(array: np.ndarray) -> Any:
    from adapters import to_tensor

    return to_tensor(array, "cpu")


def array_of(tensor: Any) -> np.ndarray:
    from adapters import to_array

    return to_array(tensor)
