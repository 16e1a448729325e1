"""Recall that was got, against an exact answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dispatch


def recall(result: Any, exact: Any, *, axis: int = -1) -> float:
    """Share of the true top-k that a result holds, the mean over rows.

    Parameters
    ----------
    result, exact : TopK, or (values, indices)
        What was got, and the true top-k: equal shapes, of any supported array type.
    axis : int, default -1
        The selection axis.

    Returns
    -------
    float
        In [0, 1]; 1.0 where there is nothing to find. Elements are matched by value, each as
        often as it occurs, so that an element equal to a true one counts in full: among ties
        no choice is wrong. -0.0 equals 0.0, and NaN equals NaN.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> import numpy as np, approxtopk
    >>> x = np.random.default_rng(0).permutation(1000)
    >>> exact = approxtopk.topk(x, 10, recall=1.0)
    >>> approxtopk.recall(exact, exact)
    1.0
    """
    got, true = (_as_numpy(pair[0]) for pair in (result, exact))
    if got.shape != true.shape:
        raise ValueError(f"result and exact must have one shape, got {got.shape} and {true.shape}")
    if true.size == 0:
        return 1.0
    rows = zip(_rows(got, axis), _rows(true, axis), strict=True)
    return sum(_common(*pair) for pair in rows) / true.size


def _as_numpy(values: Any) -> np.ndarray:
    return np.asarray(dispatch.describer(type(values)).to_numpy(values))


def _rows(values: np.ndarray, axis: int) -> np.ndarray:
    values = np.moveaxis(values, axis, -1)
    return values.reshape(-1, values.shape[-1])


def _common(got: np.ndarray, true: np.ndarray) -> int:
    """Size of the multiset intersection; `numpy.unique` makes one NaN and one zero of each."""
    distinct, counts = np.unique(true, return_counts=True)
    there, found = np.unique(got, return_counts=True)
    _, of_true, of_got = np.intersect1d(distinct, there, assume_unique=True, return_indices=True)
    hits = int(np.minimum(counts[of_true], found[of_got]).sum())
    if distinct.dtype.kind == "f" and np.isnan(distinct[-1]) and np.isnan(there[-1]):
        hits += int(min(counts[-1], found[-1]))  # intersect1d doesn't match NaN with NaN
    return hits
