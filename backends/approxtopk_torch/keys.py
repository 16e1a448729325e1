"""Order-preserving integer keys as torch operations; see `approxtopk_numpy.keys` for the order."""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

#: An index in the low half of a key is stored as its distance to this, so that lower ones win.
LAST = 2**32 - 1


def order_keys(values: Tensor, largest: bool) -> Tensor:
    """Integers of the same width, greater for an element to be selected earlier, equal for ties.

    All NaNs are one, greater than everything; -0.0 equals 0.0. ``largest=False`` is the complement.
    """
    if values.is_floating_point():
        integer = _INTEGERS[values.element_size()]
        limit = torch.iinfo(integer)
        keys = values.view(integer)
        # Negative numbers fall as their bits rise: turn all but the sign around.
        keys = keys ^ ((keys >> (limit.bits - 1)) & limit.max)
        keys = keys.masked_fill_(values == 0, 0).masked_fill_(values != values, limit.max)
    else:
        keys = values
    return keys if largest else ~keys


def packable(values: Tensor, n: int) -> bool:
    """Whether a key and an index in [0, 2 n) share 64 bits."""
    return values.element_size() <= 4 and n < 2**31


def pack(keys: Tensor, indices: Tensor) -> Tensor:
    """Keys whose ties go to the lower index: no two are equal, so any top-k breaks them right."""
    return (keys.to(torch.int64) << 32) | (LAST - indices)


def unpack_indices(packed: Tensor) -> Tensor:
    """The indices of packed keys."""
    return LAST - (packed & LAST)


def best_first(keys: Tensor, indices: Tensor, k: int, packed: bool) -> tuple[Tensor, Tensor]:
    """The `k` best of each row by (key, lower index), best first: their keys, and their indices.

    Where `packed`, the keys hold their indices already; else `indices` decides among equal keys.
    """
    if packed:
        keys = keys.topk(k, sorted=True).values
        return keys, unpack_indices(keys)
    indices, by_index = indices.sort()
    keys, by_key = keys.gather(-1, by_index).sort(dim=-1, descending=True, stable=True)
    return keys[..., :k], indices.gather(-1, by_key[..., :k])
