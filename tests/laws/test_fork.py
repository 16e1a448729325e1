"""A process that was forked after the import selects like any other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from approxtopk.testing import Subject

CODE = """
import os, sys
import numpy as np
import approxtopk

child = os.fork()
array = np.arange(10_000, dtype="float32")[::-1].copy()  # others have its kernel compiled
if {name!r} == "torch":
    import torch
    array = torch.from_numpy(array)
best = approxtopk.topk(array, 3, b=64, kb=1, sorted=True, backend={name!r}).indices.tolist()
if child == 0:
    os._exit(0 if best == [0, 1, 2] else 1)
_, status = os.waitpid(child, 0)
sys.exit(status != 0 or best != [0, 1, 2])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_after_import(backend: Subject) -> None:
    code = CODE.format(name=backend.name)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
