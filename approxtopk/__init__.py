"""Approximate top-k with a recall known beforehand, for arrays on CPUs and GPUs.

>>> import numpy as np, approxtopk
>>> x = np.random.default_rng(0).standard_normal((4, 65536))
>>> values, indices = approxtopk.topk(x, 64)
>>> values.shape
(4, 64)
"""

from .api import CertifiedTopK, TopK, topk
from .backend import ArrayInfo, Backend, BackendSpec, Request
from .dispatch import BackendStatus, backends, register, use_backend
from .errors import BackendUnavailableError, NoBackendError, PluginError, PluginWarning
from .explanation import Explanation, explain
from .hookspecs import hookimpl
from .measure import recall
from .planner import Plan, expected_recall, plan

__all__ = [
    "ArrayInfo",
    "Backend",
    "BackendSpec",
    "BackendStatus",
    "BackendUnavailableError",
    "CertifiedTopK",
    "Explanation",
    "NoBackendError",
    "Plan",
    "PluginError",
    "PluginWarning",
    "Request",
    "TopK",
    "backends",
    "expected_recall",
    "explain",
    "hookimpl",
    "plan",
    "recall",
    "register",
    "topk",
    "use_backend",
]

__version__ = "0.1.0"
