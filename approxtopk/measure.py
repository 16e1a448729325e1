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
    return _common(_rows(got, axis), _rows(true, axis)) / true.size


def _as_numpy(values: Any) -> np.ndarray:
    return np.asarray(dispatch.describer(type(values)).to_numpy(values))


def _rows(values: np.ndarray, axis: int) -> np.ndarray:
    values = np.moveaxis(values, axis, -1)
    return values.reshape(-1, values.shape[-1])


def _common(got: np.ndarray, true: np.ndarray) -> int:
    """Size of the multiset intersection of each row with its twin, summed over the rows."""
    both = np.concatenate((true, got), axis=1)
    order = np.argsort(both, axis=1)
    values = np.take_along_axis(both, order, axis=1)
    starts = np.ones(values.shape, dtype=bool)  # of runs of equal elements
    with np.errstate(invalid="ignore"):  # a signalling NaN is compared
        nan = values != values
        starts[:, 1:] = (values[:, 1:] != values[:, :-1]) & ~(nan[:, 1:] & nan[:, :-1])
    run = np.cumsum(starts) - 1
    of_true = np.bincount(run, weights=(order < true.shape[1]).ravel())
    of_both = np.bincount(run)
    return int(np.minimum(of_true, of_both - of_true).sum())
