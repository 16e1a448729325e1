"""Random problems without a test runner, for compute-sanitizer.

PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --error-exitcode 1 \
    python tests/cuda/sanitize.py FIRST LAST
"""

from __future__ import annotations

import sys

from test_gpu import check, random_case


def main() -> None:
    first, last = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, last):
        arr, request = random_case(seed)
        check(arr, request)
    print(f"{last - first} problems are right")


if __name__ == "__main__":
    main()
