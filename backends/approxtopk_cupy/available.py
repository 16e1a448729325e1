"""Whether CuPy can compile and run kernels on this machine."""

from __future__ import annotations

from cupy.cuda import nvrtc, runtime

#: What the kernels need of the driver and of NVRTC, as CUDA writes versions: 12.0.
OLDEST = 12000


def reason() -> str | None:
    """One sentence on why it can't, or None if it can."""
    if runtime.is_hip:
        return "this CuPy was built for ROCm, and the kernels are CUDA's"
    driver, built_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return "CuPy finds no CUDA driver; install NVIDIA's"
    if driver < OLDEST:
        return f"the driver is of CUDA {_words(driver)}; the kernels need {_words(OLDEST)} or newer"
    if driver // 1000 < built_for // 1000:
        return (
            f"this CuPy was built for CUDA {built_for // 1000} and the driver is of CUDA "
            f"{_words(driver)}; install cupy-cuda{driver // 1000}x instead, or a newer driver"
        )
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        return f"CuPy finds no CUDA device ({error})"
    return _compiler()


def _compiler() -> str | None:
    """What is wrong with NVRTC."""
    try:
        major, minor = nvrtc.getVersion()
    except Exception as error:  # the loader of the library raises errors of its own
        cause = " ".join(str(error).split())
        return (
            f"CuPy finds no NVRTC to compile kernels with; pip install nvidia-cuda-nvrtc ({cause})"
        )
    if major * 1000 + minor * 10 < OLDEST:
        return f"NVRTC is of CUDA {major}.{minor}; the kernels need {_words(OLDEST)} or newer"
    return None


def _words(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
