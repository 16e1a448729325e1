"""Measure the few configurations of the policy and keep the fastest: only where asked for.

``APPROXTOPK_TRITON_TUNE=1`` has the first call for a request and layout measure; the choice is
then kept in the process.  Nothing is measured while a CUDA graph is captured.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Any

import torch
from torch import Tensor

from approxtopk import Request

from . import launch, policy
from .layout import Layout

TUNING = os.environ.get("APPROXTOPK_TRITON_TUNE", "0") not in ("", "0")
REPEATS = 5


def can_measure() -> bool:
    """Whether the next call may try configurations."""
    return TUNING and not launch.INTERPRETED and not torch.cuda.is_current_stream_capturing()


def fastest(request: Request, layout: Layout, arr: Tensor) -> launch.Pipeline:
    """The pipeline of the configuration that takes least time on this tensor."""
    device = launch.device_of(request.device)
    pipelines = [
        launch.Pipeline(request, layout, device, config)
        for config in policy.configurations(request, layout, device)
    ]
    return min(pipelines, key=lambda pipeline: _milliseconds(pipeline, arr))


def _milliseconds(pipeline: launch.Pipeline, arr: Tensor) -> float:
    values, indices, *_ = pipeline(arr, None)  # compiles
    times = []
    for _ in range(REPEATS):
        event: Any = torch.cuda.Event
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record()
        pipeline(arr, (values, indices))
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return float(median(times))
