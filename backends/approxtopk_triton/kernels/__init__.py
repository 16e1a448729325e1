"""The kernels. What Triton reads has no types but those it infers, and tuples grow by addition."""

import triton

if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 6):
    raise ImportError(f"the kernels need Triton 3.6 or newer, not {triton.__version__}")
