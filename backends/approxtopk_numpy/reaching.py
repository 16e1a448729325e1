"""What reaches a bar: finding it, what of it buckets kept, and the best of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .stage1 import Reader, part

_Array = NDArray[Any]
_Booleans = NDArray[np.bool_]
_Integers = NDArray[np.integer[Any]]

#: Where no more than one bucket in that many has an element that reaches the bar, these alone are
#: looked at again. Elements and their places take no more memory than to look at all.
FEW = 16

#: The part of a row that is looked at first, to see whether all are alike.
FIRST_PART = 16


class Reaching(NamedTuple):
    """Elements at least as good as the bar of their row, in the order of row and index."""

    row: NDArray[np.int32]
    i: _Integers
    key: _Array  #: greater if better: order keys, or as `Reader.rising` makes them
    bar: _Array  #: one key a row, which at least k of its elements reach

    def only(self, these: _Booleans) -> Reaching:
        """Some of them, below the same bars."""
        return Reaching(self.row[these], self.i[these], self.key[these], self.bar)


class Kept(NamedTuple):
    """What must be known of the queues of all buckets to tell whether they kept an element."""

    worst: _Array  #: the key of the worst that each bucket kept
    equals: NDArray[np.int32]  #: how many it kept of that key

    @classmethod
    def of(cls, queues: _Array, keys: Callable[[_Array], _Array]) -> Kept:
        """From stage 1, and how to make keys of what it reads."""
        worst = queues[-1]
        equals = (queues == worst).sum(axis=0, dtype=np.int32)
        return cls(keys(worst).reshape(-1), equals.reshape(-1))


#: Rows, indices and keys of some elements, see `Reaching`.
_Found = tuple[NDArray[np.int32], _Integers, _Array]


def reaching(values: _Array, bar: _Array, read: Reader, most: int, enough: int) -> _Found | None:
    """The elements at least as good as their row's `bar`, in their order.

    None if there are more than `most`. Where the first part of every row has `enough` of them,
    none that merely equals the bar can win later on; else rows of one value would all be found.
    """
    rows, n = values.shape
    as_good = read.direction.as_good
    size = part(rows, n)
    start, stop = 0, min(size, n // FIRST_PART if enough < n // FIRST_PART else n)
    parts, count = [], 0
    while start < n:
        chunk = read(values[:, start:stop])
        reach = np.flatnonzero(as_good(chunk, bar))
        count += len(reach)
        if count > most:
            return None
        element = chunk.reshape(-1)[reach] if chunk.flags.c_contiguous else None
        row = rows_of(reach, rows, chunk.shape[1])
        if element is None:
            element = chunk[row, reach]
        reach += start
        parts.append((row, reach, element))
        if start == 0 and np.bincount(row, minlength=rows).min() >= enough:
            as_good = np.greater if read.direction.largest else np.less
        start, stop = stop, min(stop + size, n)
    row, i, element = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
    if len(parts) > 1 and rows > 1:
        order = np.argsort(row, kind="stable")
        row, i, element = row[order], i[order], element[order]
    return row, i, read.rising(element)


def reaching_in_few(
    values: _Array, bucket: _Integers, b: int, bar: _Array, read: Reader
) -> _Found | None:
    """`reaching`, from the interleaved buckets whose best do. None where these are many.

    `bucket` counts them through all rows, and is used up. Values are neighbours, read as they are.
    """
    rows, n = values.shape
    as_good = read.direction.as_good
    if FEW * len(bucket) > rows * b:
        return None
    row = rows_of(bucket, rows, b)
    bars, first = bar[row, 0], bucket + np.multiply(row, n, dtype=np.int64)
    steps, rest = divmod(n, b)
    together = max(1, rows * part(rows, n) // (FEW * len(bucket)))
    found, elements = [], values.reshape(-1)
    for step in range(0, steps, together):
        at = first + b * np.arange(step, min(step + together, steps))[:, None]
        found.append(at[as_good(elements[at], bars)])
    at = first[bucket < rest] + b * steps
    found.append(at[as_good(elements[at], bars[bucket < rest])])
    i = np.concatenate(found)
    if rows > 1:
        i.sort()
    element = elements[i]
    return rows_of(i, rows, n), i, read.rising(element)


def rows_of(places: _Integers, rows: int, n: int) -> NDArray[np.int32]:
    """The rows of ascending places in several rows of `n`; the places become those in their row."""
    if rows == 1:
        return np.zeros(len(places), dtype=np.int32)
    ends = np.searchsorted(places, n * np.arange(rows + 1))
    row = np.repeat(np.arange(rows, dtype=np.int32), np.diff(ends))  # a block has no more rows
    places -= np.multiply(row, n, dtype=np.int64)
    return row


def kept_of(found: Reaching, request: Request) -> _Booleans:
    """Which elements their buckets keep, of all those that reach a bar, in the order of the index.

    All but those that `kb` others of their bucket are ahead of.
    """
    bucket = buckets_of(found, request)
    kept = np.ones(len(bucket), dtype=np.bool_)
    crowded = np.flatnonzero(np.bincount(bucket)[bucket] > request.kb)
    order = np.lexsort((falling(found.key[crowded]), bucket[crowded]))
    members = bucket[crowded][order]
    place = np.arange(len(members)) - np.searchsorted(members, members)
    kept[crowded[order[place >= request.kb]]] = False
    return kept


def kept_by(kept: Kept, bucket: _Integers, key: _Array) -> _Booleans:
    """Which elements their buckets kept, of those that reach the bar, in the order of the index.

    All that are better than the worst kept one, and of its equals as many as were kept.
    """
    worst = kept.worst[bucket]
    was_kept: _Booleans = key > worst
    equals = np.flatnonzero(key == worst)
    was_kept[equals[first_of_each(bucket[equals], kept.equals)]] = True
    return was_kept


def buckets_of(found: Reaching, request: Request) -> _Integers:
    """The buckets that hold these elements, counted through all rows."""
    bucket = buckets_at(found.i, request)
    if len(found.bar) > 1:
        bucket += np.multiply(found.row, request.b, dtype=np.int64)
    return bucket


def buckets_at(i: _Integers, request: Request) -> _Integers:
    """The buckets of the elements with these indices."""
    if request.interleaved:
        return i % request.b
    short, longer = divmod(request.n, request.b)
    first = longer * (short + 1)  # of the shorter buckets
    return np.where(i < first, i // (short + 1), longer + (i - first) // max(short, 1))


def raised(found: Reaching, k: int) -> Reaching:
    """What reaches bars raised to the k-th best of each row."""
    row, _, key, bar = found
    if len(bar) == 1:
        if len(key) == k:
            return found
        table, crowded = key[None], np.zeros(1, np.intp)
    else:
        count = np.bincount(row, minlength=len(bar))
        crowded = np.flatnonzero(count > k)
        if not len(crowded):
            return found
        least = -np.inf if key.dtype.kind == "f" else np.iinfo(key.dtype).min
        table = np.full((len(crowded), count.max()), least, key.dtype)
        table[np.arange(table.shape[1]) < count[crowded, None]] = key[(count > k)[row]]
    bar = bar.copy()
    bar[crowded] = kth_best(table, k, True)[:, 0]
    return found._replace(bar=bar).only(key >= bar[row])


def kth_best(candidates: _Array, k: int, largest: bool) -> _Array:
    """The `k`-th best of each row, as a column."""
    at = candidates.shape[1] - k if largest else k - 1
    return np.partition(candidates, at, axis=1)[:, [at]]


def winners(found: Reaching, k: int) -> tuple[_Integers, _Array]:
    """Indices of the `k` best of each row, ascending, and their keys.

    Those that equal the bar come last, and the first of them win. Fewer than `k` elements of a row
    are better than its bar, or no others reach it.
    """
    row, i, key, bar = found
    shape = len(bar), k
    if len(i) == len(bar) * k:  # no row has fewer
        return i.reshape(shape), key.reshape(shape)
    wins = key > bar[row]
    wanted = k - np.bincount(row[wins], minlength=len(bar))
    ties = np.flatnonzero(~wins)
    wins[ties[first_of_each(row[ties], wanted)]] = True
    return i[wins].reshape(shape), key[wins].reshape(shape)


def first_of_each(group: _Integers, wanted: _Integers) -> _Booleans:
    """Which members are among the first ``wanted[group]`` of their group."""
    count = np.bincount(group, minlength=len(wanted))
    first = np.ones(len(group), dtype=np.bool_)
    crowded = np.flatnonzero((count > wanted)[group])  # rarely any
    if len(crowded):
        order = np.argsort(group[crowded], kind="stable")
        members = group[crowded][order]
        starts = np.searchsorted(members, members)
        first[crowded[order]] = np.arange(len(members)) - starts < wanted[members]
    return first


def falling(keys: _Array) -> _Array:
    """Lesser if better."""
    return -keys if keys.dtype.kind == "f" else ~keys
