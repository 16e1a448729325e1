"""Selection by the best of each group: the way where k is small and memory is read at full speed.

A bucket is cut into groups of neighbouring steps, and the best of each group is found by `amax`,
which reads the row once and nothing else. Count at most kb groups of a bucket and let τ be the
k-th best of those left: at least k candidates are as good as τ, hence every selected element is,
hence all of them are in groups whose best is. Only these groups, about k, are looked into.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from approxtopk import Request

from .keys import best_first, order_keys, pack, packable
from .layout import Region, bucket_numbers, regions

#: Groups are so many that ranking them costs about as much as looking into k of them.
BALANCE = 0.5
#: Share of a row that may be looked into before sorting every bucket is as cheap.
WORTHWHILE = 1 / 8
#: Groups to look into, as a multiple of k, from which on ties are told apart first.
MANY = 2


def group_length(request: Request) -> int | None:
    """How many steps of a bucket make a group, or None where too much would be looked into."""
    n, k, b, kb = request.n, request.k, request.b, request.kb
    length = max(1, min(int(math.sqrt(n / (BALANCE * k))), n // b if _capped(request) else n))
    if _capped(request):
        parts = regions(n, b, request.interleaved)
        while sum(part.buckets * min(kb, -(-part.length // length)) for part in parts) < k:
            length = -(-length // 2)
    return length if k * length <= WORTHWHILE * n else None


def select(rows: Tensor, request: Request, length: int) -> tuple[Tensor, Tensor]:
    """Indices of the selected elements of each row, best first, and its certificate.

    All elements that are as good as the worst of these are met, so whether a bucket dropped a
    better one is plain to see.

    Parameters
    ----------
    rows : Tensor, shape (..., n)
        Any strides, at least one row.
    request : Request
        Of which `k`, `b`, `kb`, `largest`, `interleaved` and `exact` are used; `k` is not 0.
    length : int
        From `group_length`.
    """
    n, k, capped = rows.shape[-1], request.k, _capped(request)
    if capped:
        b, interleaved = request.b, request.interleaved
    else:  # the answer is exact: any buckets do, so each group is one
        b, interleaved = -(-n // length), True
    parts = regions(n, b, interleaved)

    best = [_best(part, rows, length, request.largest) for part in parts]
    if rows.is_floating_point() and not request.largest and any(g.isnan().any() for g in best):
        # amin passes NaN on, but here it is the last to be selected.
        return select(order_keys(rows, False), replace(request, largest=True), length)

    # Torch's own order of values will do until the end, unless many tie: then keys tell them apart.
    kb = request.kb if capped else None
    largest, packed = request.largest, packable(rows, n)
    tau = _threshold(best, k, kb, largest)
    chosen = _as_good(_flat(best), tau, largest)
    tied = packed and chosen.shape[-1] > MANY * k
    if tied:
        starts = [_chunk_starts(part, length, b, rows.device) for part in parts]
        keys = [order_keys(group, largest) for group in best]
        ranks, largest = [pack(*pair) for pair in zip(keys, starts, strict=True)], True
        tau = _threshold(ranks, k, kb, largest)
        chosen = _as_good(_flat(ranks), tau, largest)

    elements, indices = _look_into(chosen, rows, parts, length, request.largest)
    if tied:
        elements = pack(order_keys(elements, request.largest), indices)
        tau = tau - (b * length if interleaved else length)  # as good as τ: in the same chunk
    found = _as_good(elements, tau, largest)
    missing = found == elements.shape[-1]
    found = found.masked_fill(missing, 0)
    elements = elements.gather(-1, found)
    indices = indices.gather(-1, found).masked_fill_(missing, n)
    if not tied:
        elements = order_keys(elements, request.largest)
    elements = elements.masked_fill(missing, torch.iinfo(elements.dtype).min)
    if packed and not tied:
        elements = pack(elements, indices)
    survivors = indices.shape[-1]
    _, indices = best_first(elements, indices, survivors if capped else k, packed)
    if survivors == k or not capped:
        return indices, torch.ones(rows.shape[:-1], dtype=torch.bool, device=rows.device)
    keep = _first_of_buckets(bucket_numbers(indices, n, b, interleaved), request.kb, k)
    return indices[keep].view(*rows.shape[:-1], k), keep[..., :k].all(-1)


def _threshold(groups: list[Tensor], k: int, kb: int | None, largest: bool) -> Tensor:
    """τ of each row, counting `kb` groups of a bucket."""
    if kb is not None:
        groups = [
            g.topk(kb, largest=largest, sorted=False).values if kb < g.shape[-1] else g
            for g in groups
        ]
    best = _flat(groups).topk(k, largest=largest, sorted=False).values
    return best.amin(-1, keepdim=True) if largest else best.amax(-1, keepdim=True)


def _as_good(values: Tensor, tau: Tensor, largest: bool) -> Tensor:
    """Places of all that is not worse than τ (NaN is not); one past the end fills shorter rows."""
    good = ~(values < tau if largest else values > tau)
    good = good.reshape(-1, values.shape[-1])
    counts = good.count_nonzero(dim=-1)
    row, place = good.nonzero(as_tuple=True)
    column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    places = place.new_full((len(good), int(counts.max())), values.shape[-1])
    places[row, column] = place
    return places.view(*values.shape[:-1], -1)


def _look_into(
    chosen: Tensor, rows: Tensor, parts: list[Region], length: int, largest: bool
) -> tuple[Tensor, Tensor]:
    """Elements of the chosen groups and their indices: `length` for each, the worst for none."""
    n, device = rows.shape[-1], rows.device
    steps = torch.arange(length, device=device)
    none = torch.zeros(1, 1, dtype=torch.int64, device=device)
    first = _flat([*(_first_indices(part, length, device) for part in parts), none])[chosen]
    sizes = _flat([*(_lengths(part, length, device) for part in parts), none])[chosen]
    indices = (first[..., None] + parts[0].step_stride * steps).flatten(-2)
    if int(sizes.min()) == length:
        return rows.gather(-1, indices), indices
    missing = (steps >= sizes[..., None]).flatten(-2)
    elements = rows.gather(-1, indices.clamp_(max=n - 1))
    elements.masked_fill_(missing, _worst(rows.dtype, largest))
    return elements, indices.masked_fill_(missing, n)


def _worst(dtype: torch.dtype, largest: bool) -> float:
    """What no element is worse than."""
    if dtype.is_floating_point:
        return -math.inf if largest else math.inf
    limits = torch.iinfo(dtype)
    return limits.min if largest else limits.max


def _capped(request: Request) -> bool:
    """Whether the answer leaves out what buckets drop."""
    return not (request.exact or request.lossless)


def _best(part: Region, rows: Tensor, length: int, largest: bool) -> Tensor:
    """The best of each group: shape (..., buckets, groups), in the order of memory."""
    reduce = torch.amax if largest else torch.amin
    view, steps = part.view(rows), -1
    if part.step_stride != 1:
        view, steps = view.mT, -2
    full, rest = divmod(part.length, length)
    best = []
    if full:
        whole = torch.unflatten(view.narrow(steps, 0, full * length), steps, (full, length))
        best.append(reduce(whole, steps))
    if rest:
        best.append(reduce(view.narrow(steps, full * length, rest), steps, keepdim=True))
    groups = best[0] if len(best) == 1 else torch.cat(best, steps)
    return groups if steps == -1 else groups.mT


def _first_indices(part: Region, length: int, device: torch.device) -> Tensor:
    """Index of each group's first element: shape (buckets, groups)."""
    starts = torch.arange(0, part.length, length, device=device)
    return part.first_indices(device)[:, None] + part.step_stride * starts


def _chunk_starts(part: Region, length: int, b: int, device: torch.device) -> Tensor:
    """A lower bound of each group's indices that rises as they do, or stays the same."""
    first = _first_indices(part, length, device)
    return first if part.step_stride == 1 else first // (b * length) * (b * length)


def _lengths(part: Region, length: int, device: torch.device) -> Tensor:
    """Number of elements of each group: shape (buckets, groups)."""
    starts = torch.arange(0, part.length, length, device=device)
    return (part.length - starts).clamp(max=length).expand(part.buckets, -1)


def _first_of_buckets(buckets: Tensor, kb: int, k: int) -> Tensor:
    """Mask of the first `k` places of each row, not counting any bucket after its `kb`-th."""
    by_bucket, order = buckets.sort(dim=-1, stable=True)
    place = torch.arange(buckets.shape[-1], device=buckets.device)
    new = torch.ones_like(by_bucket, dtype=torch.bool)
    new[..., 1:] = by_bucket[..., 1:] != by_bucket[..., :-1]
    start = torch.where(new, place, 0).cummax(-1).values
    keep = torch.empty_like(new).scatter_(-1, order, place - start < kb)
    return keep & (keep.cumsum(-1) <= k)


def _flat(groups: list[Tensor]) -> Tensor:
    return torch.cat([group.flatten(-2) for group in groups], dim=-1)
