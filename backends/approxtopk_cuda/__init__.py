"""CUDA kernels of approxtopk: sources, launch policy, compilation. No framework, no arrays.

A caller describes its array as a `Problem` and its GPU as a `Device`; `schedule` answers with the
launches that solve it, or with one sentence on why it can't. `compile_kernel` turns a launch's
kernel into machine code, and `Program` packs a schedule's arguments and launches it on a stream.
"""

from __future__ import annotations

from .compile import CompileError, compile_kernel, compiler, source_of
from .launch import schedule
from .problem import Device, Launch, Problem, Schedule
from .variants import Kernel

__all__ = [
    "CompileError",
    "Device",
    "Kernel",
    "Launch",
    "Problem",
    "Schedule",
    "compile_kernel",
    "compiler",
    "schedule",
    "source_of",
]
