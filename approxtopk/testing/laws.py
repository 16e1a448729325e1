"""What holds for any correct selection, one function a law: ``law_x(select, case)``.

`select` has `approxtopk.topk`'s signature and takes and gives NumPy arrays; a law raises
AssertionError where it is broken. Which plans a law needs is said in `PLANS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import approxtopk

from . import oracle
from .case import Case, Select, Selected, require, run, same_selection
from .dtypes import Array, bits_of
from .exactness import law_r, law_s, law_t, law_u
from .oracle import Number

Law = Callable[[Select, Case], None]

#: Of an array of more elements, laws that compare with plain Python look at some rows only.
ORACLE_SIZE = 1 << 13


def law_a(select: Select, case: Case) -> None:
    """Values equal the gathered input bit for bit."""
    got = run(select, case)
    gathered = np.take_along_axis(case.rows, got.indices, axis=1)
    same_bits("values against the gathered input", got.values, gathered)


def law_b(select: Select, case: Case) -> None:
    """Indices are in range and unique per row."""
    indices = run(select, case).indices
    require(((indices >= 0) & (indices < case.n)).all(), "an index is out of range: {}", indices)
    ascending = np.sort(indices, axis=1)
    require((ascending[:, 1:] != ascending[:, :-1]).all(), "an index occurs twice: {}", indices)


def law_c(select: Select, case: Case) -> None:
    """The index set is the one that brute force selects, and so is the order if sorted."""
    got = run(select, case)
    for row in sampled_rows(case):
        expected = oracle.topk(
            case.numbers(row), case.k, case.b, case.kb, case.largest, case.interleaved
        )
        found = got.indices[row].tolist()
        if not case.sorted:
            expected, found = sorted(expected), sorted(found)
        require(found == expected, "row {}: {}, brute force has {}", row, found, expected)


def law_d(select: Select, case: Case) -> None:
    """At most kb elements come from a bucket."""
    indices = run(select, case).indices
    buckets = np.sort(bucket_of(case)[indices], axis=1)
    # Of an ascending row, an element equal to the one kb places earlier is one too many.
    many = (buckets[:, case.kb :] == buckets[:, : max(case.k - case.kb, 0)]).any()
    require(not many, "more than kb={} of one bucket: {}", case.kb, buckets)


def law_e(select: Select, case: Case) -> None:
    """The best element is always found."""
    indices = run(select, case).indices
    for row in sampled_rows(case) if case.k else ():
        best = oracle.exact(case.numbers(row), 1, case.largest)[0]
        require(best in indices[row], "row {}: {}, the best, is not in {}", row, best, indices[row])


def law_f(select: Select, case: Case) -> None:
    """If b = n, or kb >= k, or kb >= the largest bucket, the result is the exact top-k."""
    got = run(select, case)
    for row in sampled_rows(case):
        expected = sorted(oracle.exact(case.numbers(row), case.k, case.largest))
        found = sorted(got.indices[row].tolist())
        require(found == expected, "row {}: {}, the exact top-k is {}", row, found, expected)
    asked = run(lambda *a, **kw: select(*a, **(kw | {"b": None, "kb": None, "recall": 1.0})), case)
    same_selection("recall=1.0 against an exact plan", case, asked, got)


def law_g(select: Select, case: Case) -> None:
    """A strictly monotone, injective map of the values changes no index."""
    got, expected = run(select, ranked(case, rising=True)), run(select, case)
    same_selection("the values' ranks against the values", case, got, expected)


def law_h(select: Select, case: Case) -> None:
    """Hits are the sum over the buckets of min(kb, number of the true top-k in the bucket).

    On distinct values; so on all values, if ties are told apart by the index.
    """
    indices = run(select, case).indices
    for row in sampled_rows(case):
        true = set(oracle.exact(case.numbers(row), case.k, case.largest))
        buckets = oracle.buckets(case.n, case.b, case.interleaved)
        expected = sum(min(case.kb, len(true.intersection(bucket))) for bucket in buckets)
        hits = len(true.intersection(indices[row].tolist()))
        require(hits == expected, "row {}: {} hits, not {}", row, hits, expected)


def law_h_mean(select: Select, case: Case) -> None:
    """Mean recall over random permutations agrees with `expected_recall`: |z| < 5.

    Every row of the array must be a random permutation of 0 to n - 1; see `cases.permutations`.
    """
    values = run(select, case).values
    order = np.sort(case.rows, axis=1)
    true = order[:, -case.k :] if case.largest else order[:, : case.k]
    first = case.n * np.arange(len(true))[:, None]  # numbers from there on are a row's
    found, wanted = (first + part.astype(np.int64) for part in (values, true))
    common = np.intersect1d(found, wanted)
    hits = np.bincount(common // case.n, minlength=len(true))
    mean = float(hits.mean()) / case.k
    error = float(hits.std()) / case.k / math.sqrt(len(hits))
    expected = approxtopk.expected_recall(case.n, case.k, case.b, case.kb)
    fits = abs(mean - expected) <= max(5.0 * error, 1e-12)
    require(fits, "mean recall {:.6f} ± {:.6f}, expected {:.6f}", mean, error, expected)


def law_i(select: Select, case: Case) -> None:
    """``largest=False`` is the reversed order, in which NaN stays greatest.

    Integers are compared with ``~x``, others with their ranks counted from above.
    """
    integers = case.array.dtype.kind in "iu"
    reverse = case.but(array=~case.array) if integers else ranked(case, rising=False)
    got, expected = run(select, case), run(select, reverse.but(largest=not case.largest))
    same_selection("one direction against the other on reversed values", case, got, expected)


def law_j(select: Select, case: Case) -> None:
    """Sorted output is best first, and elementwise no better than the exact sorted output."""
    indices = run(select, case.but(sorted=True)).indices
    for row in sampled_rows(case):
        numbers = case.numbers(row)
        found = [(numbers[i], i) for i in indices[row].tolist()]
        in_order = oracle.best_first(found, case.largest) == found
        require(in_order, "row {} isn't sorted: {}", row, found)
        true = [(numbers[i], i) for i in oracle.exact(numbers, case.k, case.largest)]
        for got, best in zip(found, true, strict=True):
            better = got != best and oracle.before(got, best, case.largest)
            require(not better, "row {}: {} beats the exact {}", row, got, best)


def law_k(select: Select, case: Case) -> None:
    """Permuting inside a bucket changes no value.

    Each bucket is sorted, worst first: what agrees with that agrees for any two permutations.
    """
    arranged = np.empty_like(case.rows)
    for row in range(len(case.rows)):
        numbers = case.numbers(row)
        for bucket in oracle.buckets(case.n, case.b, case.interleaved):
            best = oracle.best_first([(numbers[i], i) for i in bucket], case.largest)
            arranged[row, bucket] = case.rows[row, [i for _, i in reversed(best)]]
    permuted = case.but(array=arranged, axis=1)
    results = zip(selected_numbers(select, case), selected_numbers(select, permuted), strict=True)
    for row, (one, other) in enumerate(results):
        ranks = oracle.ranks([*one, *other])
        equal = ranks[: case.k] == ranks[case.k :]
        require(equal, "row {}: {}, but {} with its buckets permuted", row, one, other)


def law_l(select: Select, case: Case) -> None:
    """Twice the interleaved buckets never lower recall."""
    b = 2 * case.b
    more = case.but(b=b, kb=min(case.kb, -(-case.n // b)))
    _never_lower(select, case, more)


def law_m(select: Select, case: Case) -> None:
    """A longer queue never lowers recall."""
    _never_lower(select, case, case.but(kb=case.kb + 1))


def law_n(select: Select, case: Case) -> None:
    """Rows are independent: a batch equals the loop over its rows."""
    batch = run(select, case)
    for row, array in enumerate(case.rows):
        alone = run(select, case.but(array=array, axis=0))
        together = Selected(batch.values[row : row + 1], batch.indices[row : row + 1])
        same_selection("a row alone against the batch", case, alone, together)


def law_o(select: Select, case: Case) -> None:
    """Strides, axis and byte order don't matter, and the input isn't modified."""
    before = bits_of(case.array).copy()
    got = run(select, case)
    same_bits("the input after the call against before", bits_of(case.array), before)
    plain = run(select, case.but(array=case.rows.copy(), axis=1))
    same_selection("the array against a contiguous copy of its rows", case, got, plain)


def law_p(select: Select, case: Case) -> None:
    """Repeats are bit-identical, order included."""
    first = run(select, case)
    for _ in range(2):
        again = run(select, case)
        same_bits("values of a repeat against the first call's", again.values, first.values)
        require((again.indices == first.indices).all(), "indices of a repeat differ")


def law_q(select: Select, case: Case) -> None:
    """All backends agree: sorted, the result is the reference backend's bit for bit."""
    reference = case.but(array=case.rows, axis=1, sorted=True)
    got = run(select, case.but(sorted=True))
    expected = run(lambda *a, **kw: approxtopk.topk(*a, backend="numpy", **kw), reference)
    same = (got.indices == expected.indices).all()
    require(same, "indices {}, the reference has {}", got.indices, expected.indices)
    same_bits("values against the reference's", got.values, expected.values)


#: The laws that hold for any array, by letter.
LAWS: dict[str, Law] = {
    law.__name__.removeprefix("law_"): law
    for law in (
        *(law_a, law_b, law_c, law_d, law_e, law_f, law_g, law_h, law_i),
        *(law_j, law_k, law_l, law_m, law_n, law_o, law_p, law_q),
        *(law_r, law_s, law_t, law_u),
    )
}

#: Laws that say something of some plans only; the strategy makes such plans for them.
PLANS = {"f": "exact", "l": "doubling", "m": "longer"}


def bucket_of(case: Case) -> Array:
    """The bucket of each index."""
    found = np.empty(case.n, dtype=np.int64)
    for bucket, members in enumerate(oracle.buckets(case.n, case.b, case.interleaved)):
        found[members] = bucket
    return found


def sampled_rows(case: Case) -> list[int]:
    """All rows, or evenly spaced ones where there are too many for plain Python."""
    rows, n = case.rows.shape
    most = max(1, ORACLE_SIZE // max(n, 1))
    if rows <= most:
        return list(range(rows))
    return [int(row) for row in np.linspace(0, rows - 1, min(most, 64))]


def ranked(case: Case, rising: bool) -> Case:
    """The case with its rows' values replaced by their ranks, or by these counted from above.

    At most 256 different values, so that the ranks are exact in every dtype.
    """
    numbers = [number for row in range(len(case.rows)) for number in case.numbers(row)]
    ranks = np.array(oracle.ranks(numbers)).reshape(case.rows.shape)
    require(ranks.max() < 256, "this law is for arrays of up to 256 different values")
    ranks = ranks if rising else 255 - ranks
    if case.array.dtype.kind != "u":
        ranks = ranks - 128
    return case.but(array=ranks.astype(case.rows.dtype), axis=1)


def selected_numbers(select: Select, case: Case) -> list[list[Number]]:
    """The selected values of each row, best first, as Python numbers."""
    found = []
    for row, indices in enumerate(run(select, case).indices.tolist()):
        numbers = case.numbers(row)
        best = oracle.best_first([(numbers[i], i) for i in indices], case.largest)
        found.append([value for value, _ in best])
    return found


def same_bits(what: str, got: Array, expected: Array) -> None:
    """Equal shapes and bits."""
    require(got.shape == expected.shape, what + ": shape {}, not {}", got.shape, expected.shape)
    one, other = bits_of(got), bits_of(expected)
    for place in np.argwhere(one != other)[:1]:
        where, bits = tuple(place.tolist()), (one[*place], other[*place])
        require(False, what + ": at {} the bits are {:#x}, not {:#x}", where, *bits)


def _never_lower(select: Select, case: Case, more: Case) -> None:
    """Hits under the second plan are at least those under the first."""
    fewer, enough = run(select, case).indices, run(select, more).indices
    for row in sampled_rows(case):
        true = set(oracle.exact(case.numbers(row), case.k, case.largest))
        one = len(true.intersection(fewer[row].tolist()))
        other = len(true.intersection(enough[row].tolist()))
        lower = "row {}: {} hits, but {} with b={} and kb={}"
        require(other >= one, lower, row, one, other, more.b, more.kb)
