"""Where the elements of buckets are: arithmetic on lengths, and strided views by it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Region(NamedTuple):
    """Neighbouring buckets of one length; element (bucket, step) is at an affine index."""

    first: int
    buckets: int
    bucket_stride: int
    length: int
    step_stride: int

    def view(self, rows: Tensor) -> Tensor:
        """The elements of each row, without a copy: shape (..., buckets, length)."""
        stride = rows.stride(-1)
        return rows.as_strided(
            (*rows.shape[:-1], self.buckets, self.length),
            (*rows.stride()[:-1], self.bucket_stride * stride, self.step_stride * stride),
            rows.storage_offset() + self.first * stride,
        )

    def first_indices(self, device: torch.device) -> Tensor:
        """Index of each bucket's first element."""
        return self.first + self.bucket_stride * torch.arange(self.buckets, device=device)


def regions(n: int, b: int, interleaved: bool) -> list[Region]:
    """The buckets of a row as at most two regions, since their lengths differ by at most one."""
    short, longer = divmod(n, b)
    if interleaved:
        found = [
            Region(0, longer, 1, short + 1, b),
            Region(longer, b - longer, 1, short, b),
        ]
    else:
        found = [
            Region(0, longer, short + 1, short + 1, 1),
            Region(longer * (short + 1), b - longer, short, short, 1),
        ]
    return [region for region in found if region.buckets]


def bucket_numbers(indices: Tensor, n: int, b: int, interleaved: bool) -> Tensor:
    """The bucket of each index."""
    if interleaved:
        return indices % b
    short, longer = divmod(n, b)
    border = longer * (short + 1)
    return torch.where(
        indices < border, indices // (short + 1), longer + (indices - border) // short
    )
