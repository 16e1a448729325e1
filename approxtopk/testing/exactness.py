"""The laws of certificates and of ``recall=1.0``: r to u of `laws.LAWS`.

The true top-k is that of NumPy's stable sort, for all rows at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .case import Case, Select, Selected, require, run, same_selection
from .dtypes import Array, bits_of


class Certified(NamedTuple):
    """A result with its certificate, as rows."""

    values: Array
    indices: Array
    exact: Array


def law_r(select: Select, case: Case) -> None:
    """No row has a certificate whose answer isn't the true top-k."""
    got = run_certified(select, case)
    for row in np.flatnonzero(got.exact & ~are_true(case, got.indices)):
        require(False, "row {}: {} is certified", row, got.indices[row])


def law_s(select: Select, case: Case) -> None:
    """Every row has a certificate whose answer is the true top-k."""
    got = run_certified(select, case)
    for row in np.flatnonzero(are_true(case, got.indices) & ~got.exact):
        require(False, "row {}: {} is not certified", row, got.indices[row])


def law_t(select: Select, case: Case) -> None:
    """With ``recall=1.0`` every plan gives the true top-k of every row, and certifies it."""
    got, true = run_certified(select, case, recall=1.0), true_topk(case)
    found = got.indices if case.sorted else np.sort(got.indices, axis=1)
    expected = true if case.sorted else np.sort(true, axis=1)
    for row in np.flatnonzero((found != expected).any(axis=1)):
        require(False, "row {}: {}, the true top-k is {}", row, found[row], expected[row])
    require(got.exact.all(), "of {} rows {} are certified", len(true), got.exact.sum())
    _are_gathered(case, got)


def law_u(select: Select, case: Case) -> None:
    """Asking for a certificate changes nothing about the answer, but for an order not asked for."""
    got = run_certified(select, case)
    plain = run(select, case)
    same_selection("with a certificate against without", case, Selected(*got[:2]), plain)
    _are_gathered(case, got)


def run_certified(select: Select, case: Case, recall: float | None = None) -> Certified:
    """Select with a certificate, check shapes and types, and give the result as rows."""
    proofs = []

    def keep_proof(*args: object, **how: object) -> tuple[Array, ...]:
        values, indices, exact = select(*args, **how, certificate=True, recall=recall)
        proofs.append(exact)
        return values, indices

    found = run(keep_proof, case)
    (exact,) = proofs
    shape = np.moveaxis(case.array, case.axis, -1).shape[:-1]
    require(exact.shape == shape, "exact has shape {}, not {}", exact.shape, shape)
    require(exact.dtype == np.bool_, "exact has dtype {}, not bool", exact.dtype)
    return Certified(*found, exact.reshape(-1))


def _are_gathered(case: Case, got: Certified) -> None:
    gathered = np.take_along_axis(case.rows, got.indices, axis=1)
    require((bits_of(got.values) == bits_of(gathered)).all(), "values aren't the gathered input")


def are_true(case: Case, indices: Array) -> Array:
    """For each row whether these are the indices of the true top-k."""
    same: Array = (np.sort(indices, axis=1) == np.sort(true_topk(case), axis=1)).all(axis=1)
    return same


@lru_cache(maxsize=1)  # the laws of a case come one after another
def true_topk(case: Case) -> Array:
    """Indices of the true top-k of each row, best first.

    A stable sort has ties by index and NaN last; from the greatest down it is that of the reversed
    rows, reversed.
    """
    rows = case.rows if case.array.dtype.name != "bfloat16" else case.rows.astype(np.float32)
    if case.largest:
        order = case.n - 1 - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1]
    else:
        order = np.argsort(rows, axis=1, kind="stable")
    return order[:, : case.k]
