"""The laws of approximate top-k as assertions, for whoever writes a backend.

One call runs them all, and every edge case (extra ``testing``):

>>> from approxtopk.testing import check_backend
>>> check_backend("numpy", dtypes=["float32"], max_examples=10)

Of its parts, `LAWS` are functions ``law(select, case)``, `EDGE_CASES` is a table, `oracle` is
brute force in plain Python, and `MUTANTS` are wrong selections that the laws must kill.
"""

from . import oracle
from .adversaries import adversaries
from .case import Case, Select
from .cases import EDGE_CASES, EdgeCase, permutations
from .check import check_backend, check_edge_case, check_law
from .dtypes import available_dtypes, dtype_of
from .laws import LAWS, law_h_mean
from .mutants import MUTANTS
from .promises import PROMISES
from .selection import Selection
from .subject import Subject
from .workloads import WORKLOADS, Workload

__all__ = [
    "EDGE_CASES",
    "LAWS",
    "MUTANTS",
    "PROMISES",
    "WORKLOADS",
    "Case",
    "EdgeCase",
    "Select",
    "Selection",
    "Subject",
    "Workload",
    "adversaries",
    "available_dtypes",
    "check_backend",
    "check_edge_case",
    "check_law",
    "dtype_of",
    "law_h_mean",
    "oracle",
    "permutations",
]
